package import Machinery
import Schema
package import Store
import Tree

/// Asks the webhooks that may change objects, one after the other in the order of their configurations' names.
package struct MutatingWebhooks: AdmissionPlugin {
    private static let collection = "admissionregistration.k8s.io/mutatingwebhookconfigurations"
    private let dispatch: WebhookDispatch
    package var name: String { "MutatingAdmissionWebhook" }

    package init(
        store: Store, catalog: ResourceCatalog, client: WebhookClient, conversion: any VersionConversion, conditions: (any MatchConditionEvaluator)? = nil
    ) {
        dispatch = WebhookDispatch(matching: WebhookMatching(store: store, catalog: catalog, evaluator: conditions), client: client, conversion: conversion)
    }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .mutating }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard !WebhookMatching.isExempt(request) else { return }
        let webhooks = try WebhookConfiguration.all(MutatingWebhooks.collection, in: dispatch.matching.store)
        guard !webhooks.isEmpty else { return }
        let round = request.reinvocation.isSecondRound ? 1 : 0
        request.reinvocation.webhooksBegin(with: request.object)
        defer { request.reinvocation.webhooksEnd(with: request.object) }
        for (index, webhook) in webhooks.enumerated() {
            guard let invocation = try await dispatch.matching.invocation(webhook, request), request.reinvocation.mayCall(webhook.id) else { continue }
            let place = "round_\(round)_index_\(index)"
            do throws(WebhookDispatch.Trouble) {
                let changed = try await call(invocation, &request, place)
                request.reinvocation.called(webhook.id, isRepeatable: webhook.isRepeatable, changed: changed)
                annotate(request, webhook, place, changed: changed)
            } catch {
                request.reinvocation.called(webhook.id, isRepeatable: webhook.isRepeatable, changed: false)
                annotate(request, webhook, place, changed: false)
                if let error = dispatch.outcome(error, webhook, request, annotation: "failed-open.mutation.webhook.admission.k8s.io/\(place)") { throw error }
            }
        }
    }

    private func annotate(_ request: AdmissionRequest, _ webhook: AdmissionWebhook, _ place: String, changed: Bool) {
        let value: Node = ["configuration": .string(webhook.configuration), "webhook": .string(webhook.name), "mutated": .bool(changed)]
        request.annotate("mutation.webhook.admission.k8s.io/\(place)", value.jsonText)
    }

    /// Whether the answer changed the object.
    private func call(
        _ invocation: WebhookMatching.Invocation, _ request: inout AdmissionRequest, _ place: String
    ) async throws(WebhookDispatch.Trouble) -> Bool {
        let webhook = invocation.webhook
        let seen: Node
        let old: Node
        do throws(APIError) {
            seen = try await dispatch.converted(request.object, from: request.resource, to: invocation.resource)
            old = try await dispatch.converted(request.old, from: request.resource, to: invocation.resource)
        } catch {
            throw .other(.internalError(error.message))
        }
        let answer = try await dispatch.ask(invocation, request, object: seen, old: old, mutating: true)
        guard let patch = answer.patch, !patch.list.isEmpty || !isList(patch) else { return false }
        guard answer.patchType == "JSONPatch" else { throw .calling(WebhookFailure("unsupported patch type \(FieldError.quoted(answer.patchType))")) }
        let operations: JSONPatch
        do { operations = try JSONPatch(patch) } catch {
            throw .calling(WebhookFailure("received undecodable patch in webhook response: \(error.description)"))
        }
        guard !seen.isNull else {
            throw .other(
                .internalError("admission webhook \(FieldError.quoted(webhook.name)) attempted to modify the object, which is not supported for this operation"))
        }
        do throws(APIError) {
            let patched = try decoded(try apply(operations, seen), invocation)
            guard patched != seen else { return false }
            request.object = try await dispatch.converted(patched, from: invocation.resource, to: request.resource)
        } catch {
            throw .other(error)
        }
        let note: Node = [
            "configuration": .string(webhook.configuration), "webhook": .string(webhook.name), "patch": patch, "patchType": "JSONPatch",
        ]
        request.annotate("patch.webhook.admission.k8s.io/\(place)", note.jsonText)
        return true
    }

    private func isList(_ node: Node) -> Bool { if case .list = node { true } else { false } }

    private func apply(_ patch: JSONPatch, _ object: Node) throws(APIError) -> Node {
        do { return try patch.apply(to: object) } catch { throw .internalError(error.description) }
    }

    /// The patched object as its kind has it: unknown fields gone, defaults set.
    private func decoded(_ patched: Node, _ invocation: WebhookMatching.Invocation) throws(APIError) -> Node {
        let resource = invocation.resource
        do throws(DecodingFailure) {
            if invocation.kind == resource.resource.gvk {
                var object = try resource.canonical.decode(patched, as: resource.resource.message).node
                // Types are no fields of the graph.
                object["kind"] = patched["kind"]
                object["apiVersion"] = patched["apiVersion"]
                ObjectChecks().setDefaults(&object, resource)
                return object
            }
            let canonical = dispatch.matching.catalog.canonical
            guard let message = canonical.graph.message(of: invocation.kind) else { return patched }
            var object = try canonical.decode(patched, as: message).node
            object["kind"] = patched["kind"]
            object["apiVersion"] = patched["apiVersion"]
            Defaulting(canonical.graph).apply(to: &object, as: message)
            return object
        } catch {
            throw .internalError(error.description)
        }
    }
}

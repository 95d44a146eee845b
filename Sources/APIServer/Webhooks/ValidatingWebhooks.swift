package import Machinery
package import Store
import Tree

/// Asks the webhooks that may only refuse, all at once.
package struct ValidatingWebhooks: AdmissionPlugin {
    private static let collection = "admissionregistration.k8s.io/validatingwebhookconfigurations"
    private let dispatch: WebhookDispatch
    package var name: String { "ValidatingAdmissionWebhook" }

    package init(
        store: Store, catalog: ResourceCatalog, client: WebhookClient, conversion: any VersionConversion, conditions: (any MatchConditionEvaluator)? = nil
    ) {
        dispatch = WebhookDispatch(matching: WebhookMatching(store: store, catalog: catalog, evaluator: conditions), client: client, conversion: conversion)
    }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .validating }

    package func validate(_ request: AdmissionRequest) async throws(APIError) {
        guard !WebhookMatching.isExempt(request) else { return }
        let webhooks = try WebhookConfiguration.all(ValidatingWebhooks.collection, in: dispatch.matching.store)
        guard !webhooks.isEmpty else { return }
        var calls: [(invocation: WebhookMatching.Invocation, object: Node, old: Node)] = []
        for webhook in webhooks {
            guard let invocation = try await dispatch.matching.invocation(webhook, request) else { continue }
            do throws(APIError) {
                let object = try await dispatch.converted(request.object, from: request.resource, to: invocation.resource)
                let old = try await dispatch.converted(request.old, from: request.resource, to: invocation.resource)
                calls.append((invocation, object, old))
            } catch {
                throw .internalError(error.message)
            }
        }
        guard !calls.isEmpty else { return }
        let refusals = await withTaskGroup(of: (Int, APIError?).self) { group in
            for (index, call) in calls.enumerated() {
                group.addTask { (index, await ask(call.invocation, request, call.object, call.old, index)) }
            }
            return await group.reduce(into: [Int: APIError]()) { $0[$1.0] = $1.1 }
        }
        if let first = refusals.min(by: { $0.key < $1.key }) { throw first.value }
    }

    private func ask(_ invocation: WebhookMatching.Invocation, _ request: AdmissionRequest, _ object: Node, _ old: Node, _ index: Int) async -> APIError? {
        do throws(WebhookDispatch.Trouble) {
            _ = try await dispatch.ask(invocation, request, object: object, old: old, mutating: false)
            return nil
        } catch {
            return dispatch.outcome(
                error, invocation.webhook, request, annotation: "failed-open.validating.webhook.admission.k8s.io/round_0_index_\(index)")
        }
    }
}

import CEL
package import Machinery
import Schema
package import Store
import Tree

/// Changes objects by MutatingAdmissionPolicies.
package struct MutatingPolicies: AdmissionPlugin {
    package var name: String { "MutatingAdmissionPolicy" }
    private let source: PolicySource

    package init(store: Store, catalog: ResourceCatalog, authorizer: RBACAuthorizer, conversion: any VersionConversion) {
        source = PolicySource("mutatingadmission", store: store, catalog: catalog, authorizer: authorizer, conversion: conversion)
    }

    private struct Invocation {
        let policy: PolicyDefinition
        let binding: PolicyBinding
        let match: PolicyMatching.Match
        let parameter: Node
        var id: String { "policy/\(policy.name)/\(binding.name)/\(parameter.namespace)/\(parameter.name)" }
    }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { stage == .mutating }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard !WebhookMatching.isExempt(request), request.operation == .create || request.operation == .update else { return }
        let all = try source.bound()
        if all.isEmpty { return }
        var failures: [String] = []
        var invocations: [Invocation] = []
        for bound in all { collect(bound, request, &invocations, &failures) }
        for invocation in invocations {
            guard request.reinvocation.mayCall(invocation.id) else { continue }
            do throws(PolicySource.Misconfiguration) {
                let changed = try await apply(invocation, &request)
                request.reinvocation.called(invocation.id, isRepeatable: invocation.policy.isRepeatable, changed: changed)
            } catch {
                if !invocation.policy.ignoresFailure {
                    failures.append("policy '\(invocation.policy.name)' with binding '\(invocation.binding.name)' denied request: \(error.message)")
                }
            }
        }
        guard let first = failures.first else { return }
        var error = request.forbidden("admission request denied by policy")
        error.message = first
        error.reason = "Invalid"
        error.details?.causes += failures.map { .init(reason: "", message: $0) }
        throw error
    }

    private func collect(_ bound: PolicySource.Bound, _ request: AdmissionRequest, _ out: inout [Invocation], _ failures: inout [String]) {
        let policy = bound.policy
        do throws(APIError) {
            guard let match = try source.matching.match(policy.constraints, request) else { return }
            for binding in bound.bindings {
                guard try source.matching.match(binding.constraints, request) != nil else { continue }
                do throws(PolicySource.Misconfiguration) {
                    for parameter in try source.parameters(policy, binding, namespace: request.namespace) {
                        out.append(Invocation(policy: policy, binding: binding, match: match, parameter: parameter))
                    }
                } catch {
                    if !policy.ignoresFailure { failures.append("policy '\(policy.name)' with binding '\(binding.name)' denied request: \(error.message)") }
                }
            }
        } catch {
            if !policy.ignoresFailure { failures.append("policy \(FieldError.quoted(policy.name)) denied request: \(error.message)") }
        }
    }

    /// Whether the object changed.
    private func apply(_ invocation: Invocation, _ request: inout AdmissionRequest) async throws(PolicySource.Misconfiguration) -> Bool {
        do throws(APIError) {
            var bindings = try await source.bindings(request, invocation.match)
            if bindings.object.isNull { return false }
            bindings.params = invocation.parameter
            switch PolicySource.holds(invocation.policy.programs.conditions, bindings) {
            case .success(false): return false
            case .success(true): break
            case .failure(let error): throw APIError.badRequest(error.message)
            }
            let before = bindings.object
            for mutation in invocation.policy.programs.mutations {
                bindings.object = try PolicyMutation(mutation, invocation.policy, invocation.match, source.matching.catalog).apply(bindings)
            }
            guard bindings.object != before else { return false }
            request.object = try await source.conversion.between(bindings.object, from: invocation.match.resource, to: request.resource)
            return true
        } catch {
            throw PolicySource.Misconfiguration(message: error.message)
        }
    }
}

/// One mutation of a policy on one object.
struct PolicyMutation {
    private let mutation: PolicyPrograms.Mutation
    private let policy: PolicyDefinition
    private let match: PolicyMatching.Match
    private let catalog: ResourceCatalog

    init(_ mutation: PolicyPrograms.Mutation, _ policy: PolicyDefinition, _ match: PolicyMatching.Match, _ catalog: ResourceCatalog) {
        self.mutation = mutation
        self.policy = policy
        self.match = match
        self.catalog = catalog
    }

    func apply(_ bindings: AdmissionBindings) throws(APIError) -> Node {
        if let problem = mutation.expression.problem { throw .badRequest(problem) }
        var run = PolicyRun(bindings, variables: policy.programs)
        let result: Result<Value, EvaluationError>
        do throws(PolicyRun.Exhausted) { result = try run.run(mutation.expression) } catch { throw .badRequest(PolicyRun.outOfBudget) }
        let value: Value
        switch result {
        case .success(let made): value = made
        case .failure(let error): throw .badRequest(error.message)
        }
        return mutation.isJSONPatch ? try patched(value, bindings.object) : try merged(value, bindings.object)
    }

    private func mismatch(_ value: Value) throws(APIError) {
        let found = MutationTypes.mismatches(value)
        if !found.isEmpty { throw .badRequest("type mismatch: \(found.joined(separator: "\n"))") }
    }

    private func merged(_ value: Value, _ object: Node) throws(APIError) -> Node {
        try mismatch(value)
        guard var config = value.node else { throw .badRequest("invalid return type: \(value.type.description)") }
        config["apiVersion"] = object["apiVersion"]
        config["kind"] = object["kind"]
        let (graph, message) = try schema()
        let merge = StructuredMerge(graph, as: message)
        let atomics = merge.atomics(config)
        if !atomics.isEmpty {
            throw .badRequest("error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: \(atomics.joined(separator: ", "))")
        }
        return try decoded(merge.merge(object, config))
    }

    private func patched(_ value: Value, _ object: Node) throws(APIError) -> Node {
        guard case .list(let list) = value else { throw .badRequest("type mismatch: JSONPatchType.expression should evaluate to array") }
        var operations: [Node] = []
        for item in list {
            guard case .map(let map) = item else { throw .badRequest("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch") }
            var operation = Node.emptyMap
            for name in ["op", "path", "from"] {
                if case .string(let text)? = map.find(name), !text.isEmpty { operation[name] = .string(text) }
            }
            if let content = map.find("value") {
                if case .map(let inner) = content, inner.objectName != nil { try mismatch(content) }
                guard let node = content.node else { throw .badRequest("JSONPath valueExpression evaluated to a type that could not marshal to JSON") }
                if node.isNull { operation.setNull("value") } else { operation["value"] = node }
            }
            operations.append(operation)
        }
        do { return try decoded(try JSONPatch(.list(operations)).apply(to: object)) } catch let failure as PatchFailure {
            // A test that fails says that the patch is not meant for this object.
            if failure.description.hasSuffix("test failed") { return object }
            throw .badRequest("JSON Patch: \(failure.description)")
        } catch {
            throw (error as? APIError) ?? .badRequest("JSON Patch: \(error)")
        }
    }

    private func schema() throws(APIError) -> (Graph, MessageID) {
        if match.kind == match.resource.resource.gvk { return (match.resource.graph, match.resource.resource.message) }
        guard let message = catalog.graph.message(of: match.kind) else {
            let why = "There can be a delay between when CustomResourceDefinitions are created and when they are available."
            throw .serviceUnavailable("Resource kind \(match.kind.apiVersion), Kind=\(match.kind.kind) not found. \(why)")
        }
        return (catalog.graph, message)
    }

    /// The object as its kind has it: known fields only, defaults set.
    private func decoded(_ object: Node) throws(APIError) -> Node {
        let (graph, message) = try schema()
        let canonical = match.kind == match.resource.resource.gvk ? match.resource.canonical : catalog.canonical
        do throws(DecodingFailure) {
            var out = try canonical.decode(object, as: message).node
            out["kind"] = object["kind"]
            out["apiVersion"] = object["apiVersion"]
            Defaulting(graph).apply(to: &out, as: message)
            return out
        } catch {
            throw .badRequest(error.description)
        }
    }
}

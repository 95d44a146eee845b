import Machinery
import Schema
import Store
import Tree

/// Which requests a policy or a binding concerns: `matchConstraints` and `matchResources`.
struct PolicyMatching: Sendable {
    let store: Store
    let catalog: ResourceCatalog

    /// The names and version under which the request is seen.
    struct Match: Sendable {
        let resource: ServedResource
        let kind: GroupVersionKind
    }

    /// Read once per revision of the policy or binding.
    struct Constraints: Sendable {
        struct Rule: Sendable {
            let rule: AdmissionWebhook.Rule
            let names: [String]
        }
        let rules: [Rule]
        let excluded: [Rule]
        let namespaces: LabelSelector
        let objects: LabelSelector
        let matchesEquivalents: Bool

        init(_ node: Node) {
            func rules(_ list: [Node]) -> [Rule] { list.map { Rule(rule: AdmissionWebhook.Rule($0), names: $0["resourceNames"].stringList) } }
            func selector(_ node: Node) -> LabelSelector { node.isNull ? .everything : LabelSelector(object: node) }
            self.rules = rules(node["resourceRules"].list)
            excluded = rules(node["excludeResourceRules"].list)
            namespaces = selector(node["namespaceSelector"])
            objects = selector(node["objectSelector"])
            matchesEquivalents = node["matchPolicy"].string != "Exact"
        }
    }

    /// Nil for a request that is not concerned. Throws where that cannot be told.
    func match(_ constraints: Constraints, _ request: AdmissionRequest) throws(APIError) -> Match? {
        let namespaces = matchesNamespace(constraints, request)
        if case .success(false) = namespaces { return nil }
        let objects = constraints.objects
        guard objects.isEverything || matches(objects, request.object) || matches(objects, request.old) else { return nil }
        if find(constraints.excluded, constraints, request) != nil { return nil }
        let own = Match(resource: request.resource, kind: request.kind)
        guard let found = constraints.rules.isEmpty ? own : find(constraints.rules, constraints, request) else { return nil }
        _ = try namespaces.get()
        return found
    }

    private func matches(_ selector: LabelSelector, _ object: Node) -> Bool {
        guard case .map = object["metadata"] else { return false }
        return selector.matches(object["metadata"]["labels"])
    }

    private func matchesNamespace(_ constraints: Constraints, _ request: AdmissionRequest) -> Result<Bool, APIError> {
        let isNamespace = request.resource.collection == "namespaces"
        let name = WebhookMatching.namespace(request)
        if (name.isEmpty && !isNamespace) || constraints.namespaces.isEverything { return .success(true) }
        if isNamespace, request.subresource.isEmpty, request.operation == .create || request.operation == .update {
            return .success(constraints.namespaces.matches(request.object["metadata"]["labels"]))
        }
        do throws(APIError) { return .success(constraints.namespaces.matches(try namespace(name)["metadata"]["labels"])) } catch { return .failure(error) }
    }

    func namespace(_ name: String) throws(APIError) -> Node {
        guard let record = store.get(Key("namespaces", name: name)) else { throw .notFound("namespaces", name: name) }
        return try record.sharedNode()
    }

    // MARK: - Rules

    private func find(_ rules: [Constraints.Rule], _ constraints: Constraints, _ request: AdmissionRequest) -> Match? {
        if rules.contains(where: { PolicyMatching.matches($0, request, request.resource) }) { return Match(resource: request.resource, kind: request.kind) }
        guard constraints.matchesEquivalents, !rules.isEmpty else { return nil }
        for other in catalog.all where other.collection == request.resource.collection && other.gvr != request.resource.gvr {
            let kind = request.subresource.isEmpty ? other.resource.gvk : other.resource.subresource(request.subresource)?.gvk
            guard let kind, rules.contains(where: { PolicyMatching.matches($0, request, other) }) else { continue }
            return Match(resource: other, kind: kind)
        }
        return nil
    }

    private static func matches(_ entry: Constraints.Rule, _ request: AdmissionRequest, _ resource: ServedResource) -> Bool {
        func has(_ items: [String], _ value: String) -> Bool { items.contains { $0 == "*" || $0 == value } }
        let rule = entry.rule
        let isCluster = resource.collection == "namespaces" || request.namespace.isEmpty
        switch rule.scope {
        case "Namespaced": if isCluster { return false }
        case "Cluster": if !isCluster { return false }
        default: break
        }
        guard has(rule.operations, request.operation.rawValue), has(rule.groups, resource.group), has(rule.versions, resource.resource.version) else { return false }
        guard
            rule.resources.contains(where: {
                ($0.name == "*" || $0.name == resource.plural) && ($0.subresource == "*" || $0.subresource == request.subresource)
            })
        else { return false }
        return entry.names.isEmpty || entry.names.contains(request.name)
    }
}

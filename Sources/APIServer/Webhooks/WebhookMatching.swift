import Machinery
import Schema
import Store
import Tree

/// Which webhooks a request concerns, and in which version of the resource they are to see it.
struct WebhookMatching: Sendable {
    let store: Store
    let catalog: ResourceCatalog
    let evaluator: (any MatchConditionEvaluator)?

    /// A webhook that is to be asked about a request.
    struct Invocation: Sendable {
        let webhook: AdmissionWebhook
        /// The request's own, or the version of it that the webhook's rules name.
        let resource: ServedResource
        let kind: GroupVersionKind
    }

    private static let exempt: Set<String> = [
        "validatingwebhookconfigurations", "mutatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies", "mutatingadmissionpolicybindings",
    ]

    /// What configures admission is never stopped by it.
    static func isExempt(_ request: AdmissionRequest) -> Bool {
        request.resource.group == "admissionregistration.k8s.io" && exempt.contains(request.resource.plural)
    }

    func invocation(_ webhook: AdmissionWebhook, _ request: AdmissionRequest) async throws(APIError) -> Invocation? {
        let namespaces = matchesNamespace(webhook, request)
        if case .success(false) = namespaces { return nil }
        guard webhook.objects.isEverything || matches(webhook.objects, request.object) || matches(webhook.objects, request.old) else { return nil }
        guard let found = rule(webhook, request) else { return nil }
        _ = try namespaces.get()
        guard !webhook.conditions.isEmpty else { return found }
        return try await holds(webhook, request) ? found : nil
    }

    // MARK: - Selectors

    /// As request attributes have it: a namespace is in itself.
    static func namespace(_ request: AdmissionRequest) -> String {
        request.resource.collection == "namespaces" ? request.name : request.namespace
    }

    private func matchesNamespace(_ webhook: AdmissionWebhook, _ request: AdmissionRequest) -> Result<Bool, APIError> {
        let isNamespace = request.resource.collection == "namespaces"
        let name = WebhookMatching.namespace(request)
        if name.isEmpty, !isNamespace { return .success(true) }
        if webhook.namespaces.isEverything { return .success(true) }
        if isNamespace, request.subresource.isEmpty, request.operation == .create || request.operation == .update {
            return .success(webhook.namespaces.matches(request.object["metadata"]["labels"]))
        }
        guard let record = store.get(Key("namespaces", name: name)) else { return .failure(.notFound("namespaces", name: name)) }
        do throws(APIError) { return .success(webhook.namespaces.matches(try record.sharedNode()["metadata"]["labels"])) } catch { return .failure(error) }
    }

    private func matches(_ selector: LabelSelector, _ object: Node) -> Bool {
        guard case .map = object["metadata"] else { return false }
        return selector.matches(object["metadata"]["labels"])
    }

    // MARK: - Rules

    private func rule(_ webhook: AdmissionWebhook, _ request: AdmissionRequest) -> Invocation? {
        if webhook.rules.contains(where: { WebhookMatching.matches($0, request, request.resource) }) {
            return Invocation(webhook: webhook, resource: request.resource, kind: request.kind)
        }
        guard webhook.matchesEquivalents else { return nil }
        let others = equivalents(request)
        for rule in webhook.rules {
            for other in others where WebhookMatching.matches(rule, request, other.resource) {
                return Invocation(webhook: webhook, resource: other.resource, kind: other.kind)
            }
        }
        return nil
    }

    /// Other names and versions under which the same objects are served.
    private func equivalents(_ request: AdmissionRequest) -> [(resource: ServedResource, kind: GroupVersionKind)] {
        catalog.all.compactMap { other in
            guard other.collection == request.resource.collection, other.gvr != request.resource.gvr else { return nil }
            if request.subresource.isEmpty { return (other, other.resource.gvk) }
            return other.resource.subresource(request.subresource).map { (other, $0.gvk) }
        }
    }

    private static func matches(_ rule: AdmissionWebhook.Rule, _ request: AdmissionRequest, _ resource: ServedResource) -> Bool {
        func has(_ items: [String], _ value: String) -> Bool { items.contains { $0 == "*" || $0 == value } }
        let isNamespace = resource.collection == "namespaces"
        let isCluster = isNamespace || request.namespace.isEmpty
        switch rule.scope {
        case "Namespaced": if isCluster { return false }
        case "Cluster": if !isCluster { return false }
        default: break
        }
        guard has(rule.operations, request.operation.rawValue), has(rule.groups, resource.group), has(rule.versions, resource.resource.version) else { return false }
        return rule.resources.contains { entry in
            (entry.name == "*" || entry.name == resource.plural) && (entry.subresource == "*" || entry.subresource == request.subresource)
        }
    }

    // MARK: - Conditions

    private func holds(_ webhook: AdmissionWebhook, _ request: AdmissionRequest) async throws(APIError) -> Bool {
        do throws(MatchConditionFailure) {
            guard let evaluator else { throw MatchConditionFailure("this server does not evaluate match conditions") }
            return try await evaluator.holds(webhook.conditions, for: request)
        } catch {
            // As a webhook that cannot be reached.
            if webhook.ignoresFailure { return false }
            throw request.forbidden(error.description)
        }
    }
}

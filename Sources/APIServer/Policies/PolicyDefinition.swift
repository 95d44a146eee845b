import CEL
import Machinery
import Schema
import Store
import Tree

/// One policy as admission uses it, kept with its record.
final class PolicyDefinition: Sendable {
    let name: String
    let constraints: PolicyMatching.Constraints
    let programs: PolicyPrograms
    let paramKind: GroupVersionKind?
    let ignoresFailure: Bool
    let isRepeatable: Bool

    init(_ node: Node) {
        let spec = node["spec"]
        name = node.name
        constraints = PolicyMatching.Constraints(spec["matchConstraints"])
        programs = PolicyPrograms(spec)
        ignoresFailure = spec["failurePolicy"].string == "Ignore"
        isRepeatable = spec["reinvocationPolicy"].string == "IfNeeded"
        if let version = spec["paramKind"]["apiVersion"].string, let kind = spec["paramKind"]["kind"].string {
            let parts = version.split(separator: "/", maxSplits: 1).map(String.init)
            paramKind = GroupVersionKind(group: parts.count == 2 ? parts[0] : "", version: parts.last ?? "", kind: kind)
        } else {
            paramKind = nil
        }
    }
}

/// One binding of a policy, kept with its record.
final class PolicyBinding: Sendable {
    let name: String
    let policy: String
    let constraints: PolicyMatching.Constraints
    let reference: Node
    let actions: [String]
    let selector: LabelSelector?

    init(_ node: Node) {
        let spec = node["spec"]
        name = node.name
        policy = spec["policyName"].string ?? ""
        constraints = PolicyMatching.Constraints(spec["matchResources"])
        reference = spec["paramRef"]
        actions = spec["validationActions"].stringList
        selector = spec["paramRef"]["selector"].isNull ? nil : LabelSelector(object: spec["paramRef"]["selector"])
    }
}

/// The policies of one kind with their bindings, and what both plugins do alike.
struct PolicySource: Sendable {
    let matching: PolicyMatching
    let authorizer: RBACAuthorizer
    let conversion: any VersionConversion
    private let policies: String
    private let bindings: String

    init(_ kind: String, store: Store, catalog: ResourceCatalog, authorizer: RBACAuthorizer, conversion: any VersionConversion) {
        matching = PolicyMatching(store: store, catalog: catalog)
        self.authorizer = authorizer
        self.conversion = conversion
        policies = "admissionregistration.k8s.io/\(kind)policies"
        bindings = "admissionregistration.k8s.io/\(kind)policybindings"
    }

    struct Bound: Sendable {
        let policy: PolicyDefinition
        let bindings: [PolicyBinding]
    }

    /// Policies without a binding do nothing.
    func bound() throws(APIError) -> [Bound] {
        guard let page = try? matching.store.list(policies), !page.records.isEmpty else { return [] }
        var byPolicy: [String: [PolicyBinding]] = [:]
        for record in (try? matching.store.list(bindings).records) ?? [] {
            let binding = try record.derived(PolicyBinding.self) { (record: Record) throws(APIError) in PolicyBinding(try record.sharedNode()) }
            byPolicy[binding.policy, default: []].append(binding)
        }
        var out: [Bound] = []
        for record in page.records {
            guard let bindings = byPolicy[record.key.name] else { continue }
            let policy = try record.derived(PolicyDefinition.self) { (record: Record) throws(APIError) in PolicyDefinition(try record.sharedNode()) }
            out.append(Bound(policy: policy, bindings: bindings))
        }
        return out
    }

    // MARK: - Parameters

    /// Why a policy could not be set up for a request.
    struct Misconfiguration: Error { let message: String }

    /// The parameters of a binding; a null one where it uses none, no one where none is found and that is allowed.
    func parameters(_ policy: PolicyDefinition, _ binding: PolicyBinding, namespace: String) throws(Misconfiguration) -> [Node] {
        guard let kind = policy.paramKind, !binding.reference.isNull else { return [.null] }
        guard let resource = matching.catalog.resource(of: kind) else {
            throw Misconfiguration(message: "paramKind kind `\(kind.apiVersion), Kind=\(kind.kind)` not known")
        }
        let given = binding.reference["namespace"].string ?? ""
        var from = ""
        if resource.isNamespaced {
            from = given.isEmpty ? namespace : given
            if from.isEmpty { throw Misconfiguration(message: "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources") }
        } else if !given.isEmpty {
            throw Misconfiguration(message: "paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        }
        var found: [Node] = []
        do throws(APIError) {
            if let name = binding.reference["name"].string, !name.isEmpty {
                if let record = matching.store.get(Key(resource.collection, namespace: from, name: name)) { found = [try read(record, resource)] }
            } else if let selector = binding.selector {
                for record in (try? matching.store.list(resource.collection).records) ?? [] where from.isEmpty || record.key.namespace == from {
                    let object = try read(record, resource)
                    if selector.matches(object["metadata"]["labels"]) { found.append(object) }
                }
            } else {
                throw APIError.badRequest("one of name or selector must be provided")
            }
        } catch {
            throw Misconfiguration(message: error.message)
        }
        if found.isEmpty, binding.reference["parameterNotFoundAction"].string == "Deny" {
            throw Misconfiguration(message: "no params found for policy binding with `Deny` parameterNotFoundAction")
        }
        return found
    }

    private func read(_ record: Record, _ resource: ServedResource) throws(APIError) -> Node {
        var object = try record.sharedNode()
        object["kind"] = .string(resource.kind)
        object["apiVersion"] = .string(resource.resource.gvk.apiVersion)
        return object
    }

    // MARK: - Variables

    /// What expressions see of a request. `match` names the version in which they see it.
    func bindings(_ request: AdmissionRequest, _ match: PolicyMatching.Match) async throws(APIError) -> AdmissionBindings {
        var out = AdmissionBindings()
        out.object = try await seen(request.object, request, match)
        out.oldObject = try await seen(request.old, request, match)
        let isNamespace = request.resource.collection == "namespaces"
        if !isNamespace, !request.namespace.isEmpty { out.namespaceObject = PolicySource.shown(namespace: try matching.namespace(request.namespace)) }
        out.request = PolicySource.request(request, match)
        let clerk = ExpressionAuthorization(authorizer: authorizer, user: request.user)
        out.setAuthorizer(
            clerk, group: request.resource.group, resource: request.resource.plural, subresource: request.subresource, namespace: request.namespace,
            name: request.name)
        return out
    }

    private func seen(_ object: Node, _ request: AdmissionRequest, _ match: PolicyMatching.Match) async throws(APIError) -> Node {
        try await conversion.between(object, from: request.resource, to: match.resource)
    }

    private static func shown(namespace: Node) -> Node {
        var out: Node = ["metadata": [:], "spec": namespace["spec"], "status": namespace["status"]]
        for field in [
            "name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
            "labels", "annotations", "finalizers",
        ] where namespace["metadata"].has(field) { out["metadata"][field] = namespace["metadata"][field] }
        return out
    }

    private static func request(_ request: AdmissionRequest, _ match: PolicyMatching.Match) -> Node {
        func node(_ kind: GroupVersionKind) -> Node { ["group": .string(kind.group), "version": .string(kind.version), "kind": .string(kind.kind)] }
        func node(_ gvr: GroupVersionResource) -> Node {
            ["group": .string(gvr.group), "version": .string(gvr.version), "resource": .string(gvr.resource)]
        }
        var out: Node = [
            "uid": "", "kind": node(match.kind), "resource": node(match.resource.gvr), "requestKind": node(request.kind),
            "requestResource": node(request.resource.gvr), "operation": .string(request.operation.rawValue), "userInfo": request.user.node,
            "dryRun": .bool(request.isDryRun),
        ]
        if !request.name.isEmpty { out["name"] = .string(request.name) }
        let namespace = WebhookMatching.namespace(request)
        if !namespace.isEmpty { out["namespace"] = .string(namespace) }
        if !request.subresource.isEmpty {
            out["subResource"] = .string(request.subresource)
            out["requestSubResource"] = .string(request.subresource)
        }
        if request.options.isNull { out.setNull("options") } else { out["options"] = request.options }
        out.setNull("object")
        out.setNull("oldObject")
        return out
    }

    /// Whether all conditions of a policy hold; a failure where none is false but one cannot be decided.
    static func holds(_ conditions: [PolicyPrograms.Condition], _ bindings: AdmissionBindings) -> Result<Bool, Misconfiguration> {
        if conditions.isEmpty { return .success(true) }
        var run = PolicyRun(bindings, budget: PolicyRun.conditionBudget)
        var failures: [String] = []
        do throws(PolicyRun.Exhausted) {
            for condition in conditions {
                switch try run.run(condition.expression) {
                case .success(.bool(false)): return .success(false)
                case .success: continue
                case .failure(let error): failures.append(error.message)
                }
            }
        } catch {
            return .failure(Misconfiguration(message: PolicyRun.outOfBudget))
        }
        if failures.isEmpty { return .success(true) }
        return .failure(Misconfiguration(message: failures.count == 1 ? failures[0] : "[\(failures.joined(separator: ", "))]"))
    }
}

package import Machinery
package import Store
import Tree

/// Holds pods to the standards that their namespace's labels name; of workloads that would make such pods it warns.
package struct PodSecurityAdmission: AdmissionPlugin {
    /// Upstream's bound on pods that are looked at when a namespace's labels change.
    private static let maxPods = 3000
    private static let ignoredSubresources: Set<String> = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"]
    private static let templates: [String: [String]] = [
        "replicationcontrollers": ["spec", "template"], "apps/replicasets": ["spec", "template"], "apps/deployments": ["spec", "template"],
        "apps/statefulsets": ["spec", "template"], "apps/daemonsets": ["spec", "template"], "batch/jobs": ["spec", "template"],
        "batch/cronjobs": ["spec", "jobTemplate", "spec", "template"], "podtemplates": ["template"],
    ]

    private let store: Store
    package init(_ store: Store) { self.store = store }
    package var name: String { "PodSecurity" }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool {
        guard stage == .validating, request.operation == .create || request.operation == .update else { return false }
        let collection = request.resource.collection
        return collection == "pods" || collection == "namespaces" || PodSecurityAdmission.templates[collection] != nil
    }

    package func validate(_ request: AdmissionRequest) async throws(APIError) {
        switch request.resource.collection {
        case "namespaces": try namespace(request)
        case "pods": try pod(request)
        case let collection:
            guard let path = PodSecurityAdmission.templates[collection], request.subresource.isEmpty else { return }
            let template = path.reduce(request.object) { $0[$1] }
            guard !template.isNull else { return }
            let (policy, errors) = try policy(request)
            if errors.isEmpty, policy.warn.level == .privileged, policy.audit.level == .privileged { return }
            try evaluate(template, policy, errors, request, enforce: false)
        }
    }

    private func policy(_ request: AdmissionRequest) throws(APIError) -> (PodSecurityPolicy, [FieldError]) {
        guard let record = store.get(Key("namespaces", name: request.namespace)) else {
            throw .internalError("failed to lookup namespace \(FieldError.quoted(request.namespace))")
        }
        let labels = try record.sharedNode().labels
        var errors: [FieldError] = []
        return (PodSecurityPolicy(labels, errors: &errors), errors)
    }

    // MARK: - Pods

    private func pod(_ request: AdmissionRequest) throws(APIError) {
        guard !PodSecurityAdmission.ignoredSubresources.contains(request.subresource) else { return }
        let (policy, errors) = try policy(request)
        if errors.isEmpty, policy.isPrivileged { return }
        if request.operation == .update, !isSignificant(request.object["spec"], request.old["spec"]) { return }
        try evaluate(request.object, policy, errors, request, enforce: true)
    }

    /// Of what a pod's update may change, only images and containers that are added matter.
    private func isSignificant(_ spec: Node, _ old: Node) -> Bool {
        for field in ["containers", "initContainers"] {
            if spec[field].list.map({ $0["image"] }) != old[field].list.map({ $0["image"] }) { return true }
        }
        return spec["ephemeralContainers"].list.contains { container in
            !old["ephemeralContainers"].list.contains { $0["name"] == container["name"] && $0["image"] == container["image"] }
        }
    }

    private func evaluate(
        _ pod: Node, _ policy: PodSecurityPolicy, _ errors: [FieldError], _ request: AdmissionRequest, enforce: Bool
    ) throws(APIError) {
        let prefix = "pod-security.kubernetes.io/"
        if !errors.isEmpty { request.annotate(prefix + "error", "Failed to parse policy: " + errors.map(\.description).joined(separator: ", ")) }
        func findings(_ standard: PodSecurityStandard) -> PodSecurityFindings { standard.findings(pod["metadata"], pod["spec"]) }
        if enforce { request.annotate(prefix + "enforce-policy", policy.enforce.description) }
        let audited = findings(policy.audit)
        if !audited.isEmpty { request.annotate(prefix + "audit-violations", "would violate PodSecurity \"\(policy.audit)\": \(audited.details)") }
        if enforce {
            let found = findings(policy.enforce)
            guard found.isEmpty else { throw request.forbidden("violates PodSecurity \"\(policy.enforce)\": \(found.details)") }
        }
        let warned = findings(policy.warn)
        if !warned.isEmpty { request.warn("would violate PodSecurity \"\(policy.warn)\": \(warned.details)") }
    }

    // MARK: - Namespaces

    private func namespace(_ request: AdmissionRequest) throws(APIError) {
        guard request.subresource.isEmpty else { return }
        var errors: [FieldError] = []
        let policy = PodSecurityPolicy(request.object.labels, errors: &errors)
        var oldErrors: [FieldError] = []
        let old = PodSecurityPolicy(request.old.labels, errors: &oldErrors)
        if !errors.isEmpty, request.operation == .create || errors != oldErrors {
            throw .invalid(kind: "Namespace", name: request.name, errors: errors)
        }
        guard request.operation == .update, policy.enforce != old.enforce, policy.enforce.level != .privileged else { return }
        if policy.enforce.minor == old.enforce.minor, policy.enforce.level <= old.enforce.level { return }
        for warning in try existing(request.name, policy.enforce) { request.warn(warning) }
    }

    /// What of the namespace's pods would no longer be let in: each way of violating once, with the first pod's name.
    private func existing(_ namespace: String, _ standard: PodSecurityStandard) throws(APIError) -> [String] {
        guard let records = (try? store.list("pods", namespace: namespace))?.records, !records.isEmpty else { return [] }
        var first: [Node] = []
        var copies: [Node] = []
        var owners: Set<String> = []
        for record in records {
            let pod = try record.sharedNode()
            if let owner = pod.controllerOwner, !owners.insert(owner.uid).inserted { copies.append(pod) } else { first.append(pod) }
        }
        let pods = first + copies
        var violations: [String: (name: String, count: Int)] = [:]
        for pod in pods.prefix(PodSecurityAdmission.maxPods) {
            let found = standard.findings(pod["metadata"], pod["spec"])
            guard !found.isEmpty else { continue }
            let before = violations[found.reasons]
            violations[found.reasons] = (min(before?.name ?? pod.name, pod.name), (before?.count ?? 0) + 1)
        }
        var out: [String] = []
        if pods.count > PodSecurityAdmission.maxPods {
            out.append("new PodSecurity enforce level only checked against the first \(PodSecurityAdmission.maxPods) of \(pods.count) existing pods")
        }
        guard !violations.isEmpty else { return out }
        out.append("existing pods in namespace \"\(namespace)\" violate the new PodSecurity enforce level \"\(standard)\"")
        return out + violations.map { reasons, pods in
            switch pods.count {
            case 1: "\(pods.name): \(reasons)"
            case 2: "\(pods.name) (and 1 other pod): \(reasons)"
            default: "\(pods.name) (and \(pods.count - 1) other pods): \(reasons)"
            }
        }.sorted()
    }
}

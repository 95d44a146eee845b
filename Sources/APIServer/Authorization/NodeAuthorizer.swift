import Machinery
import Store
import Tree

/// What a node's kubelet may do: see to its own node and lease, and read what the pods that run on it refer to.
struct NodeAuthorizer: Sendable {
    private let store: Store
    init(_ store: Store) { self.store = store }

    /// The node that a user is, if any.
    static func node(_ user: UserInfo) -> String? {
        let prefix = "system:node:"
        guard user.groups.contains("system:nodes"), user.name.hasPrefix(prefix), user.name.count > prefix.count else { return nil }
        return String(user.name.dropFirst(prefix.count))
    }

    func allows(_ asked: Attributes) -> Bool {
        guard asked.isResource, let node = NodeAuthorizer.node(asked.user) else { return false }
        switch (asked.group, asked.resource) {
        case ("", "secrets"), ("", "configmaps"):
            guard ["get", "list", "watch"].contains(asked.verb), asked.subresource.isEmpty, !asked.name.isEmpty else { return false }
            return pods(of: node).contains { refers($0, to: asked) }
        case ("", "persistentvolumeclaims"):
            guard asked.verb == "get" || asked.subresource == "status" else { return false }
            return pods(of: node).contains { $0.namespace == asked.namespace && claims($0).contains(asked.name) }
        case ("", "persistentvolumes"):
            guard asked.verb == "get", asked.subresource.isEmpty else { return false }
            return pods(of: node).contains { pod in claims(pod).contains { volume(of: $0, pod.namespace) == asked.name } }
        case ("", "serviceaccounts"):
            guard asked.verb == "get" || (asked.verb == "create" && asked.subresource == "token") else { return false }
            return pods(of: node).contains { $0.namespace == asked.namespace && $0["spec"]["serviceAccountName"].string == asked.name }
        case ("coordination.k8s.io", "leases"):
            guard asked.namespace == "kube-node-lease", ["get", "create", "update", "patch", "delete"].contains(asked.verb) else { return false }
            return asked.verb == "create" || asked.name == node
        case ("storage.k8s.io", "csinodes"):
            guard ["get", "create", "update", "patch", "delete"].contains(asked.verb) else { return false }
            return asked.verb == "create" || asked.name == node
        default: return NodeAuthorizer.rules.contains { $0.allows(asked) }
        }
    }

    /// What every kubelet may, whichever pods it runs; NodeRestriction narrows it to its own.
    private static let rules: [PolicyRule] = [
        PolicyRule(verbs: ["create"], groups: ["authentication.k8s.io"], resources: ["tokenreviews"]),
        PolicyRule(verbs: ["create"], groups: ["authorization.k8s.io"], resources: ["subjectaccessreviews", "localsubjectaccessreviews"]),
        PolicyRule(verbs: ["get", "list", "watch"], groups: [""], resources: ["services"]),
        PolicyRule(verbs: ["create", "get", "list", "watch"], groups: [""], resources: ["nodes"]),
        PolicyRule(verbs: ["update", "patch"], groups: [""], resources: ["nodes", "nodes/status"]),
        PolicyRule(verbs: ["get", "list", "watch", "create", "delete"], groups: [""], resources: ["pods"]),
        PolicyRule(verbs: ["update", "patch"], groups: [""], resources: ["pods/status"]),
        PolicyRule(verbs: ["create"], groups: [""], resources: ["pods/eviction"]),
        PolicyRule(verbs: ["create", "update", "patch"], groups: [""], resources: ["events"]),
        PolicyRule(verbs: ["create", "get", "list", "watch"], groups: ["certificates.k8s.io"], resources: ["certificatesigningrequests"]),
        PolicyRule(verbs: ["get", "list", "watch"], groups: ["certificates.k8s.io"], resources: ["clustertrustbundles"]),
        PolicyRule(verbs: ["get"], groups: ["storage.k8s.io"], resources: ["volumeattachments"]),
        PolicyRule(verbs: ["get", "list", "watch"], groups: ["storage.k8s.io"], resources: ["csidrivers"]),
        PolicyRule(verbs: ["get", "list", "watch"], groups: ["node.k8s.io"], resources: ["runtimeclasses"]),
        PolicyRule(verbs: ["get"], groups: ["resource.k8s.io"], resources: ["resourceclaims"]),
        PolicyRule(verbs: ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"], groups: ["resource.k8s.io"], resources: ["resourceslices"]),
    ]

    // MARK: - What pods refer to

    private func pods(of node: String) -> [Node] {
        let records = (try? store.list("pods"))?.records ?? []
        return records.filter { ObjectHeader($0.header).field("spec.nodeName") == node }.compactMap { try? $0.sharedNode() }
    }

    private func claims(_ pod: Node) -> [String] {
        pod["spec"]["volumes"].list.compactMap { volume in
            if let name = volume["persistentVolumeClaim"]["claimName"].string { return name }
            return volume["ephemeral"].isNull ? nil : "\(pod.name)-\(volume["name"].string ?? "")"
        }
    }

    private func volume(of claim: String, _ namespace: String) -> String? {
        (try? store.get(Key("persistentvolumeclaims", namespace: namespace, name: claim))?.sharedNode())?["spec"]["volumeName"].string
    }

    private func refers(_ pod: Node, to asked: Attributes) -> Bool {
        guard pod.namespace == asked.namespace else { return false }
        return asked.resource == "secrets" ? secrets(pod).contains(asked.name) : maps(pod).contains(asked.name)
    }

    private func containers(_ pod: Node) -> [Node] {
        ["containers", "initContainers", "ephemeralContainers"].flatMap { pod["spec"][$0].list }
    }

    private func secrets(_ pod: Node) -> Set<String> {
        var out = Set(pod["spec"]["imagePullSecrets"].list.compactMap { $0["name"].string })
        for container in containers(pod) {
            out.formUnion(container["env"].list.compactMap { $0["valueFrom"]["secretKeyRef"]["name"].string })
            out.formUnion(container["envFrom"].list.compactMap { $0["secretRef"]["name"].string })
        }
        for volume in pod["spec"]["volumes"].list {
            if let name = volume["secret"]["secretName"].string { out.insert(name) }
            out.formUnion(volume["projected"]["sources"].list.compactMap { $0["secret"]["name"].string })
            for (_, source) in volume.fields {
                if let name = source["secretRef"]["name"].string ?? source["nodePublishSecretRef"]["name"].string { out.insert(name) }
            }
        }
        return out
    }

    private func maps(_ pod: Node) -> Set<String> {
        var out: Set<String> = []
        for container in containers(pod) {
            out.formUnion(container["env"].list.compactMap { $0["valueFrom"]["configMapKeyRef"]["name"].string })
            out.formUnion(container["envFrom"].list.compactMap { $0["configMapRef"]["name"].string })
        }
        for volume in pod["spec"]["volumes"].list {
            if let name = volume["configMap"]["name"].string { out.insert(name) }
            out.formUnion(volume["projected"]["sources"].list.compactMap { $0["configMap"]["name"].string })
        }
        return out
    }
}

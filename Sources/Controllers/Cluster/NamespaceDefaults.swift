package import Client
package import Core
import Machinery
import Schema
import Tree

/// Every namespace has a ServiceAccount `default`.
package struct ServiceAccounts: Controller {
    package init() {}
    package var name: String { "serviceaccount-controller" }

    package var triggers: [Trigger] {
        [
            .own(.namespaces),
            Trigger(.serviceAccounts) { change, _ in change.new == nil && change.key.name == "default" ? [ObjectKey("", change.key.namespace)] : [] },
        ]
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let namespace = state.get(.namespaces, key), NamespaceDefaults.isActive(namespace), state.get(.serviceAccounts, key.name, "default") == nil
        else { return .nothing }
        return Plan([
            .create(
                .serviceAccounts,
                ["apiVersion": "v1", "kind": "ServiceAccount", "metadata": ["name": "default", "namespace": .string(key.name)]])
        ])
    }
}

/// Every namespace has the ConfigMap `kube-root-ca.crt` with the certificate authority of the API server.
package struct RootCAPublisher: Controller {
    private let authority: String
    package init(caPEM: String) { authority = caPEM }

    package var name: String { "root-ca-cert-publisher" }
    private static let map = "kube-root-ca.crt"

    package var triggers: [Trigger] {
        [
            .own(.namespaces),
            Trigger(.configMaps) { change, _ in change.key.name == RootCAPublisher.map ? [ObjectKey("", change.key.namespace)] : [] },
        ]
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let namespace = state.get(.namespaces, key), NamespaceDefaults.isActive(namespace) else { return .nothing }
        let data: Node = ["ca.crt": .string(authority)]
        let description = """
            Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or \
            kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.
            """
        if var current = state.get(.configMaps, key.name, RootCAPublisher.map) {
            guard current["data"] != data || current.annotations["kubernetes.io/description"] != description else { return .nothing }
            current["data"] = data
            current["metadata"]["annotations"]["kubernetes.io/description"] = .string(description)
            return Plan([.update(.configMaps, current)])
        }
        return Plan([
            .create(
                .configMaps,
                [
                    "apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": [
                        "name": .string(RootCAPublisher.map), "namespace": .string(key.name), "annotations": ["kubernetes.io/description": .string(description)],
                    ], "data": data,
                ])
        ])
    }
}

enum NamespaceDefaults {
    static func isActive(_ namespace: Node) -> Bool { !namespace.isBeingDeleted && namespace["status"]["phase"].string != "Terminating" }
}

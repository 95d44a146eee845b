package import Client
import Core
import Machinery
import Schema
package import Store
import Tree

/// `kube-system/kube-apiserver-legacy-service-account-token-tracking`: since which day the use of tokens in Secrets is noted. The
/// controller that removes unused ones reads it.
package struct LegacyTokenTracking: Sendable {
    private let client: any ClusterClient
    package init(client: any ClusterClient) { self.client = client }

    /// Writes on each Secret the last day its token was used. Works until cancelled.
    package func note(_ uses: AsyncStream<Key>) async {
        for await key in uses {
            let patch: Node = ["metadata": ["labels": [ServiceAccountTokens.lastUsedLabel: .string(ServiceAccountTokens.day(.now()))]]]
            let secrets = GroupVersionResource(group: "", version: "v1", resource: "secrets")
            // The next use asks again.
            _ = try? await client.patch(secrets, ObjectKey(key.namespace, key.name), .merge, patch, subresource: nil)
        }
    }

    package func ensure() async throws {
        let maps = GroupVersionResource(group: "", version: "v1", resource: "configmaps")
        let key = ObjectKey("kube-system", "kube-apiserver-legacy-service-account-token-tracking")
        let today = Node.string(String(Timestamp.now().rfc3339.prefix(10)))
        do {
            _ = try await client.create(
                maps, namespace: key.namespace,
                ["kind": "ConfigMap", "apiVersion": "v1", "metadata": ["name": .string(key.name), "namespace": "kube-system"], "data": ["since": today]])
        } catch let error as APIError where error.reason == "AlreadyExists" {
            var current = try await client.get(maps, key)
            guard Timestamp(rfc3339: "\(current["data"]["since"].string ?? "")T00:00:00Z") == nil else { return }
            current["data"]["since"] = today
            _ = try await client.update(maps, current, subresource: nil)
        }
    }
}

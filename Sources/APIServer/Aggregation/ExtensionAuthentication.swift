package import Client
import Core
import Machinery
import Schema
import Tree

/// `kube-system/extension-apiserver-authentication`: by what aggregated servers know whom this server speaks for.
package struct ExtensionAuthentication: Sendable {
    /// Who vouches for whom, PEM.
    package struct Trust: Sendable {
        package let clientAuthority: [UInt8]
        package let frontProxy: FrontProxy
        package init(clientAuthority: [UInt8], frontProxy: FrontProxy) {
            self.clientAuthority = clientAuthority
            self.frontProxy = frontProxy
        }
    }

    private let client: any ClusterClient
    private let trust: Trust

    package init(client: any ClusterClient, _ trust: Trust) {
        self.client = client
        self.trust = trust
    }

    private var data: Node {
        [
            "client-ca-file": .string(String(decoding: trust.clientAuthority, as: UTF8.self)),
            "requestheader-allowed-names": .string("[\"\(FrontProxy.commonName)\"]"),
            "requestheader-client-ca-file": .string(String(decoding: trust.frontProxy.authority, as: UTF8.self)),
            "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]", "requestheader-group-headers": "[\"X-Remote-Group\"]",
            "requestheader-uid-headers": "[\"X-Remote-Uid\"]", "requestheader-username-headers": "[\"X-Remote-User\"]",
        ]
    }

    package func ensure() async throws {
        let maps = GroupVersionResource(group: "", version: "v1", resource: "configmaps")
        let name = "extension-apiserver-authentication"
        let object: Node = [
            "kind": "ConfigMap", "apiVersion": "v1", "metadata": ["name": .string(name), "namespace": "kube-system"], "data": data,
        ]
        do {
            _ = try await client.create(maps, namespace: "kube-system", object)
        } catch let error as APIError where error.reason == "AlreadyExists" {
            var current = try await client.get(maps, ObjectKey("kube-system", name))
            guard current["data"] != data else { return }
            current["data"] = data
            _ = try await client.update(maps, current, subresource: nil)
        }
    }
}

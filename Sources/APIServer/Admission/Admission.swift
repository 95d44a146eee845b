package import Machinery
package import Tree

/// A write on its way to the store, as admission sees it.
package struct AdmissionRequest: Sendable {
    package enum Operation: String, Sendable { case create = "CREATE", update = "UPDATE", delete = "DELETE", connect = "CONNECT" }

    package let operation: Operation
    package let resource: ServedResource
    package let subresource: String
    package let namespace: String
    package let name: String
    /// In the served version; null for a deletion.
    package var object: Node
    /// What stands in the store; null for a creation.
    package let old: Node
    package let user: UserInfo
    package let isDryRun: Bool
    package let warn: @Sendable (String) -> Void

    package func forbidden(_ why: String) -> APIError { .forbidden(resource.plural, group: resource.group, name: name, why: why) }
}

/// One rule about writes: it may change the object first, and refuse the outcome later. Upstream's admission plugin.
package protocol AdmissionPlugin: Sendable {
    /// As upstream names it: `NamespaceLifecycle`.
    var name: String { get }
    func admit(_ request: inout AdmissionRequest) async throws(APIError)
    func validate(_ request: AdmissionRequest) async throws(APIError)
}

extension AdmissionPlugin {
    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {}
    package func validate(_ request: AdmissionRequest) async throws(APIError) {}
}

/// The plugins in upstream's order; the order is part of the behaviour.
package struct AdmissionChain: Sendable {
    package let plugins: [any AdmissionPlugin]
    package init(_ plugins: [any AdmissionPlugin]) { self.plugins = plugins }

    func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        for plugin in plugins { try await plugin.admit(&request) }
    }

    func validate(_ request: AdmissionRequest) async throws(APIError) {
        for plugin in plugins { try await plugin.validate(request) }
    }
}

package import Machinery
package import Schema
package import Tree

/// A write on its way to the store, as admission sees it.
package struct AdmissionRequest: Sendable {
    package enum Operation: String, Sendable { case create = "CREATE", update = "UPDATE", delete = "DELETE", connect = "CONNECT" }

    package let operation: Operation
    package let resource: ServedResource
    package let subresource: String
    package let namespace: String
    /// Empty until a generated name is known.
    package var name: String
    /// In the served version; null for a deletion.
    package var object: Node
    /// What stands in the store; null for a creation.
    package let old: Node
    package let user: UserInfo
    package let isDryRun: Bool
    package let warn: @Sendable (String) -> Void
    /// What `object` is, where it is not the resource's own kind: a Scale, a Binding, the options of an exec.
    package var objectKind: GroupVersionKind?
    /// `CreateOptions`, `DeleteOptions` …, as admission webhooks are told.
    package var options: Node = .null
    /// Takes what is to be told in the audit log.
    package var annotate: @Sendable (String, String) -> Void = { _, _ in }
    let reinvocation = Reinvocation()

    package var kind: GroupVersionKind { objectKind ?? resource.resource.gvk }

    package func forbidden(_ why: String) -> APIError {
        var shown = name
        if shown.isEmpty, operation == .create { shown = object.name.isEmpty ? object["metadata"]["generateName"].string ?? "" : object.name }
        return .forbidden(resource.plural, group: resource.group, name: shown, why: why)
    }
}

/// One rule about writes: it may change the object first, and refuse the outcome later. Upstream's admission plugin.
package protocol AdmissionPlugin: Sendable {
    /// As upstream names it: `NamespaceLifecycle`.
    var name: String { get }
    /// Whether it may have something to say, told by the request alone: who has not is not asked. Most plugins are about one kind.
    func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool
    func admit(_ request: inout AdmissionRequest) async throws(APIError)
    func validate(_ request: AdmissionRequest) async throws(APIError)
}

/// The two rounds of admission: the object may be changed, then it may only be refused.
package enum AdmissionStage: Sendable { case mutating, validating }

extension AdmissionPlugin {
    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { true }
    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {}
    package func validate(_ request: AdmissionRequest) async throws(APIError) {}
}

/// The plugins in upstream's order; the order is part of the behaviour.
package struct AdmissionChain: Sendable {
    package let plugins: [any AdmissionPlugin]
    package init(_ plugins: [any AdmissionPlugin]) { self.plugins = plugins }

    /// Where a webhook has changed the object, everything is asked once more: the plugins of this process, and the webhooks that want it.
    func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        for plugin in plugins where plugin.concerns(request, .mutating) { try await plugin.admit(&request) }
        guard request.reinvocation.begin() else { return }
        for plugin in plugins where plugin.concerns(request, .mutating) { try await plugin.admit(&request) }
    }

    func validate(_ request: AdmissionRequest) async throws(APIError) {
        for plugin in plugins where plugin.concerns(request, .validating) { try await plugin.validate(request) }
    }
}

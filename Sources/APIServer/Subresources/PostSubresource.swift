import Core
package import Machinery
import Schema
package import Tree

/// A subresource that is an action: POST an object, get one back. Bindings, evictions, tokens.
package protocol PostSubresource: Sendable {
    /// `object` is decoded and has its defaults. Returns what the client is answered.
    func post(_ object: Node, _ resource: ServedResource, namespace: String, name: String, _ context: WriteContext) async throws(APIError) -> Node
}

extension PostSubresource {
    /// The action with admission before it, which sees the posted object; what the action writes for it is then admitted.
    func admitted(
        _ object: Node, _ resource: ServedResource, _ subresource: Subresource, namespace: String, name: String, _ context: WriteContext, _ admission: AdmissionChain
    ) async throws(APIError) -> Node {
        var object = object
        object["kind"] = .string(subresource.gvk.kind)
        object["apiVersion"] = .string(subresource.gvk.apiVersion)
        var request = AdmissionRequest(
            operation: .create, resource: resource, subresource: subresource.name, namespace: namespace, name: name, object: object, old: .null,
            user: context.user, isDryRun: context.options.isDryRun, warn: context.warn, objectKind: subresource.gvk, options: context.optionsObject,
            annotate: context.annotate)
        try await admission.admit(&request)
        try await admission.validate(request)
        var context = context
        context.isAdmitted = true
        return try await post(request.object, resource, namespace: namespace, name: name, context)
    }
}

/// Serves a `PostSubresource` over HTTP.
package struct PostHandler: SubresourceHandler {
    let action: any PostSubresource
    package init(_ action: any PostSubresource) { self.action = action }

    package func handle(_ request: APIRequest, _ resource: ServedResource, _ server: APIServer) async throws(APIError) {
        guard request.info.verb == "create", let subresource = resource.resource.subresource(request.info.subresource) else {
            throw APIError.methodNotAllowed
        }
        var context = try server.context(request)
        let rendering = try server.rendering(request, resource)
        var object = try await RequestBody.object(request, resource.canonical, subresource.gvk, context.options.fieldValidation)
        if let message = subresource.message {
            Defaulting(resource.graph).apply(to: &object, as: message)
            let manager = ManagedFields.Manager(
                name: context.options.fieldManager, operation: "Update", subresource: subresource.name, apiVersion: subresource.gvk.apiVersion)
            let engine = ServerSideApply(resource.canonical, as: message, ignoring: [], now: server.parts.writer.time.now())
            object["metadata"]["managedFields"] = engine.update(live: .null, new: object, by: manager)
        }
        request.audit?.requestObject(object)
        if object["dryRun"].stringList.contains("All") || object["deleteOptions"]["dryRun"].stringList.contains("All") { context.options.isDryRun = true }
        let answer = try await action.admitted(
            object, resource, subresource, namespace: request.info.namespace, name: request.info.name, context, server.parts.writer.admission)
        server.respond(request, status: 201, body: try rendering.object(answer), rendering)
    }
}

package import Machinery
import Schema
package import Tree

/// A resource of which nothing is stored: questions about permissions, who one is, the state of components.
package protocol VirtualResource: Sendable {
    /// `object` is decoded and has its defaults. Returns what the client is answered.
    func create(_ object: Node, _ resource: ServedResource, namespace: String, _ context: WriteContext) async throws(APIError) -> Node
    func list(_ resource: ServedResource, namespace: String) async throws(APIError) -> [Node]
    /// The status code of an answered creation.
    var createdStatus: Int { get }
}

extension VirtualResource {
    package func create(_ object: Node, _ resource: ServedResource, namespace: String, _ context: WriteContext) async throws(APIError) -> Node {
        throw .methodNotAllowed
    }
    package func list(_ resource: ServedResource, namespace: String) async throws(APIError) -> [Node] {
        throw .methodNotAllowed
    }
    package var createdStatus: Int { 201 }
}

extension APIServer {
    /// Answers for a resource that has no objects in the store, before the verbs that work on the store.
    func virtual(_ request: APIRequest, _ resource: ServedResource, _ handler: any VirtualResource) async throws(APIError) {
        // The answer to a question is no object that has metadata or a row in a table.
        let rendering = try rendering(request, resource, allowsShapes: request.info.verb != "create")
        let namespace = resource.isNamespaced ? request.info.namespace : ""
        switch request.info.verb {
        case "create":
            guard request.info.name.isEmpty else { throw .methodNotAllowed }
            // What has no metadata has neither tables nor parts.
            if rendering.format.shape != .object {
                throw APIError.notAcceptable("only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf")
            }
            var context = try context(request)
            let object = try await decodeBody(request, resource, &context)
            var admitted = AdmissionRequest(
                operation: .create, resource: resource, subresource: "", namespace: namespace, name: object.name, object: object, old: .null,
                user: context.user, isDryRun: context.options.isDryRun, warn: context.warn, options: context.optionsObject, annotate: context.annotate)
            try await parts.writer.admission.admit(&admitted)
            try await parts.writer.admission.validate(admitted)
            let answer = try await handler.create(admitted.object, resource, namespace: namespace, context)
            respond(request, status: handler.createdStatus, body: try rendering.object(answer), rendering)
        case "list":
            let selection = try ListQuery(request, resource).selection
            let objects = try await handler.list(resource, namespace: namespace).filter(selection.matches)
            respond(request, body: try rendering.virtualList(objects), rendering)
        case "get":
            let all: [Node]
            // What can only be asked has no path of its own.
            do throws(APIError) { all = try await handler.list(resource, namespace: namespace) } catch { throw error.code == 405 ? .pathNotFound : error }
            guard let found = all.first(where: { $0.name == request.info.name }) else {
                throw .notFound(resource.plural, group: resource.group, name: request.info.name)
            }
            respond(request, body: try rendering.object(found), rendering)
        case "watch" where resource.resource.allows("list"):
            throw APIError(
                code: 405, reason: "MethodNotAllowed", message: "watch is not supported on resources of kind \(FieldError.quoted(resource.plural))",
                details: .init(group: resource.group, kind: resource.plural))
        default: throw .methodNotAllowed
        }
    }
}

import Core
package import Machinery
import Schema
import Store
import Transport
package import Tree

/// `scale`: the number of replicas of anything that has some, as an `autoscaling/v1` Scale.
package struct ScaleSubresource: SubresourceHandler {
    package init() {}

    package func handle(_ request: APIRequest, _ resource: ServedResource, _ server: APIServer) async throws(APIError) {
        let rendering = try server.rendering(request, resource)
        let info = request.info
        let namespace = info.namespace
        switch info.verb {
        case "get":
            guard let record = server.parts.store.get(.init(resource.collection, namespace: namespace, name: info.name)) else {
                throw APIError.notFound(resource.plural, group: resource.group, name: info.name)
            }
            try await rendering.prepare([record])
            server.respond(request, body: try rendering.object(ScaleSubresource.scale(of: try rendering.served(record), resource)), rendering)
        case "update", "patch":
            var context = try server.context(request)
            context.fieldsThrough = "scale"
            // Admission sees the Scale, below.
            context.isAdmitted = true
            context.isApply = info.verb == "patch" && RequestBody.isApply(request.http.headers["content-type"])
            if context.isApply, (request.first("fieldManager") ?? "").isEmpty { throw WriteOptions.invalid(.required("fieldManager", "is required for apply patch")) }
            let make = try await change(request, resource, server, context)
            let admission = server.parts.writer.admission
            let written = try await server.parts.writer.update(resource, namespace: namespace, name: info.name, context) { [context] current throws(APIError) in
                var before = ScaleSubresource.scale(of: current, resource)
                let owners = ScaleSubresource.owners(current, resource)
                if !owners.isNull { before["metadata"]["managedFields"] = owners }
                var request = AdmissionRequest(
                    operation: .update, resource: resource, subresource: "scale", namespace: namespace, name: info.name, object: try make(before), old: before,
                    user: context.user, isDryRun: context.options.isDryRun, warn: context.warn,
                    objectKind: GroupVersionKind(group: "autoscaling", version: "v1", kind: "Scale"), options: context.optionsObject, annotate: context.annotate)
                try await admission.admit(&request)
                try await admission.validate(request)
                let scale = request.object
                try ScaleSubresource.check(scale, current, resource)
                if context.isApply { return try ScaleSubresource.applied(scale, to: current, resource, context, now: server.parts.writer.time.now()) }
                var object = current
                let path = ScaleSubresource.steps(resource.resource.subresource("scale")?.scalePaths?.specReplicas ?? ".spec.replicas")
                ScaleSubresource.set(&object, path[...], .int(scale["spec"]["replicas"].int ?? 0))
                return object
            }
            let object: Node
            switch written {
            case .stored(let record, _):
                try await rendering.prepare([record])
                object = try rendering.served(record)
            case .unsaved(let node, _): object = node
            }
            server.respond(request, body: try rendering.object(ScaleSubresource.scale(of: object, resource)), rendering)
        default: throw APIError.methodNotAllowed
        }
    }

    /// The number of replicas as the manager's own, where nobody else says another.
    private static func applied(
        _ scale: Node, to current: Node, _ resource: ServedResource, _ context: WriteContext, now: Timestamp
    ) throws(APIError) -> Node {
        var configuration = patch(scale["spec"]["replicas"].int ?? 0, resource)
        configuration["kind"] = .string(resource.kind)
        configuration["apiVersion"] = .string(resource.resource.gvk.apiVersion)
        configuration["metadata"] = ["name": .string(current.name), "namespace": .string(current.namespace)]
        let isChange = scale["spec"]["replicas"] != ScaleSubresource.scale(of: current, resource)["spec"]["replicas"]
        if isChange, context.options.force != true, owners(current, resource).isNull {
            let before = "\"before-first-apply\" with subresource \"scale\" using autoscaling/v1"
            if let error = ServerSideApply.conflict([.init(who: before, path: ".spec.replicas")]) { throw error }
        }
        let ownership = FieldOwnership(resource, subresource: "scale", now: now)
        return try ownership.apply(configuration, to: current, by: context.options.fieldManager, force: context.options.force ?? false)
    }

    /// Who owns the number of replicas, as owners of a Scale.
    private static func owners(_ object: Node, _ resource: ServedResource) -> Node {
        let path = steps(resource.resource.subresource("scale")?.scalePaths?.specReplicas ?? ".spec.replicas").map { "f:\($0)" }
        return ServerSideApply.owners(of: path, object, as: ["f:spec", "f:replicas"], apiVersion: "autoscaling/v1")
    }

    /// `.spec.replicas` as its steps.
    private static func steps(_ path: String) -> [String] { path.split(separator: ".").map(String.init) }

    private static func value(_ object: Node, _ path: String) -> Node { steps(path).reduce(object) { $0[$1] } }

    private static func set(_ object: inout Node, _ path: ArraySlice<String>, _ value: Node) {
        guard let first = path.first else { return object = value }
        set(&object[first], path.dropFirst(), value)
    }

    /// The merge patch of the object that gives it a number of replicas.
    package static func patch(_ replicas: Int64, _ resource: ServedResource) -> Node {
        var patch = Node.emptyMap
        let path = steps(resource.resource.subresource("scale")?.scalePaths?.specReplicas ?? ".spec.replicas")
        set(&patch, path[...], .int(replicas))
        return patch
    }

    package static func scale(of object: Node, _ resource: ServedResource) -> Node {
        guard let paths = resource.resource.subresource("scale")?.scalePaths else { return builtIn(object) }
        var status: Node = ["replicas": .int(value(object, paths.statusReplicas).int ?? 0)]
        if !paths.labelSelector.isEmpty, let text = value(object, paths.labelSelector).string, !text.isEmpty { status["selector"] = .string(text) }
        return make(object, replicas: value(object, paths.specReplicas).int ?? 0, status: status)
    }

    private static func builtIn(_ object: Node) -> Node {
        var status: Node = ["replicas": .int(object["status"]["replicas"].int ?? 0)]
        let selector = object["spec"]["selector"]
        let text = selector.has("matchLabels") || selector.has("matchExpressions")
            ? LabelSelector(object: selector).description : LabelSelector(equals: selector.stringMap).description
        if !text.isEmpty { status["selector"] = .string(text) }
        return make(object, replicas: object["spec"]["replicas"].int ?? 0, status: status)
    }

    private static func make(_ object: Node, replicas: Int64, status: Node) -> Node {
        var metadata: Node = ["name": .string(object.name), "namespace": .string(object.namespace)]
        for field in ["uid", "resourceVersion", "creationTimestamp"] { metadata[field] = object["metadata"][field] }
        return [
            "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": ["replicas": .int(replicas)],
            "status": status,
        ]
    }

    private func change(
        _ request: APIRequest, _ resource: ServedResource, _ server: APIServer, _ context: WriteContext
    ) async throws(APIError) -> @Sendable (Node) throws(APIError) -> Node {
        let gvk = GroupVersionKind(group: "autoscaling", version: "v1", kind: "Scale")
        // A custom resource's own graph does not have the kind.
        let canonical = server.parts.catalog.canonical
        guard let message = canonical.graph.message(of: gvk) else { throw APIError.pathNotFound }
        guard request.info.verb == "patch" else {
            let body = try await RequestBody.object(request, canonical, gvk, context.options.fieldValidation)
            request.audit?.requestObject(body)
            return { _ throws(APIError) in body }
        }
        let bytes = try await RequestBody.read(request)
        let patch = try PatchVerb(bytes, mediaType: RequestBody.mediaType(request), resource, acceptsStrategic: true)
        request.audit?.requestText(patch.configuration)
        return { (scale) throws(APIError) in
            let patched = try patch.apply(to: scale, graph: canonical.graph, as: message, resource)
            let decoded: Canonical.Decoded
            do throws(DecodingFailure) { decoded = try canonical.decode(patched, as: message) } catch { throw patch.refusal(patched, of: scale, as: message, in: canonical.graph, error.description) }
            let unknown = decoded.unknown.map { "unknown field \(NodePath.quoted(BodyDecoder.dotted($0)))" }
            switch context.options.fieldValidation {
            case .strict where !unknown.isEmpty: throw patch.refusal(patched, of: scale, as: message, in: canonical.graph, "strict decoding error: " + unknown.joined(separator: ", "))
            case .warn: for text in unknown { context.warn(text) }
            default: break
            }
            return decoded.node
        }
    }

    private static func check(_ scale: Node, _ current: Node, _ resource: ServedResource) throws(APIError) {
        if !scale.name.isEmpty, scale.name != current.name {
            throw APIError.badRequest("the name of the object (\(scale.name)) does not match the name on the URL (\(current.name))")
        }
        if let version = scale["metadata"]["resourceVersion"].string, !version.isEmpty, version != current["metadata"]["resourceVersion"].string {
            throw APIError.conflict(resource.plural, group: resource.group, name: current.name, why: ObjectMetadata.modified)
        }
        let replicas = scale["spec"]["replicas"].int ?? 0
        if replicas < 0 {
            throw APIError.invalid(
                kind: "Scale", group: "autoscaling", name: current.name,
                errors: [.invalid("spec.replicas", String(replicas), "must be greater than or equal to 0")])
        }
    }
}

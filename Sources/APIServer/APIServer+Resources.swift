import Core
import Kinds
package import Machinery
import Schema
import Store
import Transport
import Tree

/// Answers what comes under one subresource (`pods/log`, `deployments/scale`) where the standard pattern does not.
package protocol SubresourceHandler: Sendable {
    func handle(_ request: APIRequest, _ resource: ServedResource, _ server: APIServer) async throws(APIError)
}

extension APIServer {
    /// A request below /api or /apis: finds the resource, then the verb's code, which all kinds share.
    func resource(_ request: APIRequest) async throws(APIError) {
        let info = request.info
        let gvr = GroupVersionResource(group: info.group, version: info.version, resource: info.resource)
        guard let resource = parts.catalog.resource(gvr) else {
            if let api = embedded(info.group, info.version) { return try await answer(request, api) }
            // Of a group that nobody serves not even the path is known.
            let isServed = parts.catalog.all.contains { $0.group == info.group && $0.resource.version == info.version }
            if isServed { throw APIError.pathNotFound }
            return respond(request, status: 404, text: "404 page not found\n", isSniffed: false)
        }
        guard resource.isNamespaced || info.namespace.isEmpty || (info.resource == "namespaces" && info.name == info.namespace) else { throw APIError.pathNotFound }
        // The older paths of watches are for reading, too.
        if info.verb == "watch", request.http.method != "GET" { throw APIError.methodNotAllowed }
        // Without its namespace a resource can only be looked at as a whole.
        if resource.isNamespaced, info.namespace.isEmpty {
            if !info.name.isEmpty, info.verb != "list", info.verb != "watch" { throw APIError.pathNotFound }
            if info.verb == "create" || info.verb == "deletecollection" { throw APIError.methodNotAllowed }
        }
        if !info.subresource.isEmpty {
            guard let subresource = resource.resource.subresource(info.subresource) else { throw APIError.pathNotFound }
            guard subresource.verbs.contains(info.verb) || !APIServer.plainVerbs.contains(info.verb) else { throw APIError.methodNotAllowed }
            if let handler = parts.subresources["\(resource.collection)/\(info.subresource)"] ?? parts.subresources["*/\(info.subresource)"] {
                return try await handler.handle(request, resource, self)
            }
        }
        // Only what is passed on to somebody else takes other methods.
        guard !["HEAD", "OPTIONS"].contains(request.http.method) else { throw APIError.methodNotAllowed }
        // A patch that nobody can read is not even looked at.
        let isReadable = info.verb != "patch" || PatchVerb.accepted(!resource.isCustom).contains(RequestBody.mediaType(request))
        if isReadable, let words = resource.deprecation ?? (info.group.isEmpty ? APIServer.deprecations[info.resource] : nil) {
            request.warn(words)
            request.audit?.annotate("k8s.io/deprecated", "true")
        }
        if info.verb == "deletecollection", !resource.resource.allows("deletecollection") { throw APIError.methodNotAllowed }
        if let handler = parts.virtuals[resource.collection] { return try await virtual(request, resource, handler) }
        if info.name.isEmpty, info.verb == "update" || info.verb == "patch" { throw APIError.methodNotAllowed }
        switch info.verb {
        case "get": try await get(request, resource)
        case "list": try await list(request, resource)
        case "watch": try await watch(request, resource)
        case "create": try await create(request, resource)
        case "update": try await update(request, resource)
        case "patch": try await patch(request, resource)
        case "delete": try await delete(request, resource)
        case "deletecollection": try await deleteCollection(request, resource)
        default: throw APIError.methodNotAllowed
        }
    }

    /// Those that a subresource has or has not.
    private static let plainVerbs: Set<String> = ["get", "create", "update", "patch", "delete"]

    /// What upstream's servers say with every answer about a resource on its way out.
    private static let deprecations = [
        "endpoints": "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
        "componentstatuses": "v1 ComponentStatus is deprecated in v1.19+",
    ]

    private func namespace(_ request: APIRequest, _ resource: ServedResource) -> String { resource.isNamespaced ? request.info.namespace : "" }

    func rendering(_ request: APIRequest, _ resource: ServedResource, allowsShapes: Bool = true) throws(APIError) -> Rendering {
        // Two statuses have no tables upstream.
        let isBare = request.info.subresource == "status" && ["apiextensions.k8s.io", "apiregistration.k8s.io"].contains(resource.group)
        let format = try request.format(allowsProtobuf: !resource.isCustom, allowsShapes: allowsShapes && !isBare)
        var rendering = Rendering(resource: resource, format: format, conversion: parts.conversion)
        rendering.tableOptions.includeObject = request.first("includeObject") ?? "Metadata"
        return rendering
    }

    // MARK: - Reading

    private func get(_ request: APIRequest, _ resource: ServedResource) async throws(APIError) {
        let rendering = try rendering(request, resource)
        let key = Key(resource.collection, namespace: namespace(request, resource), name: request.info.name)
        if let version = try ListQuery.revision(request), version > parts.store.currentRevision {
            throw StoreError.tooLarge(current: parts.store.currentRevision, asked: version)
        }
        guard let record = parts.store.get(key) else {
            throw APIError.notFound(resource.plural, group: resource.group, name: request.info.name)
        }
        try await rendering.prepare([record])
        let body = try rendering.object(record)
        if body.count > APIRequest.gzipFrom { await respond(request, chunks: [body[...]], rendering) } else { respond(request, body: body, rendering) }
    }

    private func list(_ request: APIRequest, _ resource: ServedResource) async throws(APIError) {
        let rendering = try rendering(request, resource)
        let query = try ListQuery(request, resource)
        let page = try await ListVerb(store: parts.store).page(resource, namespace: namespace(request, resource), query, rendering)
        try await rendering.prepare(page.records)
        if request.takesGzip, let list = rendering.packable(page.records, page.metadata), list.size > APIRequest.gzipFrom {
            let packed = await Task.detached { [packedLists] in list.packed(packedLists) }.value
            return request.answer(status: 200, headers: request.headers(contentType: rendering.format.contentType).gzipped, chunks: packed)
        }
        await respond(request, chunks: try rendering.list(page.records, page.metadata), rendering)
    }

    private func watch(_ request: APIRequest, _ resource: ServedResource) async throws(APIError) {
        let rendering = try rendering(request, resource)
        let query = try ListQuery(request, resource)
        parts.flowControl?.watchBegins(request.info)
        defer { parts.flowControl?.watchEnds(request.info) }
        try await WatchVerb(store: parts.store).run(request, resource, query, rendering)
    }

    // MARK: - Writing

    func context(_ request: APIRequest) throws(APIError) -> WriteContext {
        let options = try WriteOptions(request)
        var context = WriteContext(user: request.user, options: options) { request.warn($0) }
        if let audit = request.audit { context.annotate = { audit.annotate($0, $1) } }
        context.optionsObject = options.node(request.info.verb, stated: request.first("fieldManager"), validation: request.first("fieldValidation"))
        return context
    }

    /// Reads and decodes the body as an object of the resource, with defaults.
    func decodeBody(_ request: APIRequest, _ resource: ServedResource, _ context: inout WriteContext) async throws(APIError) -> Node {
        let body = try await RequestBody.decoded(
            request, resource.canonical, resource.resource.gvk, context.options.fieldValidation, allowsProtobuf: !resource.isCustom)
        var object = body.object
        context.empties = body.empties
        context.isUnlabelled = object["metadata"]["labels"].isEmpty
        if body.empties.isEmpty {
            parts.writer.checks.setDefaults(&object, resource)
        } else {
            parts.writer.checks.complete(&object, resource, body.empties)
        }
        request.audit?.requestObject(object)
        return object
    }

    private func create(_ request: APIRequest, _ resource: ServedResource) async throws(APIError) {
        guard request.info.name.isEmpty else { throw APIError.methodNotAllowed }
        let rendering = try rendering(request, resource)
        var context = try context(request)
        let object = try await decodeBody(request, resource, &context)
        if resource.isNamespaced, request.info.namespace.isEmpty { throw APIError.badRequest("an empty namespace may not be set during creation") }
        let written = try await parts.writer.create(resource, namespace: namespace(request, resource), object, context)
        try await respond(request, written, rendering)
    }

    private func update(_ request: APIRequest, _ resource: ServedResource) async throws(APIError) {
        let rendering = try rendering(request, resource)
        var context = try context(request)
        context.isReplacement = true
        var decoded = try await decodeBody(request, resource, &context)
        let info = request.info
        if decoded.name.isEmpty {
            throw APIError.badRequest("name must be provided")
        }
        guard decoded.name == info.name else {
            throw APIError.badRequest("the name of the object (\(decoded.name)) does not match the name on the URL (\(info.name))")
        }
        let namespace = namespace(request, resource)
        try ObjectMetadata.checkNamespace(&decoded, namespace)
        let object = decoded
        let allowsCreate = parts.writer.strategy(resource).traits.allowsCreateOnUpdate
        let change: ObjectWriter.Change = { _ in object }
        let written = try await parts.writer.update(
            resource, namespace: namespace, name: info.name, subresource: info.subresource, context, createIfAbsent: allowsCreate ? change : nil, change)
        try await respond(request, written, rendering)
    }

    private func patch(_ request: APIRequest, _ resource: ServedResource) async throws(APIError) {
        let rendering = try rendering(request, resource)
        let context = try context(request)
        let bytes = try await RequestBody.read(request)
        let patch = try PatchVerb(bytes, mediaType: RequestBody.mediaType(request), resource, acceptsStrategic: !resource.isCustom)
        request.audit?.requestText(patch.configuration)
        let info = request.info
        if patch.kind == .apply {
            try strict(patch, context)
            return try await apply(request, resource, patch.configuration, context, rendering)
        }
        if context.options.force != nil {
            throw WriteOptions.invalid(.forbidden("force", "may not be specified for non-apply patch"))
        }
        let writer = parts.writer
        let change: ObjectWriter.Change = { current throws(APIError) in
            var patched = try patch.apply(to: current, graph: resource.graph, as: resource.resource.message, resource)
            let found = GroupVersionKind(apiVersion: patched.apiVersion, kind: patched.kind)
            if found != resource.resource.gvk, found.map({ resource.graph.message(of: $0) == nil }) ?? true {
                throw patch.refusal(patched, of: current, as: resource.resource.message, in: resource.graph, BodyDecoder.unregistered(patched.apiVersion, patched.kind, in: resource.group))
            }
            guard patched.name == info.name else {
                throw APIError.badRequest("the name of the object (\(patched.name)) does not match the name on the URL (\(info.name))")
            }
            try ObjectMetadata.checkNamespace(&patched, current.namespace)
            var object: Node
            do throws(APIError) { object = try writer.checks.decode(patched, resource, context.options, besides: patch.duplicates, warn: context.warn) } catch {
                // The same finding, as upstream words it for patches.
                let parts = error.message.split(separator: "cannot be handled as a \(resource.kind): ", maxSplits: 1)
                throw parts.count == 2 ? patch.refusal(patched, of: current, as: resource.resource.message, in: resource.graph, String(parts[1])) : error
            }
            object["kind"] = .string(resource.kind)
            object["apiVersion"] = .string(resource.resource.gvk.apiVersion)
            return object
        }
        let written = try await writer.update(
            resource, namespace: namespace(request, resource), name: info.name, subresource: info.subresource, context, change)
        try await respond(request, written, rendering)
    }

    /// Keys that a configuration has twice.
    private func strict(_ patch: PatchVerb, _ context: WriteContext) throws(APIError) {
        for text in patch.duplicates {
            switch context.options.fieldValidation {
            case .strict: throw APIError.badRequest("error strict decoding YAML: \(text)")
            case .warn: context.warn(text)
            case .ignore: return
            }
        }
    }

    private func apply(
        _ request: APIRequest, _ resource: ServedResource, _ configuration: Node, _ context: WriteContext, _ rendering: Rendering
    ) async throws(APIError) {
        if (request.first("fieldManager") ?? "").isEmpty { throw WriteOptions.invalid(.required("fieldManager", "is required for apply patch")) }
        var context = context
        context.isApply = true
        context.isUnlabelled = configuration["metadata"]["labels"].isEmpty
        let info = request.info
        let namespace = namespace(request, resource)
        let verb = try ApplyVerb(configuration, resource, subresource: info.subresource, namespace: namespace, name: info.name, parts.writer, context)
        let change: ObjectWriter.Change = { (current) async throws(APIError) in try await verb.change(current) }
        let written = try await parts.writer.update(
            resource, namespace: namespace, name: info.name, subresource: info.subresource, context, createIfAbsent: change, change)
        try await respond(request, written, rendering)
    }

    // MARK: - Deleting

    func deletionOptions(_ request: APIRequest) async throws(APIError) -> (DeletionOptions, isDryRun: Bool) {
        let bytes = try await RequestBody.read(request)
        guard !bytes.isEmpty else {
            let isDryRun = request.query.contains { $0.name == "dryRun" && $0.value == "All" }
            return (try DeletionOptions(.null) { request.first($0) }, isDryRun)
        }
        // Clients send the options in the version of the resource's own group too.
        let body = try DeletionBody(parts.catalog.canonical).decode(bytes, RequestBody.mediaType(request))
        request.audit?.requestText(body)
        return (try DeletionOptions(body) { request.first($0) }, body["dryRun"].stringList.contains("All"))
    }

    private func delete(_ request: APIRequest, _ resource: ServedResource) async throws(APIError) {
        let rendering = try rendering(request, resource)
        var context = try context(request)
        let (options, isDryRun) = try await deletionOptions(request)
        context.options.isDryRun = isDryRun
        warn(request, resource, options)
        let deleted = try await parts.writer.delete(resource, namespace: namespace(request, resource), name: request.info.name, options, context)
        switch deleted {
        case .gone(let record):
            try await rendering.prepare([record])
            let object = try rendering.served(record)
            guard !parts.writer.strategy(resource).traits.returnsDeletedObject else { return respond(request, body: try rendering.object(record), rendering) }
            let status = APIServer.success(resource, object)
            request.audit?.responseStatus(status)
            respond(request, body: try plain(rendering).object(status), rendering)
        case .marked(let record):
            try await rendering.prepare([record])
            respond(request, body: try rendering.object(record), rendering)
        case .unsaved(let object, let isGone):
            guard isGone, !parts.writer.strategy(resource).traits.returnsDeletedObject else { return respond(request, body: try rendering.object(object), rendering) }
            respond(request, body: try plain(rendering).object(APIServer.success(resource, object)), rendering)
        }
    }

    private func warn(_ request: APIRequest, _ resource: ServedResource, _ options: DeletionOptions) {
        guard options.propagation == nil, let warning = parts.writer.strategy(resource).traits.deletionWarning else { return }
        request.warn(warning)
    }

    /// The `Status` of a deletion that is done.
    static func success(_ resource: ServedResource, _ object: Node) -> Node {
        var details: Node = ["name": .string(object.name)]
        if !resource.group.isEmpty { details["group"] = .string(resource.group) }
        details["kind"] = .string(resource.plural)
        details["uid"] = .string(object.uid)
        return ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "details": details]
    }

    private func plain(_ rendering: Rendering) -> Rendering {
        var format = rendering.format
        format.shape = .object
        return Rendering(resource: rendering.resource, format: format, conversion: rendering.conversion)
    }

    private func deleteCollection(_ request: APIRequest, _ resource: ServedResource) async throws(APIError) {
        let rendering = try rendering(request, resource)
        var context = try context(request)
        let query = try ListQuery(request, resource)
        let (options, isDryRun) = try await deletionOptions(request)
        context.options.isDryRun = isDryRun
        warn(request, resource, options)
        let page = try await ListVerb(store: parts.store).page(resource, namespace: namespace(request, resource), query, rendering)
        for record in page.records {
            do {
                _ = try await parts.writer.delete(resource, namespace: record.key.namespace, name: record.key.name, options, context)
            } catch {
                if error.code != 404 { throw error }
            }
        }
        try await rendering.prepare(page.records)
        await respond(request, chunks: try rendering.list(page.records, page.metadata), rendering)
    }

    // MARK: - Answers

    /// A list. Packed where it is long and the client can take it; not on the loop, which others wait for.
    private func respond(_ request: APIRequest, chunks: [ArraySlice<UInt8>], _ rendering: Rendering) async {
        let headers = request.headers(contentType: rendering.format.contentType)
        guard request.takesGzip, chunks.reduce(0, { $0 + $1.count }) > APIRequest.gzipFrom else {
            return request.answer(status: 200, headers: headers, chunks: chunks)
        }
        let packed = await Task.detached { GzipPart.stream([GzipPart(chunks)]) }.value
        request.answer(status: 200, headers: headers.gzipped, chunks: packed)
    }

    func respond(_ request: APIRequest, status: Int = 200, body: [UInt8], _ rendering: Rendering) {
        request.answer(status: status, headers: request.headers(contentType: rendering.format.contentType), body: body)
    }

    func respond(_ request: APIRequest, _ written: Written, _ rendering: Rendering) async throws(APIError) {
        if case .stored(let record, _) = written { try await rendering.prepare([record]) }
        switch written {
        case .stored(let record, let created): respond(request, status: created ? 201 : 200, body: try rendering.object(record), rendering)
        case .unsaved(let object, let created): respond(request, status: created ? 201 : 200, body: try rendering.object(object), rendering)
        }
    }
}

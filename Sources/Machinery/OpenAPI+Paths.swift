import Schema
import Tree

extension OpenAPI {
    private static let produced = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
    private static let streamed = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"]
    private static let patches = [
        "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml",
    ]

    /// One verb at one path, whatever the document's version.
    private struct Operation {
        var method: String
        var id: String
        var action: String
        var kind: GroupVersionKind
        var query: [(name: String, type: String)] = []
        var body: String?
        var consumes = ["*/*"]
        var codes: [(code: String, text: String)] = [("200", "OK")]
        var answer = ""
        var isList = false
    }

    private static let created = [("200", "OK"), ("201", "Created")]
    private static let writes = [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")]
    private static let lists = [
        ("allowWatchBookmarks", "boolean"), ("continue", "string"), ("fieldSelector", "string"), ("labelSelector", "string"), ("limit", "integer"),
        ("resourceVersion", "string"), ("resourceVersionMatch", "string"), ("sendInitialEvents", "boolean"), ("shardSelector", "string"),
        ("timeoutSeconds", "integer"), ("watch", "boolean"),
    ]
    private static let deletes = [
        ("dryRun", "string"), ("gracePeriodSeconds", "integer"), ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
        ("orphanDependents", "boolean"), ("propagationPolicy", "string"),
    ]
    private static let meta = "io.k8s.apimachinery.pkg.apis.meta.v1."

    func paths(of resource: Resource) -> [(String, Node)] {
        let base = (resource.group.isEmpty ? "/api/" : "/apis/\(resource.group)/") + resource.version
        let collection = base + (resource.isNamespaced ? "/namespaces/{namespace}/" : "/") + resource.name
        var out: [(String, Node)] = []
        func add(_ path: String, _ operations: [Operation], named: Bool, namespaced: Bool) {
            guard !operations.isEmpty else { return }
            var item = Node.emptyMap
            var parameters: [Node] = []
            if named { parameters.append(parameter("name", in: "path", "string")) }
            if namespaced { parameters.append(parameter("namespace", in: "path", "string")) }
            parameters.append(parameter("pretty", in: "query", "string"))
            item["parameters"] = .list(parameters)
            for operation in operations { item[operation.method] = render(operation, resource) }
            out.append((path, item))
        }
        add(collection, collectionOperations(resource), named: false, namespaced: resource.isNamespaced)
        add(collection + "/{name}", objectOperations(resource), named: true, namespaced: resource.isNamespaced)
        if resource.isNamespaced, resource.allows("list") {
            add("\(base)/\(resource.name)", [listOperation(resource, id: "list" + prefix(resource) + resource.kind + "ForAllNamespaces")], named: false, namespaced: false)
        }
        for subresource in resource.subresources {
            add("\(collection)/{name}/\(subresource.name)", operations(subresource, of: resource), named: true, namespaced: resource.isNamespaced)
        }
        return out
    }

    private func prefix(_ resource: Resource) -> String {
        var group = resource.group.isEmpty ? "core" : resource.group
        if group.hasSuffix(".k8s.io") { group = String(group.dropLast(7)) }
        return group.split(separator: ".").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined() + resource.version.prefix(1).uppercased()
            + resource.version.dropFirst()
    }

    private func scope(_ resource: Resource) -> String { resource.isNamespaced ? "Namespaced" : "" }
    private func name(_ id: MessageID?) -> String { id.map { graph[$0].openAPIName } ?? "" }

    private func listOperation(_ resource: Resource, id: String) -> Operation {
        Operation(method: "get", id: id, action: "list", kind: resource.gvk, query: OpenAPI.lists, answer: name(resource.list), isList: true)
    }

    private func collectionOperations(_ resource: Resource) -> [Operation] {
        let tail = scope(resource) + resource.kind
        let object = name(resource.message)
        var out: [Operation] = []
        if resource.allows("list") { out.append(listOperation(resource, id: "list" + prefix(resource) + tail)) }
        if resource.allows("create") {
            out.append(
                Operation(
                    method: "post", id: "create" + prefix(resource) + tail, action: "post", kind: resource.gvk, query: OpenAPI.writes, body: object,
                    codes: OpenAPI.created + [("202", "Accepted")], answer: object))
        }
        if resource.allows("deletecollection") {
            let query = (OpenAPI.deletes + OpenAPI.lists.filter { $0.0 != "watch" && $0.0 != "allowWatchBookmarks" }).sorted { $0.0 < $1.0 }
            out.append(
                Operation(
                    method: "delete", id: "delete" + prefix(resource) + "Collection" + tail, action: "deletecollection", kind: resource.gvk, query: query,
                    body: OpenAPI.meta + "DeleteOptions", answer: OpenAPI.meta + "Status"))
        }
        return out
    }

    private func objectOperations(_ resource: Resource) -> [Operation] {
        let tail = prefix(resource) + scope(resource) + resource.kind
        let object = name(resource.message)
        var out: [Operation] = []
        if resource.allows("get") { out.append(Operation(method: "get", id: "read" + tail, action: "get", kind: resource.gvk, answer: object)) }
        if resource.allows("update") {
            out.append(
                Operation(
                    method: "put", id: "replace" + tail, action: "put", kind: resource.gvk, query: OpenAPI.writes, body: object, codes: OpenAPI.created,
                    answer: object))
        }
        if resource.allows("delete") {
            // A few kinds answer with the object that went.
            let answer = ["Pod", "Service", "PersistentVolumeClaim", "PersistentVolume", "ServiceAccount", "ResourceQuota", "PodTemplate"].contains(resource.kind)
                && resource.group.isEmpty ? object : OpenAPI.meta + "Status"
            out.append(
                Operation(
                    method: "delete", id: "delete" + tail, action: "delete", kind: resource.gvk, query: OpenAPI.deletes, body: OpenAPI.meta + "DeleteOptions",
                    codes: [("200", "OK"), ("202", "Accepted")], answer: answer))
        }
        if resource.allows("patch") { out.append(patch("patch" + tail, resource.gvk, object)) }
        return out
    }

    private func patch(_ id: String, _ kind: GroupVersionKind, _ object: String) -> Operation {
        Operation(
            method: "patch", id: id, action: "patch", kind: kind, query: OpenAPI.writes + [("force", "boolean")], body: OpenAPI.meta + "Patch",
            consumes: OpenAPI.patches, codes: OpenAPI.created, answer: object)
    }

    private func operations(_ subresource: Subresource, of resource: Resource) -> [Operation] {
        let tail = prefix(resource) + scope(resource) + resource.kind + subresource.name.prefix(1).uppercased() + subresource.name.dropFirst()
        let object = name(subresource.message)
        guard !OpenAPI.isConnection(subresource) else {
            return [Operation(method: "get", id: "connectGet" + tail, action: "connect", kind: subresource.gvk)]
        }
        return subresource.verbs.compactMap { verb in
            switch verb {
            case "get": Operation(method: "get", id: "read" + tail, action: "get", kind: subresource.gvk, answer: object)
            case "update":
                Operation(
                    method: "put", id: "replace" + tail, action: "put", kind: subresource.gvk, query: OpenAPI.writes, body: object, codes: OpenAPI.created,
                    answer: object)
            case "patch": patch("patch" + tail, subresource.gvk, object)
            case "create":
                Operation(
                    method: "post", id: "create" + tail, action: "post", kind: subresource.gvk, query: OpenAPI.writes, body: object,
                    codes: OpenAPI.created + [("202", "Accepted")], answer: object)
            default: nil
            }
        }
    }

    /// Whether it upgrades to a stream or passes a request on: it has no body of ours, only options in the query.
    static func isConnection(_ subresource: Subresource) -> Bool { subresource.gvk.kind.hasSuffix("Options") }

    // MARK: Rendering

    private func parameter(_ name: String, in place: String, _ type: String) -> Node {
        var out: Node = ["name": .string(name), "in": .string(place)]
        if version == .v3 {
            out["schema"] = ["type": .string(type), "uniqueItems": true]
        } else {
            out["type"] = .string(type)
            out["uniqueItems"] = true
        }
        if place == "path" { out["required"] = true }
        return out
    }

    private func reference(_ name: String) -> Node { name.isEmpty ? ["type": "string"] : ["$ref": .string(version.prefix + name)] }

    private func render(_ operation: Operation, _ resource: Resource) -> Node {
        let group = resource.group.isEmpty ? "core" : String(resource.group.split(separator: ".").first ?? "")
        var out: Node = [
            "description": .string("\(operation.action) \(operation.kind.kind)"), "operationId": .string(operation.id),
            "tags": [.string("\(group.count < resource.group.count && resource.group.hasSuffix(".k8s.io") ? tag(resource.group) : group)_\(resource.version)")],
            "x-kubernetes-action": .string(operation.action), "x-kubernetes-group-version-kind": gvk(operation.kind),
        ]
        let produces = OpenAPI.produced + (operation.isList ? OpenAPI.streamed : [])
        var parameters = operation.query.map { parameter($0.name, in: "query", $0.type) }
        if let body = operation.body {
            if version == .v3 {
                out["requestBody"] = ["content": .map(Fields(operation.consumes.map { ($0, ["schema": reference(body)] as Node) }))]
                if operation.method != "delete" { out["requestBody"]["required"] = true }
            } else {
                var parameter: Node = ["name": "body", "in": "body", "schema": reference(body)]
                if operation.method != "delete" { parameter["required"] = true }
                parameters.insert(parameter, at: 0)
            }
        }
        if !parameters.isEmpty { out["parameters"] = .list(parameters) }
        var responses = Node.emptyMap
        for (code, text) in operation.codes {
            responses[code] = ["description": .string(text)]
            if version == .v3 {
                responses[code]["content"] = .map(Fields(produces.map { ($0, ["schema": reference(operation.answer)] as Node) }))
            } else {
                responses[code]["schema"] = reference(operation.answer)
            }
        }
        responses["401"] = ["description": "Unauthorized"]
        out["responses"] = responses
        if version == .v2 {
            out["consumes"] = Node(operation.consumes)
            out["produces"] = Node(produces)
            out["schemes"] = ["https"]
        }
        return out
    }

    /// `rbac.authorization.k8s.io` is tagged `rbacAuthorization`.
    private func tag(_ group: String) -> String {
        let parts = group.dropLast(7).split(separator: ".")
        return (parts.first.map(String.init) ?? "") + parts.dropFirst().map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }
}

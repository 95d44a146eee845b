import Schema
import Tree

/// What is served at the paths of a resource.
extension OpenAPI {
    typealias Route = OpenAPIRoute
    typealias Parameter = OpenAPIRoute.Parameter

    private static let deletes = [
        Parameter("dryRun"), Parameter("gracePeriodSeconds", "integer"), Parameter("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
        Parameter("orphanDependents", "boolean"), Parameter("propagationPolicy"),
    ]
    private static let writes = [Parameter("dryRun"), Parameter("fieldManager"), Parameter("fieldValidation")]
    private static let watches = [Parameter("allowWatchBookmarks", "boolean"), Parameter("watch", "boolean")]
    private static let lists = [
        Parameter("continue"), Parameter("fieldSelector"), Parameter("labelSelector"), Parameter("limit", "integer"), Parameter("resourceVersion"),
        Parameter("resourceVersionMatch"), Parameter("sendInitialEvents", "boolean"), Parameter("shardSelector"), Parameter("timeoutSeconds", "integer"),
    ]
    private static let created = ["200", "201", "202"]
    private static let meta = "meta/v1."

    /// Custom resources have fewer media types and no paths of their own to watch.
    private struct Manner {
        var produced = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
        var streamed = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"]
        var consumed = ["*/*"]
        var patches = ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"]
        var patchCodes = ["200", "201"]
        var reads: [Parameter] = []
        var isCustom = false

        static let custom = Manner(
            produced: ["application/json", "application/yaml"], streamed: [], consumed: ["application/json", "application/yaml"],
            patches: ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"], patchCodes: ["200"],
            reads: [Parameter("resourceVersion")], isCustom: true)
    }

    private var manner: Manner { isBuiltIn ? Manner() : .custom }

    /// Where an operation is, of what, and what its path has for parameters.
    private struct Place {
        var path: String
        var resource: Resource
        var kind: GroupVersionKind
        /// `NamespacedPodStatus`, which ends the operation's name.
        var tail: String
        var parameters: [Parameter]
    }

    func routes(of resource: Resource) -> [Route] {
        let base = (resource.group.isEmpty ? "/api/" : "/apis/\(resource.group)/") + resource.version
        let scope = resource.isNamespaced ? "/namespaces/{namespace}/" : "/"
        let namespace = resource.isNamespaced ? [Parameter("namespace", in: .path)] : []
        let tail = (resource.isNamespaced ? "Namespaced" : "") + resource.kind
        var collection = Place(path: "\(base)\(scope)\(resource.name)", resource: resource, kind: resource.gvk, tail: tail, parameters: namespace)
        let object = Place(
            path: collection.path + "/{name}", resource: resource, kind: resource.gvk, tail: tail, parameters: namespace + [Parameter("name", in: .path)])
        var out = collectionRoutes(collection) + objectRoutes(object)
        for subresource in resource.subresources { out += routes(subresource, below: object) }
        let watched = "\(base)/watch\(scope)\(resource.name)"
        if resource.isNamespaced {
            collection.path = "\(base)/\(resource.name)"
            collection.parameters = []
            collection.tail = resource.kind
            if resource.allows("list") { out.append(list(collection, "ForAllNamespaces")) }
        }
        guard resource.allows("watch"), !manner.isCustom else { return out }
        var single = object
        single.path = watched + "/{name}"
        out.append(watch(single, "watch", ""))
        var many = collection
        many.path = "\(base)/watch/\(resource.name)"
        out.append(watch(many, "watchlist", resource.isNamespaced ? "ListForAllNamespaces" : "List"))
        if resource.isNamespaced {
            many = object
            many.path = watched
            many.parameters = namespace
            out.append(watch(many, "watchlist", "List"))
        }
        return out
    }

    // MARK: Verbs

    private func route(_ verb: String, _ place: Place, _ method: String, _ action: String, suffix: String = "") -> Route {
        let group = Route.trimmed(place.resource.group)
        let prefix = Route.identifier(group) + Route.identifier(place.resource.version)
        let tag = Route.identifier(group, isCapitalized: false) + "_" + Route.identifier(place.resource.version, isCapitalized: false)
        let isCollection = action == "deletecollection"
        return Route(
            path: place.path, method: method, id: (isCollection ? "delete" : verb) + prefix + (isCollection ? "Collection" : "") + place.tail + suffix, tag: tag,
            text: "\(action) \(place.kind.kind)", action: action, kind: manner.isCustom ? place.resource.gvk : place.kind,
            parameters: place.parameters + [Parameter("pretty")], consumes: manner.consumed, produces: manner.produced)
    }

    private func list(_ place: Place, _ suffix: String = "") -> Route {
        var out = route("list", place, "get", "list", suffix: suffix)
        out.parameters += OpenAPI.lists + OpenAPI.watches
        out.produces += manner.streamed
        if let list = place.resource.list { out.answer = .own(list) }
        return out
    }

    private func watch(_ place: Place, _ action: String, _ suffix: String) -> Route {
        var out = route("watch", place, "get", action, suffix: suffix)
        out.parameters += OpenAPI.lists + OpenAPI.watches
        out.produces += manner.streamed
        out.answer = .shared(OpenAPI.meta + "WatchEvent")
        return out
    }

    private func collectionRoutes(_ place: Place) -> [Route] {
        let resource = place.resource
        var out: [Route] = []
        if resource.allows("list") { out.append(list(place)) }
        if resource.allows("create") { out.append(write("create", place, "post", "post", .own(resource.message), OpenAPI.created)) }
        guard resource.allows("deletecollection") else { return out }
        var all = route("deletecollection", place, "delete", "deletecollection")
        all.parameters += OpenAPI.lists
        all.answer = .shared(OpenAPI.meta + "Status")
        if manner.isCustom {
            all.parameters += OpenAPI.watches
        } else {
            all.parameters += OpenAPI.deletes
            all.body = .shared(OpenAPI.meta + "DeleteOptions")
        }
        return out + [all]
    }

    private func write(_ verb: String, _ place: Place, _ method: String, _ action: String, _ object: Route.Schema, _ codes: [String]) -> Route {
        var out = route(verb, place, method, action)
        out.parameters += OpenAPI.writes
        out.codes = codes
        (out.body, out.answer) = (object, object)
        return out
    }

    private func read(_ place: Place, _ object: Route.Schema) -> Route {
        var out = route("read", place, "get", "get")
        out.parameters += manner.reads
        out.answer = object
        return out
    }

    private func patch(_ place: Place, _ object: Route.Schema) -> Route {
        var out = write("patch", place, "patch", "patch", object, manner.patchCodes)
        out.parameters.append(Parameter("force", "boolean"))
        out.body = .shared(OpenAPI.meta + "Patch")
        out.consumes = manner.patches
        return out
    }

    private func objectRoutes(_ place: Place) -> [Route] {
        let resource = place.resource
        let object = Route.Schema.own(resource.message)
        var out: [Route] = []
        if resource.allows("get") { out.append(read(place, object)) }
        if resource.allows("update") { out.append(write("replace", place, "put", "put", object, ["200", "201"])) }
        if resource.allows("delete") {
            var one = route("delete", place, "delete", "delete")
            one.parameters += OpenAPI.deletes
            one.body = .shared(OpenAPI.meta + "DeleteOptions")
            one.codes = ["200", "202"]
            one.answer = OpenAPI.answersWithObject(resource) ? object : .shared(OpenAPI.meta + "Status")
            out.append(one)
        }
        if resource.allows("patch") { out.append(patch(place, object)) }
        return out
    }

    /// A few kinds answer a deletion with the object that went.
    private static func answersWithObject(_ resource: Resource) -> Bool {
        switch resource.group {
        case "": ["pods", "services", "persistentvolumeclaims", "persistentvolumes", "serviceaccounts", "resourcequotas", "podtemplates"].contains(resource.name)
        case "storage.k8s.io": resource.name != "csistoragecapacities"
        case "resource.k8s.io": true
        default: false
        }
    }

    // MARK: Subresources

    private func routes(_ subresource: Subresource, below object: Place) -> [Route] {
        var place = object
        place.path += "/" + subresource.name
        place.kind = subresource.gvk
        place.tail += Route.identifier(subresource.name)
        guard !OpenAPI.isConnection(subresource) else { return connections(subresource, place) }
        var schema = subresource.message.map { Route.Schema.own($0) } ?? .text
        if manner.isCustom, subresource.scalePaths != nil { schema = .shared("autoscaling/v1.Scale") }
        return subresource.verbs.compactMap { verb in
            switch verb {
            case "get" where subresource.name == "log": log(place)
            case "get": read(place, schema)
            case "update": write("replace", place, "put", "put", schema, ["200", "201"])
            case "patch": patch(place, schema)
            case "create": write("create", place, "post", "post", schema, OpenAPI.created)
            default: nil
            }
        }
    }

    private func log(_ place: Place) -> Route {
        var out = read(place, .text)
        out.produces.insert("text/plain", at: 0)
        if let options = graph.message(named: "core/v1.PodLogOptions") { out.parameters += query(options) }
        return out
    }

    /// Whether it upgrades to a stream or passes a request on: it has no body of ours, only options in the query.
    static func isConnection(_ subresource: Subresource) -> Bool { subresource.gvk.kind.hasSuffix("Options") }

    private static let methods = ["create": ["post"], "delete": ["delete"], "get": ["get", "head", "options"], "patch": ["patch"], "update": ["put"]]

    private func connections(_ subresource: Subresource, _ place: Place) -> [Route] {
        let passesOn = subresource.name == "proxy"
        var places = [(place, "")]
        if passesOn {
            var below = place
            below.path += "/{path}"
            below.parameters.append(Parameter("path", in: .path))
            places.append((below, "WithPath"))
        }
        let methods = subresource.verbs.flatMap { OpenAPI.methods[$0] ?? [] }.filter { passesOn || $0 != "head" && $0 != "options" }
        return places.flatMap { place, suffix in
            methods.map { method in
                var place = place
                place.tail = Route.identifier(method) + place.tail
                var out = route("connect", place, method, "connect", suffix: suffix)
                out.parameters = place.parameters + (subresource.message.map(query) ?? [])
                out.produces = ["*/*"]
                return out
            }
        }
    }

    /// The fields of options as parameters of a query: lists stand for their items, structures are left out.
    private func query(_ id: MessageID) -> [Parameter] {
        graph.fields(of: id).compactMap { field in
            guard field.name != "kind", field.name != "apiVersion" else { return nil }
            var shape = field.shape
            if case .list(let id) = shape { shape = graph[id].shape }
            guard case .scalar(let scalar) = shape, scalar != .time, let type = scalar.openAPI.type else { return nil }
            return Parameter(field.name, type)
        }
    }
}

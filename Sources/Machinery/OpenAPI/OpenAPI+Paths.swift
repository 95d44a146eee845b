import Schema
import Tree

/// Routes as the documents write them.
extension OpenAPI {
    private static let texts = ["200": "OK", "201": "Created", "202": "Accepted"]

    /// Paths with what is served there; what all verbs of a path have in common stands beside them.
    func paths(_ routes: [Route]) -> [(String, Node)] {
        var order: [String] = []
        var byPath: [String: [Route]] = [:]
        for route in routes {
            if byPath[route.path] == nil { order.append(route.path) }
            byPath[route.path, default: []].append(route)
        }
        return order.map { path in
            let all = byPath[path] ?? []
            var counts: [Route.Parameter: Int] = [:]
            for parameter in all.flatMap(\.parameters) { counts[parameter, default: 0] += 1 }
            let common = Set(counts.filter { $0.value == all.count }.keys)
            var item = Node.emptyMap
            for route in all { item[route.method] = render(route, without: common) }
            if !common.isEmpty { item["parameters"] = .list(OpenAPI.sorted(common).map(parameter)) }
            return (path, item)
        }
    }

    private static func sorted(_ parameters: some Sequence<Route.Parameter>) -> [Route.Parameter] {
        parameters.sorted { ($0.name, $0.place.rawValue) < ($1.name, $1.place.rawValue) }
    }

    private func parameter(_ parameter: Route.Parameter) -> Node {
        if version == .v3 {
            var out: Node = ["name": .string(parameter.name), "in": .string(parameter.place.rawValue)]
            if parameter.place == .path { out["required"] = true }
            out["schema"] = ["type": .string(parameter.type), "uniqueItems": true]
            return out
        }
        var out: Node = ["uniqueItems": true, "type": .string(parameter.type), "name": .string(parameter.name), "in": .string(parameter.place.rawValue)]
        if parameter.place == .path { out["required"] = true }
        return out
    }

    private func reference(_ schema: Route.Schema) -> Node {
        guard let name = name(schema) else { return ["type": "string"] }
        return ["$ref": .string(version.prefix + name)]
    }

    private func name(_ schema: Route.Schema) -> String? {
        switch schema {
        case .text: nil
        case .own(let id): graph[id].openAPIName
        case .shared(let name): Graph.builtIn.message(named: name).map { Graph.builtIn[$0].openAPIName }
        }
    }

    private func render(_ route: Route, without common: Set<Route.Parameter>) -> Node {
        var out: Node = ["description": .string(route.text), "operationId": .string(route.id), "tags": [.string(route.tag)]]
        if !route.action.isEmpty { out["x-kubernetes-action"] = .string(route.action) }
        if let kind = route.kind { out["x-kubernetes-group-version-kind"] = gvk(kind) }
        var parameters = OpenAPI.sorted(route.parameters.filter { !common.contains($0) }).map(parameter)
        if let body = route.body {
            let isRequired = route.method != "delete"
            if version == .v3 {
                out["requestBody"] = ["content": .map(Fields(route.consumes.map { ($0, ["schema": reference(body)] as Node) }))]
                if isRequired { out["requestBody"]["required"] = true }
            } else {
                var parameter: Node = ["name": "body", "in": "body"]
                if isRequired { parameter["required"] = true }
                parameter["schema"] = reference(body)
                let place = parameters.firstIndex { ($0["name"].string ?? "") > "body" } ?? parameters.count
                parameters.insert(parameter, at: place)
            }
        }
        if !parameters.isEmpty { out["parameters"] = .list(parameters) }
        var responses = Node.emptyMap
        for code in route.codes {
            responses[code] = ["description": .string(OpenAPI.texts[code] ?? "")]
            if version == .v3 {
                responses[code]["content"] = .map(Fields(route.produces.map { ($0, ["schema": reference(route.answer)] as Node) }))
            } else {
                responses[code]["schema"] = reference(route.answer)
            }
        }
        responses["401"] = ["description": "Unauthorized"]
        out["responses"] = responses
        if version == .v2 {
            if !route.consumes.isEmpty { out["consumes"] = Node(route.consumes) }
            out["produces"] = Node(route.produces)
            out["schemes"] = ["https"]
        }
        return out
    }
}

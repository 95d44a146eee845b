package import Schema
package import Tree

extension OpenAPI {
    /// The whole API in one version 2 document. `gitVersion` is the server's.
    package static func documentV2(_ graphs: [Graph], gitVersion: String) -> Node {
        var definitions = Fields()
        var paths: [(String, Node)] = []
        for graph in graphs {
            let openAPI = OpenAPI(graph, .v2)
            for (name, value) in openAPI.definitions(of: openAPI.roots(graph.resources)).fields where definitions.index(of: name) == nil {
                definitions.appendUnique(name, value)
            }
            for resource in graph.resources { paths += openAPI.paths(of: resource) }
        }
        definitions.sortByKey()
        return [
            "swagger": "2.0", "info": ["title": "Kubernetes", "version": .string(gitVersion)],
            "paths": .map(Fields(paths.sorted { $0.0 < $1.0 })), "definitions": .map(definitions),
            "securityDefinitions": ["BearerToken": ["description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header"]],
            "security": [["BearerToken": []]],
        ]
    }

    /// The version 3 document of one group version, as `/openapi/v3/apis/apps/v1` serves it.
    package static func documentV3(_ graph: Graph, group: String, version: String, gitVersion: String) -> Node {
        let openAPI = OpenAPI(graph, .v3)
        let resources = graph.resources.filter { $0.group == group && $0.version == version }
        let paths = resources.flatMap { openAPI.paths(of: $0) }
        return [
            "openapi": "3.0.0", "info": ["title": "Kubernetes", "version": .string(gitVersion)],
            "paths": .map(Fields(paths.sorted { $0.0 < $1.0 })),
            "components": [
                "schemas": openAPI.definitions(of: openAPI.roots(resources)),
                "securitySchemes": ["BearerToken": ["type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header"]],
            ],
        ]
    }

    private func roots(_ resources: some Sequence<Resource>) -> [MessageID] {
        var out: [MessageID] = []
        for resource in resources {
            out.append(resource.message)
            if let list = resource.list { out.append(list) }
            out += resource.subresources.filter { !OpenAPI.isConnection($0) }.compactMap(\.message)
        }
        for kind in ["Status", "DeleteOptions", "Patch", "APIResourceList", "APIGroup", "APIGroupList", "APIVersions", "WatchEvent"] {
            if let id = graph.message(named: "meta/v1.\(kind)") { out.append(id) }
        }
        return out
    }
}

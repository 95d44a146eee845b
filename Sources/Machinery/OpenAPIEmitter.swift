package import Schema
package import Tree

/// The OpenAPI documents of a server: version 2 in one piece, version 3 one group version at a time.
package struct OpenAPIEmitter: Sendable {
    private let graph: Graph
    private let gitVersion: String

    /// `gitVersion` is the server's, such as `v1.36.0`.
    package init(_ graph: Graph, gitVersion: String = "v1.36.0") {
        self.graph = graph
        self.gitVersion = gitVersion
    }

    /// Resources of this graph, and of others beside them: each custom resource has its own.
    package func v2(_ resources: [Resource], besides others: [(graph: Graph, resources: [Resource])] = []) -> Node {
        let descriptions = Descriptions()
        var definitions = Fields()
        var paths: [(String, Node)] = []
        for (graph, resources) in [(graph, resources)] + others {
            let openAPI = OpenAPI(graph, .v2, descriptions)
            for (name, value) in openAPI.definitions(of: openAPI.roots(resources)).fields where definitions.index(of: name) == nil {
                definitions.appendUnique(name, value)
            }
            for resource in resources { paths += openAPI.paths(of: resource) }
        }
        definitions.sortByKey()
        return [
            "swagger": "2.0", "info": ["title": "Kubernetes", "version": .string(gitVersion)],
            "paths": .map(Fields(unique: paths.sorted { $0.0 < $1.0 }.map { .init(key: $0.0, value: $0.1) })), "definitions": .map(definitions),
            "securityDefinitions": ["BearerToken": ["description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header"]],
            "security": [["BearerToken": []]],
        ]
    }

    /// The same in protobuf (`application/com.github.proto-openapi.spec.v2@v1.0+protobuf`).
    package func v2Protobuf(_ resources: [Resource], besides others: [(graph: Graph, resources: [Resource])] = []) -> [UInt8] {
        OpenAPIProtobuf.encode(v2(resources, besides: others))
    }

    /// One group version, as `/openapi/v3/apis/apps/v1` serves it.
    package func v3(_ resources: [Resource], besides others: [(graph: Graph, resources: [Resource])] = []) -> Node {
        let descriptions = Descriptions()
        var definitions = Fields()
        var paths: [(String, Node)] = []
        for (graph, resources) in (resources.isEmpty ? [] : [(graph, resources)]) + others {
            let openAPI = OpenAPI(graph, .v3, descriptions)
            for (name, value) in openAPI.definitions(of: openAPI.roots(resources)).fields where definitions.index(of: name) == nil {
                definitions.appendUnique(name, value)
            }
            for resource in resources { paths += openAPI.paths(of: resource) }
        }
        definitions.sortByKey()
        return [
            "openapi": "3.0.0", "info": ["title": "Kubernetes", "version": .string(gitVersion)],
            "paths": .map(Fields(unique: paths.sorted { $0.0 < $1.0 }.map { .init(key: $0.0, value: $0.1) })),
            "components": [
                "schemas": .map(definitions),
                "securitySchemes": ["BearerToken": ["type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header"]],
            ],
        ]
    }
}

extension OpenAPI {
    fileprivate func roots(_ resources: some Sequence<Resource>) -> [MessageID] {
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

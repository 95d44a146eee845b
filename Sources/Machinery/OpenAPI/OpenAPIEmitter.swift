package import Schema
package import Tree

/// The OpenAPI documents of a server: version 2 in one piece, version 3 one group version (or part of discovery) at a time.
package struct OpenAPIEmitter: Sendable {
    private let graph: Graph
    private let gitVersion: String

    /// `gitVersion` is the server's, without what is after the minor one.
    package init(_ graph: Graph, gitVersion: String = "1.36") {
        self.graph = graph
        self.gitVersion = gitVersion
    }

    private static let scheme: Node = [
        "BearerToken": ["type": "apiKey", "description": "Bearer Token authentication", "name": "authorization", "in": "header"]
    ]

    /// Resources of this graph, and of others beside them: each custom resource has its own.
    package func v2(_ resources: [Resource], besides others: [(graph: Graph, resources: [Resource])] = []) -> Node {
        var parts = Parts(.v2, place: nil)
        parts.add(OpenAPI.discoveryRoutes(resources).map(\.route), of: graph)
        for (graph, resources) in [(graph, resources)] + others { parts.add(resources, of: graph) }
        var shared = SharedParameters()
        let paths = parts.sortedPaths.map { Fields.Entry(key: $0.0, value: shared.share($0.1)) }
        return [
            "swagger": "2.0", "info": ["title": "Kubernetes", "version": .string(gitVersion)], "paths": .map(Fields(unique: paths)),
            "definitions": .map(parts.definitions.sorted()),
            "parameters": .map(Fields(unique: shared.parameters.sorted { $0.key < $1.key }.map { .init(key: $0.key, value: $0.value) })),
            "securityDefinitions": OpenAPIEmitter.scheme, "security": [["BearerToken": []]],
        ]
    }

    /// The same in protobuf (`application/com.github.proto-openapi.spec.v2@v1.0+protobuf`).
    package func v2Protobuf(_ resources: [Resource], besides others: [(graph: Graph, resources: [Resource])] = []) -> [UInt8] {
        OpenAPIProtobuf.encode(v2(resources, besides: others))
    }

    /// The names of the documents of version 3 that these resources need, and those that are there always.
    package static func v3Documents(_ resources: [Resource]) -> [String] {
        var out: [String] = []
        for (document, _) in OpenAPI.discoveryRoutes(resources) where !out.contains(document) { out.append(document) }
        return out.sorted()
    }

    /// One of them, `apis/apps/v1` for example, as `/openapi/v3/apis/apps/v1` serves it.
    package func v3(_ document: String, _ resources: [Resource], besides others: [(graph: Graph, resources: [Resource])] = []) -> Node {
        let here = resources.filter { OpenAPIEmitter.document(of: $0) == document }
        // Documents of custom resources know of no versions.
        var parts = Parts(.v3, place: here.first.map { GroupVersion(group: $0.group, version: $0.version) })
        parts.add(OpenAPI.discoveryRoutes(resources).filter { $0.document == document }.map(\.route), of: graph)
        for (graph, resources) in [(graph, here)] + others { parts.add(resources, of: graph) }
        var components: Node = ["securitySchemes": OpenAPIEmitter.scheme]
        if !parts.definitions.isEmpty { components["schemas"] = .map(parts.definitions.sorted()) }
        var out = v3Frame
        out["paths"] = .map(Fields(unique: parts.sortedPaths.map { Fields.Entry(key: $0.0, value: $0.1) }))
        out["components"] = components
        return out
    }

    /// A document of version 3 that tells of nothing.
    package var v3Frame: Node {
        [
            "openapi": "3.0.0", "info": ["title": "Kubernetes", "version": .string(gitVersion)], "paths": [:],
            "components": ["securitySchemes": OpenAPIEmitter.scheme, "schemas": [:]],
        ]
    }

    /// The document that tells of a resource.
    package static func document(of resource: Resource) -> String {
        resource.group.isEmpty ? "api/\(resource.version)" : "apis/\(resource.group)/\(resource.version)"
    }
}

/// A document being gathered: its paths, and the definitions that they need.
private struct Parts {
    private let version: OpenAPI.Version
    private let place: GroupVersion?
    private let descriptions = Descriptions()
    private var paths: [(String, Node)] = []
    private(set) var definitions = Fields()

    init(_ version: OpenAPI.Version, place: GroupVersion?) {
        self.version = version
        self.place = place
    }

    var sortedPaths: [(String, Node)] { paths.sorted { $0.0 < $1.0 } }

    private func openAPI(_ graph: Graph) -> OpenAPI {
        var out = OpenAPI(graph, version, descriptions)
        out.place = place
        return out
    }

    mutating func add(_ resources: [Resource], of graph: Graph) {
        let openAPI = openAPI(graph)
        add(resources.flatMap(openAPI.routes), of: graph)
    }

    mutating func add(_ routes: [OpenAPIRoute], of graph: Graph) {
        guard !routes.isEmpty else { return }
        let openAPI = openAPI(graph)
        paths += openAPI.paths(routes)
        let schemas = OpenAPIRoute.schemas(routes)
        add(openAPI.definitions(of: schemas.own))
        add(self.openAPI(.builtIn).definitions(of: schemas.shared))
    }

    private mutating func add(_ found: Node) {
        for (name, value) in found.fields where definitions.index(of: name) == nil { definitions.appendUnique(name, value) }
    }
}

extension Fields {
    fileprivate func sorted() -> Fields {
        var out = self
        out.sortByKey()
        return out
    }
}

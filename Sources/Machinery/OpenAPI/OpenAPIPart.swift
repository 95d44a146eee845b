package import Schema
package import Tree

/// What documents of one version tell of one custom resource: all that is of this resource alone, and the names of what it has in common
/// with others, which a document has once.
package struct OpenAPIPart: Sendable {
    package let paths: Fields
    package let definitions: Fields
    /// Definitions that it refers to and that are the same wherever they are.
    package let shared: Set<String>
    /// Of version 2: the parameters that paths refer to; a name stands for what it says.
    package let parameters: [String: Node]
}

extension OpenAPIEmitter {
    /// All else that is said of custom resources is in their schemas.
    private static let words = Descriptions().general(["apiVersion", "kind", "metadata"])

    /// `graph` is the resource's own.
    package func part(_ version: OpenAPI.Version, of resource: Resource, in graph: Graph) -> OpenAPIPart {
        let openAPI = OpenAPI(graph, version, OpenAPIEmitter.words)
        let routes = openAPI.routes(of: resource)
        var parameters = SharedParameters()
        let paths = openAPI.paths(routes).sorted { $0.0 < $1.0 }.map { path, item in
            Fields.Entry(key: path, value: version == .v2 ? parameters.share(item) : item)
        }
        let schemas = OpenAPIRoute.schemas(routes)
        let (own, common) = openAPI.ownDefinitions(of: schemas.own)
        let (_, builtIn) = OpenAPI(.builtIn, version).ownDefinitions(of: schemas.shared)
        return OpenAPIPart(paths: Fields(unique: paths), definitions: own, shared: common.union(builtIn), parameters: parameters.parameters)
    }

    /// The definitions that custom resources share, as far as this one needs them.
    package func shared(_ version: OpenAPI.Version, of resource: Resource, in graph: Graph) -> Fields {
        let routes = OpenAPI(graph, version).routes(of: resource)
        let schemas = OpenAPIRoute.schemas(routes)
        let words = Descriptions()
        var out = OpenAPI(graph, version, words).definitions(of: schemas.own).fields
        for (name, value) in OpenAPI(.builtIn, version, words).definitions(of: schemas.shared).fields where out.index(of: name) == nil {
            out.appendUnique(name, value)
        }
        return out
    }

    /// The names that version 2 has for what it tells of a custom resource: of paths and of definitions.
    package static func names(of resource: Resource, in graph: Graph) -> (paths: Set<String>, definitions: Set<String>) {
        let paths = OpenAPI(graph, .v2).routes(of: resource).map(\.path)
        return (Set(paths), Set([resource.message, resource.list].compactMap { $0.map { graph[$0].openAPIName } }))
    }
}

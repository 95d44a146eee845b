package import CEL
package import Schema

/// A kind of a graph as the expression language sees it, for checks of expressions whose object's kind is known.
package final class GraphSchema: SchemaType {
    private let graph: Graph
    private let shape: Shape

    package init(_ graph: Graph, _ message: MessageID) {
        self.graph = graph
        shape = .message(message)
    }
    private init(_ graph: Graph, _ shape: Shape) {
        self.graph = graph
        self.shape = shape
    }

    package var form: SchemaForm {
        switch shape {
        case .message(let id): .object(name: graph[id].name)
        case .list(let id): .list(GraphSchema(graph, graph[id].shape), .atomic)
        case .map(let id): .map(GraphSchema(graph, graph[id].shape))
        case .scalar(let scalar): GraphSchema.form(scalar)
        }
    }

    private static func form(_ scalar: Scalar) -> SchemaForm {
        switch scalar {
        case .bool: .scalar(.bool)
        case .int32, .int64: .scalar(.int)
        case .double: .scalar(.double)
        case .bytes: .scalar(.bytes)
        case .time, .microTime: .scalar(.timestamp)
        case .string, .quantity, .duration: .scalar(.string)
        default: .dyn
        }
    }

    package func property(_ name: String) -> (any SchemaType)? {
        guard case .message(let id) = shape, let field = graph.field(name, in: id) else { return nil }
        return GraphSchema(graph, field.shape)
    }

    package var propertyNames: [String] {
        guard case .message(let id) = shape else { return [] }
        return graph.fields(of: id).map(\.name)
    }

    package var largestSize: UInt64 { .max }
}

import Schema
import Tree

/// Words for values of the wrong type, as Go's decoder has them.
extension Canonical.Walk {
    func unfit(_ node: Node, _ shape: Shape, _ rules: RulesID = .none) throws(DecodingFailure) -> Node {
        if isLenient { return node }
        throw mistyped(node, shape, rules)
    }

    func mistyped(_ node: Node, _ shape: Shape, _ rules: RulesID = .none) -> DecodingFailure {
        let found = Self.found(node, for: shape)
        let type = goType(shape, rules)
        guard let holder = structs.last, let place = goPath() else {
            return DecodingFailure("json: cannot unmarshal \(found) into Go value of type \(type)")
        }
        let name = graph[holder].name.split(separator: ".").last.map(String.init) ?? ""
        return DecodingFailure("json: cannot unmarshal \(found) into Go struct field \(name).\(place) of type \(type)")
    }

    private static func found(_ node: Node, for shape: Shape) -> String {
        switch node {
        case .null: return "null"
        case .bool: return "bool"
        case .int(let value):
            switch shape {
            case .scalar(.int32), .scalar(.intOrString): return "number \(value)"
            default: return "number"
            }
        case .double(let value):
            switch shape {
            case .scalar(.int32), .scalar(.int64), .scalar(.intOrString): return "number \(value)"
            default: return "number"
            }
        case .string: return "string"
        case .list: return "array"
        case .map: return "object"
        }
    }

    /// The names of the fields, those of embedded structs among them; nil at the root.
    private func goPath() -> String? {
        var names: [String] = []
        var holders = structs[...]
        for case .key(let name) in path {
            if let holder = holders.popFirst() { names += embedded(name, in: holder) }
            names.append(name)
        }
        // The metadata of a custom resource is read by itself.
        if canonical.isCustom, names.count > 1, names.first == "metadata" { names.removeFirst() }
        return names.isEmpty ? nil : names.joined(separator: ".")
    }

    /// The structs embedded in a message through which it has a field.
    private func embedded(_ name: String, in id: MessageID) -> [String] {
        for field in graph.wire(of: id) where field.isInline {
            guard case .message(let inner) = field.shape, graph.fieldIndex(name, in: inner) != nil else { continue }
            return [String(graph[inner].typeName)] + embedded(name, in: inner)
        }
        return []
    }

    private func goType(_ shape: Shape, _ rules: RulesID) -> String {
        switch shape {
        case .scalar(let scalar):
            switch scalar {
            case .string: return graph[rules].typeName.isEmpty ? "string" : graph[rules].typeName
            case .time, .microTime, .duration: return "string"
            case .bool: return "bool"
            case .int32, .intOrString: return "int32"
            case .int64: return "int64"
            case .double: return "float64"
            case .bytes: return "[]uint8"
            case .quantity: return "resource.Quantity"
            case .json: return "v1.JSON"
            default: return "runtime.RawExtension"
            }
        case .message(let id):
            // `core/v1.PodSpec` is Go's `v1.PodSpec`.
            return graph[id].name.split(separator: "/").last.map(String.init) ?? graph[id].name
        case .list(let id): return "[]" + goType(graph[id].shape, graph[id].rulesID)
        case .map(let id):
            // Only the names of devices' capacities are others than those of resources.
            if graph[id].shape == .scalar(.quantity), let holder = structs.last, !graph[holder].name.hasPrefix("resource/") { return "v1.ResourceList" }
            return "map[string]" + goType(graph[id].shape, graph[id].rulesID)
        }
    }
}

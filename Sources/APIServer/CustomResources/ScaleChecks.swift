import Machinery
import Schema
import Tree

/// What a definition says of the places of `scale` binds every write of the object, not only those of the subresource.
enum ScaleChecks {
    /// `subresource` tells which half is written: its status alone, or all of it.
    static func errors(_ object: Node, _ resource: ServedResource, subresource: String) -> [FieldError] {
        guard let paths = resource.resource.subresource("scale")?.scalePaths else { return [] }
        var errors: [FieldError] = []
        if subresource != "status" { errors += replicas(object, paths.specReplicas) }
        errors += replicas(object, paths.statusReplicas)
        if !paths.labelSelector.isEmpty {
            switch look(object, paths.labelSelector) {
            case .missing, .found(.string): break
            case .found(let value): errors.append(.invalid(paths.labelSelector, "\"\"", wrong(value, paths.labelSelector, wanted: "string")))
            case .unreachable(let why): errors.append(.invalid(paths.labelSelector, "\"\"", why))
            }
        }
        return errors
    }

    private static func replicas(_ object: Node, _ path: String) -> [FieldError] {
        switch look(object, path) {
        case .missing: []
        case .found(.int(let count)) where count < 0: [.invalid(path, "\(count)", "should be a non-negative integer")]
        case .found(.int(let count)) where count > Int64(Int32.max):
            [.invalid(path, "\(count)", "should be less than or equal to \(Int32.max)")]
        case .found(.int): []
        case .found(let value): [.invalid(path, "0", wrong(value, path, wanted: "int64"))]
        case .unreachable(let why): [.invalid(path, "0", why)]
        }
    }

    private enum Look {
        case missing
        case found(Node)
        case unreachable(String)
    }

    private static func look(_ object: Node, _ path: String) -> Look {
        var node = object
        for step in path.split(separator: ".").map(String.init) {
            if node.isNull { return .missing }
            guard case .map = node else { return .unreachable(wrong(node, path, wanted: "map[string]interface{}")) }
            guard node.has(step) else { return .missing }
            node = node[step]
        }
        return .found(node)
    }

    private static func wrong(_ value: Node, _ path: String, wanted: String) -> String {
        let (text, type) = words(value)
        return "\(path.hasPrefix(".") ? path : ".\(path)") accessor error: \(text) is of the type \(type), expected \(wanted)"
    }

    /// As Go prints a value and its type.
    private static func words(_ value: Node) -> (text: String, type: String) {
        switch value {
        case .null: ("<nil>", "<nil>")
        case .bool(let value): ("\(value)", "bool")
        case .int(let value): ("\(value)", "int64")
        case .string(let text): (text, "string")
        case .map(let fields):
            ("map[\(fields.keys.sorted().map { "\($0):\(words(value[$0]).text)" }.joined(separator: " "))]", "map[string]interface {}")
        case .list(let items): ("[\(items.map { words($0).text }.joined(separator: " "))]", "[]interface {}")
        default: ("\(value.double ?? 0)", "float64")
        }
    }
}

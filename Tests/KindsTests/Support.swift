import Core
import Kinds
import Machinery
import Schema
import Tree

/// Objects from YAML, defaulted and checked the way the API server does it.
enum Sample {
    static func object(_ yaml: String) throws -> Node {
        let body = try YAMLReader.read(Array(yaml.utf8))
        let (gvk, message) = try type(of: body)
        var object = try Canonical(Graph.builtIn).decode(body, as: message).node
        Defaulting(Graph.builtIn).apply(to: &object, as: message)
        KindStrategies.of(group: gvk.group, kind: gvk.kind).setDefaults(&object)
        return object
    }

    private static func type(of body: Node) throws -> (GroupVersionKind, MessageID) {
        let parts = body.apiVersion.split(separator: "/")
        let gvk = GroupVersionKind(group: parts.count == 2 ? String(parts[0]) : "", version: String(parts.last ?? ""), kind: body.kind)
        guard let message = Graph.builtIn.message(of: gvk) else { throw Missing.kind(body.kind) }
        return (gvk, message)
    }

    static func strategy(_ object: Node) throws -> any KindStrategy {
        let (gvk, _) = try type(of: object)
        return KindStrategies.of(group: gvk.group, kind: gvk.kind)
    }

    static func created(_ yaml: String) throws -> Node {
        var object = try object(yaml)
        object["metadata"]["uid"] = "11111111-2222-4333-8444-555555555555"
        try strategy(object).prepareCreate(&object)
        return object
    }

    /// The findings of a creation.
    static func errors(_ yaml: String) throws -> [String] {
        let object = try created(yaml)
        let (_, message) = try type(of: object)
        var seen: Set<String> = []
        let all = Validation.errors(object, as: message, in: Graph.builtIn, .builtIn) + (try strategy(object).validate(object))
        return all.map(\.description).filter { seen.insert($0).inserted }
    }

    /// The findings of a change to an object.
    static func updateErrors(_ yaml: String, subresource: String = "", _ change: (inout Node) -> Void) throws -> [String] {
        var old = try created(yaml)
        old["metadata"]["resourceVersion"] = "7"
        var new = old
        change(&new)
        let strategy = try strategy(old)
        strategy.prepareUpdate(&new, old: old, subresource: subresource)
        let own = subresource.isEmpty ? strategy.validate(new) : []
        return (own + strategy.validateUpdate(new, old: old, subresource: subresource)).map(\.description)
    }

    static func cells(_ yaml: String, now: String = "2026-01-01T01:00:00Z") throws -> [String] {
        let object = try YAMLReader.read(Array(yaml.utf8))
        let (gvk, _) = try type(of: object)
        guard let cells = KindCells.of(group: gvk.group, kind: gvk.kind), let now = Timestamp(rfc3339: now) else { throw Missing.kind(object.kind) }
        return cells.cells(object, now: now).map { $0.string ?? $0.jsonText }
    }

    enum Missing: Error { case kind(String) }
}

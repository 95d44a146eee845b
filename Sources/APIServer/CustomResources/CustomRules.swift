import Machinery
import Schema
import Synchronization
package import Tree

/// The CEL rules of one version of a custom resource, compiled when the first object comes.
package final class CustomRules: Sendable {
    private let find: @Sendable () -> Node
    private let compiled = Mutex<ObjectRules??>(nil)

    /// Nil for a schema without rules. A schema is large and most are never looked at again: `find` gets it back when it is needed.
    package init?(_ schema: Node, find: @escaping @Sendable () -> Node) {
        guard ObjectRules.hasRules(schema) else { return nil }
        self.find = find
    }

    var rules: ObjectRules? {
        compiled.withLock { known in
            if let known { return known }
            let made = ObjectRules(find())
            known = .some(made)
            return made
        }
    }
}

extension ObjectChecks {
    private static let blocking: Set<FieldError.Kind> = [.notSupported, .required, .tooLong, .tooMany, .typeInvalid]

    /// What the schema finds. Of a custom resource that is updated, only what the update brings: findings about values that did not
    /// change are no reason to refuse other changes.
    func schemaErrors(
        _ object: Node, old: Node?, _ resource: ServedResource, subresource: String = "", _ warn: (String) -> Void
    ) -> [FieldError] {
        let message = resource.resource.message
        guard resource.isCustom else { return Validation.errors(object, as: message, in: resource.graph, .builtIn) }
        var errors = Validation.errors(object, as: message, in: resource.graph, .custom)
        if !errors.isEmpty, let old { errors = ratcheted(errors, object, old, resource) }
        if subresource == "status" { errors = errors.map { $0.named(below: "status") } }
        errors += ScaleChecks.errors(object, resource, subresource: subresource)
        guard let rules = resource.rules?.rules else { return errors }
        if errors.contains(where: { ObjectChecks.blocking.contains($0.type) }) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
            return errors + [.invalid(FieldError.rootPath, "null", why)]
        }
        let findings = rules.check(object, old: old)
        for warning in findings.warnings { warn(warning) }
        return errors + findings.errors
    }

    private func ratcheted(_ errors: [FieldError], _ object: Node, _ old: Node, _ resource: ServedResource) -> [FieldError] {
        let before = Set(Validation.errors(old, as: resource.resource.message, in: resource.graph, .custom).map(\.description))
        return errors.filter { error in
            guard before.contains(error.description), error.field != FieldError.rootPath else { return true }
            // A field that is missing is a finding about the object that it is missing from.
            let isAbout = error.type == .required ? ObjectChecks.parent(of: error.field) : error.field
            guard let isAbout, let now = ObjectChecks.value(at: isAbout, in: object), let then = ObjectChecks.value(at: isAbout, in: old) else { return true }
            return now != then
        }
    }

    private static func parent(of path: String) -> String? {
        guard let end = path.lastIndex(where: { $0 == "." || $0 == "[" }) else { return nil }
        return String(path[..<end])
    }

    /// The value at a path as findings print it; nil where it cannot be told.
    private static func value(at path: String, in object: Node) -> Node? {
        var node = object
        var rest = path[...]
        while !rest.isEmpty {
            if rest.hasPrefix("["), let end = rest.firstIndex(of: "]"), let index = Int(rest[rest.index(after: rest.startIndex)..<end]) {
                guard index < node.list.count else { return nil }
                node = node[index]
                rest = rest[rest.index(after: end)...]
                continue
            }
            if rest.hasPrefix(".") { rest.removeFirst() }
            guard let key = node.fields.keys.filter({ rest.hasPrefix($0) && isEnd(rest.dropFirst($0.count)) }).max(by: { $0.count < $1.count }) else { return nil }
            node = node[key]
            rest = rest.dropFirst(key.count)
        }
        return node
    }

    private static func isEnd(_ rest: Substring) -> Bool { rest.isEmpty || rest.hasPrefix(".") || rest.hasPrefix("[") }
}

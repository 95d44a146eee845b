import Kinds
import Machinery
import Schema
import Tree

/// The checks and completions that the schema table drives, the same for all kinds.
package struct ObjectChecks: Sendable {
    package init() {}

    /// A patched object as the typed object it stands for: known fields only, canonical scalars, defaults set. Unknown fields
    /// are refused, told or dropped, as `fieldValidation` says.
    func decode(_ body: Node, _ resource: ServedResource, _ options: WriteOptions, warn: (String) -> Void) throws(APIError) -> Node {
        let decoded: Canonical.Decoded
        let gvk = resource.resource.gvk
        do { decoded = try resource.canonical.decode(body, as: resource.resource.message) } catch {
            throw BodyDecoder.unhandled(gvk, as: gvk, error.description)
        }
        if options.fieldValidation != .ignore {
            let found = decoded.unknown.map { "unknown field \(NodePath.quoted(BodyDecoder.dotted($0)))" }
            if options.fieldValidation == .strict, !found.isEmpty {
                throw BodyDecoder.unhandled(gvk, as: gvk, "strict decoding error: " + found.joined(separator: ", "))
            }
            for text in found { warn(text) }
        }
        var object = decoded.node
        setDefaults(&object, resource)
        return object
    }

    func setDefaults(_ object: inout Node, _ resource: ServedResource) {
        Defaulting(resource.graph).apply(to: &object, as: resource.resource.message)
        KindStrategies.of(group: resource.group, kind: resource.kind).setDefaults(&object)
    }

    /// After admission or a strategy changed the object: canonical and defaulted again.
    func complete(_ object: inout Node, _ resource: ServedResource) {
        setDefaults(&object, resource)
        if let normal = try? resource.canonical.normalize(object, as: resource.resource.message) { object = normal }
    }

    // MARK: - Validation

    func validate(_ object: Node, _ resource: ServedResource, _ strategy: any KindStrategy) throws(APIError) {
        var errors = ObjectMeta.errors(object["metadata"], isNamespaced: resource.isNamespaced, name: strategy.traits.nameRule)
        errors += Validation.errors(object, as: resource.resource.message, in: resource.graph, resource.isCustom ? .custom : .builtIn)
        errors += strategy.validate(object)
        try refuse(errors, resource, object.name)
    }

    func validateUpdate(_ object: Node, old: Node, _ resource: ServedResource, _ strategy: any KindStrategy, subresource: String) throws(APIError) {
        var errors = ObjectMeta.errors(object["metadata"], isNamespaced: resource.isNamespaced, name: strategy.traits.nameRule)
        errors += ObjectMeta.updateErrors(object["metadata"], old: old["metadata"])
        if subresource.isEmpty {
            errors += Validation.errors(object, as: resource.resource.message, in: resource.graph, resource.isCustom ? .custom : .builtIn)
            errors += strategy.validate(object)
        }
        errors += strategy.validateUpdate(object, old: old, subresource: subresource)
        try refuse(errors, resource, object.name)
    }

    private func refuse(_ errors: [FieldError], _ resource: ServedResource, _ name: String) throws(APIError) {
        guard !errors.isEmpty else { return }
        // The same finding from the table and from a hook is one finding.
        var seen: Set<String> = []
        let distinct = errors.filter { seen.insert($0.description).inserted }
        throw APIError.invalid(kind: resource.kind, group: resource.group, name: name, errors: distinct)
    }
}

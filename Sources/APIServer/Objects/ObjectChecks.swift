import Kinds
import Machinery
import Schema
import Tree

/// The checks and completions that the schema table drives, the same for all kinds.
package struct ObjectChecks: Sendable {
    package init() {}

    /// A patched object as the typed object it stands for: known fields only, canonical scalars, defaults set. Unknown fields
    /// are refused, told or dropped, as `fieldValidation` says.
    func decode(
        _ body: Node, _ resource: ServedResource, _ options: WriteOptions, besides: [String] = [], warn: (String) -> Void
    ) throws(APIError) -> Node {
        let decoded: Canonical.Decoded
        let gvk = resource.resource.gvk
        do { decoded = try resource.canonical.decode(body, as: resource.resource.message) } catch {
            throw BodyDecoder.unhandled(gvk, as: gvk, error.description)
        }
        if options.fieldValidation != .ignore {
            let found = besides + decoded.unknown.map { "unknown field \(NodePath.quoted(BodyDecoder.dotted($0)))" }
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
        if resource.isCustom { NullPruning.prune(&object, as: resource.resource.message, in: resource.graph) }
        KindStrategies.of(group: resource.group, kind: resource.kind).setDefaults(&object)
    }

    /// After admission or a strategy changed the object: canonical and defaulted again.
    /// `empties`: what defaults do not stand in for, though it is not there.
    func complete(_ object: inout Node, _ resource: ServedResource, _ empties: [EmptyCollection] = []) {
        if !empties.isEmpty { object = object.having(empties) }
        setDefaults(&object, resource)
        if let normal = try? resource.canonical.normalize(object, as: resource.resource.message) { object = normal }
    }

    // MARK: - Validation

    func validate(
        _ object: Node, _ resource: ServedResource, _ strategy: any KindStrategy, empties: [EmptyCollection] = [], warn: (String) -> Void = { _ in }
    ) throws(APIError) {
        var object = empties.isEmpty ? object : object.having(empties)
        // What is new has no version, whatever it says.
        if object.revision != 0 { object["metadata"].remove("resourceVersion") }
        var errors = ObjectMeta.errors(object["metadata"], isNamespaced: resource.isNamespaced, name: strategy.traits.nameRule)
        if !resource.isCustom, !Self.looseGroups.contains(resource.group) { errors += ObjectMeta.finalizerErrors(object["metadata"]) }
        errors += content(object, old: nil, resource, strategy, warn)
        try refuse(errors, resource, object.name, group: strategy.traits.isRefusedWithoutGroup ? "" : resource.group)
    }

    /// Groups whose kinds may have finalizers without a domain.
    private static let looseGroups: Set<String> = ["apiextensions.k8s.io", "apiregistration.k8s.io", "admissionregistration.k8s.io"]

    func validateUpdate(
        _ object: Node, old: Node, _ resource: ServedResource, _ strategy: any KindStrategy, subresource: String, empties: [EmptyCollection] = [],
        warn: (String) -> Void = { _ in }
    ) throws(APIError) {
        var errors = ObjectMeta.errors(object["metadata"], isNamespaced: resource.isNamespaced, name: strategy.traits.nameRule)
        // Upstream looks at everything twice, and tells twice what it finds; where the first look found nothing there is no second.
        let changed = ObjectMeta.changeErrors(object["metadata"], old: old["metadata"])
        errors += errors.isEmpty ? changed : ObjectMeta.updateErrors(object["metadata"], old: old["metadata"])
        errors += changed
        var changes = strategy.validateUpdate(object, old: old, subresource: subresource)
        let sent = empties.isEmpty ? object : object.having(empties)
        // An empty list is no change of an absent one; where something else is, it is shown as it was sent.
        if !changes.isEmpty, !empties.isEmpty { changes = strategy.validateUpdate(sent, old: old, subresource: subresource) }
        if subresource.isEmpty {
            let order = strategy.traits.updateChecks
            let found = order == .changesOnly ? [] : content(sent, old: old, resource, strategy, warn)
            switch order {
            case .contentFirst: errors += found + changes
            case .changesFirst: errors += changes + found
            case .contentTwice: errors += found + found + changes
            case .changesOnly: errors += changes
            }
        } else {
            if resource.isCustom { errors += schemaErrors(object, old: old, resource, subresource: subresource, warn) }
            errors += changes
        }
        try refuse(errors, resource, object.name, group: strategy.traits.isRefusedWithoutGroup ? "" : resource.group)
    }

    /// The table says little of a field, a hook more: where both find something, the hook's words count.
    private func content(
        _ object: Node, old: Node?, _ resource: ServedResource, _ strategy: any KindStrategy, _ warn: (String) -> Void
    ) -> [FieldError] {
        var general = schemaErrors(object, old: old, resource, warn)
        let unchecked = strategy.traits.uncheckedFields
        if !unchecked.isEmpty {
            let prefixes = unchecked.filter { $0.hasSuffix("*") }.map { $0.dropLast() }
            general.removeAll { error in
                let field = error.field.replacing(/\[\d+\]/, with: "")
                return unchecked.contains(field) || prefixes.contains { field.hasPrefix($0) }
            }
        }
        let own = strategy.validate(object)
        guard !general.isEmpty, !own.isEmpty, !resource.isCustom else { return general + own }
        let fields = Set(own.map(\.field))
        return general.filter { !fields.contains($0.field) && !fields.contains(Self.listOf($0.field)) } + own
    }

    /// `spec.accessModes[0]` is an item of `spec.accessModes`.
    private static func listOf(_ field: String) -> String {
        guard field.last == "]", let bracket = field.lastIndex(of: "[") else { return field }
        return String(field[..<bracket])
    }

    private func refuse(_ errors: [FieldError], _ resource: ServedResource, _ name: String, group: String) throws(APIError) {
        guard !errors.isEmpty else { return }
        throw APIError.invalid(kind: resource.kind, group: group, name: name, errors: errors)
    }
}

import Kinds
import Machinery
package import Schema
import Tree

/// The checks and completions that the schema table drives, the same for all kinds.
package struct ObjectChecks: Sendable {
    private let canonical: Canonical
    private let defaulting: Defaulting

    package init(graph: Graph) {
        canonical = Canonical(graph)
        defaulting = Defaulting(graph)
    }

    /// A body as the typed object it stands for: known fields only, canonical scalars, defaults set. Unknown fields and duplicates
    /// are refused, told or dropped, as `fieldValidation` says.
    func decode(
        _ body: Node, _ resource: ServedResource, _ options: WriteOptions, duplicates: [String] = [], warn: (String) -> Void
    ) throws(APIError) -> Node {
        let decoded: Canonical.Decoded
        do { decoded = try canonical(resource).decode(body, as: resource.resource.message) } catch {
            throw APIError.badRequest(ObjectChecks.cannotBeHandled(resource, "\(error)"))
        }
        if options.fieldValidation != .ignore {
            let found = duplicates + decoded.unknown.map { "unknown field \(FieldError.quoted("\($0)"))" }
            if options.fieldValidation == .strict, !found.isEmpty {
                throw APIError.badRequest(ObjectChecks.cannotBeHandled(resource, "strict decoding error: \(found.joined(separator: ", "))"))
            }
            for text in found { warn(text) }
        }
        var object = decoded.node
        setDefaults(&object, resource)
        return object
    }

    static func cannotBeHandled(_ resource: ServedResource, _ why: String) -> String {
        "\(resource.kind) in version \"\(resource.resource.version)\" cannot be handled as a \(resource.kind): \(why)"
    }

    private func canonical(_ resource: ServedResource) -> Canonical {
        resource.graph === canonical.graph ? canonical : Canonical(resource.graph)
    }

    func setDefaults(_ object: inout Node, _ resource: ServedResource) {
        (resource.graph === canonical.graph ? defaulting : Defaulting(resource.graph)).apply(to: &object, as: resource.resource.message)
        KindStrategies.of(group: resource.group, kind: resource.kind).setDefaults(&object)
    }

    /// After admission or a strategy changed the object: canonical and defaulted again.
    func complete(_ object: inout Node, _ resource: ServedResource) {
        setDefaults(&object, resource)
        if let normal = try? canonical(resource).normalize(object, as: resource.resource.message) { object = normal }
    }

    // MARK: - Validation

    func validate(_ object: Node, _ resource: ServedResource, _ strategy: any KindStrategy) throws(APIError) {
        var errors = ObjectMeta.errors(object["metadata"], isNamespaced: resource.isNamespaced, name: strategy.traits.nameRule)
        errors += StructuralValidation(resource.graph).errors(object, as: resource.resource.message)
        errors += strategy.validate(object)
        try refuse(errors, resource, object.name)
    }

    func validateUpdate(_ object: Node, old: Node, _ resource: ServedResource, _ strategy: any KindStrategy, subresource: String) throws(APIError) {
        var errors = ObjectMeta.errors(object["metadata"], isNamespaced: resource.isNamespaced, name: strategy.traits.nameRule)
        errors += ObjectMeta.updateErrors(object["metadata"], old: old["metadata"])
        if subresource.isEmpty {
            errors += StructuralValidation(resource.graph).errors(object, as: resource.resource.message)
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

package import Tree

/// Names the rules of a field, element or message; `.none` for those (most) that have none.
package struct RulesID: Hashable, Sendable {
    package let raw: Int32
    package init(_ raw: Int) { self.raw = Int32(truncatingIfNeeded: raw) }
    package static let none = RulesID(0)
}

/// How strategic merge patch treats a value; nothing set means replace for scalars and lists, merge for objects.
package struct PatchStrategy: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }
    package static let merge = PatchStrategy(rawValue: 1)
    package static let replace = PatchStrategy(rawValue: 2)
    package static let retainKeys = PatchStrategy(rawValue: 4)
}

/// How apply treats a list.
package enum ListType: UInt8, Hashable, Sendable {
    case atomic, set, map
}

/// What few fields have, so that `Field` stays small: merging, defaults, values allowed.
package struct Rules: Sendable, Equatable {
    // Merging. Strategic merge and apply have separate keys (`Service.spec.ports`: port against port and protocol).
    package var patchStrategy: PatchStrategy = []
    package var patchMergeKey = ""
    /// Nil where nothing is declared: apply then treats a list as atomic.
    package var listType: ListType?
    package var listMapKeys: [String] = []
    /// Apply owns a map or object as a whole. Said of a field or, for all its uses, of a message: either one will do.
    package var isAtomic = false
    /// Whether `isAtomic` was said with the other value (`granular`), which OpenAPI repeats.
    package var isGranular = false

    /// Filled in when the field is absent or, for what is no pointer, zero; whatever the rest of the object says. A walk
    /// enters plain messages that are absent too (`status: {}` gets its `phase`), pointers only when they are there.
    package var defaultValue: Node?
    /// OpenAPI tells of the default: Go's type declares it, and no function of the group's sets it.
    package var isDefaultDeclared = false
    /// Go's name of a text's type, `v1.Protocol`, which messages about wrong types use; empty for `string`.
    package var typeName = ""
    /// All the values allowed, in OpenAPI's order; empty for any. Custom resources may list other things than strings.
    package var enumValues: [Node] = []

    // Constraints. Built-in types have few here: most are cross-field and live in hooks.
    /// OpenAPI's `format`, or the name of one of upstream's declarative formats (`k8s-short-name`).
    package var format = ""
    package var pattern = ""
    @Seldom package var bounds = Bounds()
    @Seldom package var written = WrittenRules()
    package var description = ""
    /// On the message of a kind: defaults deeper down that hold for this kind only.
    package var pathDefaults: [PathDefault] = []

    package struct PathDefault: Sendable, Equatable {
        /// JSON names from the root; plain messages on the way are there or are made, absent pointers end it.
        package let path: [String]
        package let value: Node
    }

    package init() {}

    package static let none = Rules()
}

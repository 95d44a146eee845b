/// One field as a walk over JSON meets it. Small on purpose: what few fields have is in `graph.rules(of:)`.
package struct Field: Sendable {
    /// The JSON name; empty for a field that is inline in JSON (only `Graph.wire(of:)` has those).
    package let name: String
    package let shape: Shape
    /// The protobuf tag; 0 for a field that protobuf does not carry.
    package let tag: Int32
    package let presence: Presence
    package let flags: Flags
    package let rulesID: RulesID

    package struct Flags: OptionSet, Hashable, Sendable {
        package let rawValue: UInt16
        package init(rawValue: UInt16) { self.rawValue = rawValue }
        /// OpenAPI lists it as required.
        package static let required = Flags(rawValue: 1 << 0)
        /// Its message's fields stand in the outer JSON object, while protobuf nests them under `tag`.
        package static let inline = Flags(rawValue: 1 << 1)
        /// It came out of an inline message: protobuf finds it one level deeper.
        package static let promoted = Flags(rawValue: 1 << 2)
        /// Protobuf wraps the list in a message with the items at tag 1.
        package static let wrapped = Flags(rawValue: 1 << 3)
        /// Null is a value of its own and survives pruning (custom resources' `nullable`).
        package static let nullable = Flags(rawValue: 1 << 4)
        /// May not change once set.
        package static let immutable = Flags(rawValue: 1 << 5)
        /// Only the `status` subresource writes it; writes through the main resource keep the old value.
        package static let status = Flags(rawValue: 1 << 6)
        /// It carries a default, or a field below it does: walks that default may skip the others.
        package static let defaults = Flags(rawValue: 1 << 7)
        /// The value is a whole API object with its own apiVersion, kind and metadata.
        package static let embedded = Flags(rawValue: 1 << 8)
        /// Keys that the message does not know are kept.
        package static let preservesUnknown = Flags(rawValue: 1 << 9)
    }

    package var isRequired: Bool { flags.contains(.required) }
    package var isInline: Bool { flags.contains(.inline) }
    package var isImmutable: Bool { flags.contains(.immutable) }

    package init(name: String, shape: Shape, tag: Int32 = 0, presence: Presence = .pointer, flags: Flags = [], rulesID: RulesID = .none) {
        self.name = name
        self.shape = shape
        self.tag = tag
        self.presence = presence
        self.flags = flags
        self.rulesID = rulesID
    }

    func with(flags: Flags) -> Field { Field(name: name, shape: shape, tag: tag, presence: presence, flags: flags, rulesID: rulesID) }
}

/// What the items of a list or the values of a map are.
package struct Element: Hashable, Sendable {
    package let shape: Shape
    /// `.wrapped` (`map[string]ExtraValue`), `.nullable`, `.embedded` and `.preservesUnknown` apply.
    package let flags: Field.Flags
    package let rulesID: RulesID
    package init(shape: Shape, flags: Field.Flags = [], rulesID: RulesID = .none) {
        self.shape = shape
        self.flags = flags
        self.rulesID = rulesID
    }
}

/// A message type: the fields of one JSON object.
package struct Message: Sendable {
    /// The short name, unique in its graph: `core/v1.PodSpec`.
    package let name: String
    /// What comes before the type's own name in OpenAPI documents: `io.k8s.api.core.v1`.
    package let openAPIPrefix: String
    /// Its fields in `Graph.fields`, those of inline messages among them: the JSON view.
    package let fields: Range<Int>
    /// Its fields in `Graph.wireFields`, by ascending tag, inline messages as fields of their own: the protobuf view.
    package let wire: Range<Int>
    /// The dense range of `Graph.tagIndex` that maps tag - 1 to a wire field.
    @usableFromInline let tags: Range<Int>
    /// `.preservesUnknown`, `.defaults`, `.embedded` apply.
    package let flags: Field.Flags
    /// Rules on the object as a whole: `mapType` atomic, CEL validations, min and max properties.
    package let rulesID: RulesID
    package let unions: [Union]

    /// An object within a custom resource's schema: documents describe it in place, since it has no definition of its own.
    package var isAnonymous: Bool { openAPIPrefix.isEmpty }
    /// The type's own name: `PodSpec`.
    package var typeName: Substring { name[(name.lastIndex(of: ".").map(name.index(after:)) ?? name.startIndex)...] }
    /// The definition's name in OpenAPI documents: `io.k8s.api.core.v1.PodSpec`.
    package var openAPIName: String { openAPIPrefix.isEmpty ? name : "\(openAPIPrefix).\(typeName)" }
}

/// Fields of which at most one is set, and the field that says which.
package struct Union: Hashable, Sendable {
    /// The JSON name of the discriminator; empty when the union has none.
    package var discriminator = ""
    /// JSON name of each member and the discriminator's value for it.
    package var members: [Member] = []
    /// OpenAPI documents list it (`x-kubernetes-unions`).
    package var isPublished = false

    package struct Member: Hashable, Sendable {
        package var field: String
        package var value: String
    }
    package init() {}
}

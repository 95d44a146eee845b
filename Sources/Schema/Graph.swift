/// The compiled schema: every message type with its fields, every kind and resource. Immutable, so shared freely.
///
/// A walk over JSON asks, at each object, for the field of a key, and switches on its shape:
///
///     func walk(_ node: inout Node, _ id: MessageID) {
///         for entry in node.fields {
///             guard let field = graph.field(entry.key, in: id) else { continue }   // unknown: prune or complain
///             switch field.shape {
///             case .scalar(let scalar): …
///             case .message(let id): …                                // the same again, one level down
///             case .list(let element), .map(let element): …           // graph[element].shape for each item
///             }
///         }
///     }
///
/// A walk over protobuf uses `wire(of:)` to write and `wireField(tag:in:)` to read. There a field that `isInline` is a
/// message of its own whose fields are in *the same* JSON object: recurse with the same node.
/// `apiVersion` and `kind` of root objects are fields with tag 0, since protobuf carries them in its envelope.
package final class Graph: Sendable {
    package let messages: [Message]
    /// All JSON fields; a message's are at `message.fields`.
    package let fields: [Field]
    /// All protobuf fields; a message's are at `message.wire`, by ascending tag.
    package let wireFields: [Field]
    package let elements: [Element]
    /// The first is `Rules.none`.
    package let allRules: [Rules]
    /// In discovery's order.
    package let groups: [APIGroup]
    /// In the order of the text, groups and versions together.
    package let resources: [Resource]

    @usableFromInline let tagIndex: [Int32]
    /// Open addressing: 0 is free, else a field's index + 1. The length is a power of two.
    @usableFromInline let nameIndex: [UInt32]
    /// The hash of each field's name and message, at the field's index.
    @usableFromInline let nameHashes: [UInt32]
    let messageIndex: [String: MessageID]
    let kindIndex: [GroupVersionKind: MessageID]
    /// The kinds of each message that has any, in the order declared.
    let kindsOfMessage: [MessageID: [GroupVersionKind]]
    /// Kinds that every registered version has, so that a client may delete with `DeleteOptions` of any of them.
    let everywhere: [String: MessageID]
    let registered: [GroupVersion]
    let resourceIndex: [GroupVersionResource: Int]
    let resourceOfKind: [GroupVersionKind: Int]

    init(_ draft: GraphBuilder) {
        let parts = draft.compile()
        messages = parts.messages.fitted
        fields = parts.fields.fitted
        wireFields = parts.wireFields.fitted
        elements = parts.elements.fitted
        allRules = parts.rules.fitted
        groups = parts.groups
        resources = parts.resources
        tagIndex = parts.tagIndex.fitted
        nameIndex = parts.nameIndex.fitted
        nameHashes = parts.nameHashes.fitted
        messageIndex = parts.messageIndex
        everywhere = draft.everywhere
        registered = draft.registered
        kindIndex = parts.kindIndex
        kindsOfMessage = parts.kindsOfMessage
        resourceIndex = parts.resourceIndex
        resourceOfKind = parts.resourceOfKind
    }
}

extension Array {
    /// Without room to grow: there is one graph a custom resource.
    fileprivate var fitted: [Element] { count == capacity ? self : withUnsafeBufferPointer { Array($0) } }
}

// MARK: - Parts

extension Graph {
    @inlinable package subscript(_ id: MessageID) -> Message { messages[Int(id.raw)] }
    @inlinable package subscript(_ id: ElementID) -> Element { elements[Int(id.raw)] }
    @inlinable package subscript(_ id: RulesID) -> Rules { allRules[Int(id.raw)] }

    /// The fields as JSON has them, those of inline messages included.
    @inlinable package func fields(of id: MessageID) -> ArraySlice<Field> { fields[messages[Int(id.raw)].fields] }
    /// The fields as protobuf has them, by ascending tag, without those that it does not carry.
    @inlinable package func wire(of id: MessageID) -> ArraySlice<Field> { wireFields[messages[Int(id.raw)].wire] }
    @inlinable package func rules(of field: Field) -> Rules { allRules[Int(field.rulesID.raw)] }
    @inlinable package func rules(of element: Element) -> Rules { allRules[Int(element.rulesID.raw)] }
}

// MARK: - Lookups

extension Graph {
    /// The field of a JSON key; nil for a key that the message does not know.
    @inlinable package func field(_ name: String, in id: MessageID) -> Field? {
        guard let index = fieldIndex(name, in: id) else { return nil }
        return fields[index]
    }

    /// The place in `fields` of a JSON key's field.
    @inlinable package func fieldIndex(_ name: String, in id: MessageID) -> Int? {
        let hash = Graph.hash(name, id)
        let mask = nameIndex.count - 1
        var slot = Int(hash) & mask
        while true {
            let entry = nameIndex[slot]
            guard entry != 0 else { return nil }
            let index = Int(entry) - 1
            if nameHashes[index] == hash, fields[index].name == name, messages[Int(id.raw)].fields.contains(index) { return index }
            slot = (slot + 1) & mask
        }
    }

    /// The field that protobuf carries under a tag; nil for an unknown tag.
    @inlinable package func wireField(tag: Int, in id: MessageID) -> Field? { wireIndex(tag: tag, in: id).map { wireFields[$0] } }

    /// The place in `wireFields` of a tag's field: for walks that touch one property of it, which then need no copy.
    @inlinable package func wireIndex(tag: Int, in id: MessageID) -> Int? {
        let range = messages[Int(id.raw)].tags
        guard tag > 0, tag <= range.count else { return nil }
        let index = tagIndex[range.lowerBound + tag - 1]
        return index < 0 ? nil : Int(index)
    }

    /// By the short name: `core/v1.PodSpec`.
    package func message(named name: String) -> MessageID? { messageIndex[name] }
    /// By OpenAPI's name: `io.k8s.api.core.v1.PodSpec`.
    package func message(openAPIName name: String) -> MessageID? {
        messages.firstIndex { $0.openAPIName == name }.map { MessageID($0) }
    }
    /// The root message of a kind, lists and options included.
    package func message(of gvk: GroupVersionKind) -> MessageID? {
        if let id = kindIndex[gvk] { return id }
        guard let id = everywhere[gvk.kind] else { return nil }
        return registered.contains(GroupVersion(group: gvk.group, version: gvk.version)) ? id : nil
    }
    /// The kinds that a message is the root of: what OpenAPI calls `x-kubernetes-group-version-kind`.
    package func kinds(of id: MessageID) -> [GroupVersionKind] {
        if let kinds = kindsOfMessage[id] { return kinds }
        guard let kind = everywhere.first(where: { $0.value == id })?.key else { return [] }
        return registered.map { GroupVersionKind(group: $0.group, version: $0.version, kind: kind) }
    }

    package func resource(_ gvr: GroupVersionResource) -> Resource? { resourceIndex[gvr].map { resources[$0] } }
    package func resource(of gvk: GroupVersionKind) -> Resource? { resourceOfKind[gvk].map { resources[$0] } }

    @usableFromInline static func hash(_ name: String, _ id: MessageID) -> UInt32 {
        let seed = UInt64(UInt32(bitPattern: id.raw))
        // Linux has no strings without contiguous bytes, but the types allow them.
        let hash =
            name.utf8.withContiguousStorageIfAvailable { NameHash.of(UnsafeRawBufferPointer($0), seed: seed) }
            ?? Array(name.utf8).withUnsafeBytes { NameHash.of($0, seed: seed) }
        return UInt32(truncatingIfNeeded: hash)
    }
}

import Tree

/// Gathers messages whose ids are known before their fields are, then compiles them to a `Graph`.
///
/// Both the schema text and a custom resource's schema go through it.
struct GraphBuilder {
    struct Draft {
        var name: String
        var openAPIPrefix = ""
        /// In protobuf's view: inline messages are fields.
        var fields: [Field] = []
        var flags: Field.Flags = []
        var rulesID = RulesID.none
        var unions: [Union] = []
    }

    var drafts: [Draft] = []
    var messageIndex: [String: MessageID] = [:]
    var elements: [Element] = []
    private var elementIndex: [Element: ElementID] = [:]
    private(set) var rules: [Rules] = [.none]
    private var rulesIndex: [RulesKey: RulesID] = [:]
    var kinds: [(gvk: GroupVersionKind, message: MessageID)] = []
    /// Kinds that every registered version has (`DeleteOptions`).
    var everywhere: [String: MessageID] = [:]
    var registered: [GroupVersion] = []
    var groups: [APIGroup] = []
    var resources: [Resource] = []

    /// The message of a name, made known here if it was not: others may refer to it before its fields are set.
    mutating func reference(_ name: String) -> (id: MessageID, isNew: Bool) {
        if let id = messageIndex[name] { return (id, false) }
        let id = MessageID(drafts.count)
        messageIndex[name] = id
        drafts.append(Draft(name: name))
        return (id, true)
    }

    /// Equal elements share one id.
    mutating func element(_ element: Element) -> ElementID {
        if let id = elementIndex[element] { return id }
        let id = ElementID(elements.count)
        elements.append(element)
        elementIndex[element] = id
        return id
    }

    /// Says of a root message that its `status` is written through the subresource only.
    mutating func markStatus(of id: MessageID) {
        let fields = drafts[Int(id.raw)].fields
        guard let index = fields.firstIndex(where: { $0.name == "status" }) else { return }
        drafts[Int(id.raw)].fields[index] = fields[index].with(flags: fields[index].flags.union(.status))
    }

    /// Keeps rules, equal ones once; those that say nothing are `.none`.
    mutating func add(_ rule: Rules) -> RulesID {
        if rule == .none { return .none }
        let key = RulesKey(rule)
        if let id = rulesIndex[key] { return id }
        let id = RulesID(rules.count)
        rules.append(rule)
        rulesIndex[key] = id
        return id
    }
}

/// Rules by all that they say. Values are compared as they are written: maps are equal in any order of their keys, and documents keep it.
private struct RulesKey: Hashable {
    private let rules: Rules
    private let values: String

    init(_ rules: Rules) {
        self.rules = rules
        let written = [rules.written.logic, rules.written.validations, rules.written.documents]
        let values = [rules.defaultValue] + rules.enumValues + rules.pathDefaults.map(\.value) + written
        self.values = values.map { $0?.jsonText ?? "" }.joined(separator: "\n")
    }

    /// What tells most rules apart; the rest is for `==`.
    func hash(into hasher: inout Hasher) {
        hasher.combine(values)
        hasher.combine(rules.pattern)
        hasher.combine(rules.format)
        hasher.combine(rules.description)
        hasher.combine(rules.bounds.maxLength)
        hasher.combine(rules.bounds.maximum)
    }
}

// MARK: - Compiling

extension GraphBuilder {
    /// What `Graph` stores, made in one go.
    struct Parts {
        var messages: [Message] = []
        var fields: [Field] = []
        var wireFields: [Field] = []
        var elements: [Element] = []
        var rules: [Rules] = []
        var groups: [APIGroup] = []
        var resources: [Resource] = []
        var tagIndex: [Int32] = []
        var nameIndex: [UInt32] = []
        var nameHashes: [UInt32] = []
        var messageIndex: [String: MessageID] = [:]
        var kindIndex: [GroupVersionKind: MessageID] = [:]
        var kindsOfMessage: [MessageID: [GroupVersionKind]] = [:]
        var resourceIndex: [GroupVersionResource: Int] = [:]
        var resourceOfKind: [GroupVersionKind: Int] = [:]
    }

    func compile() -> Parts {
        var parts = Parts()
        parts.elements = elements
        parts.rules = rules
        parts.groups = groups
        parts.resources = resources
        parts.messageIndex = messageIndex
        parts.messages.reserveCapacity(drafts.count)
        let withDefaults = messagesWithDefaults()
        for (index, draft) in drafts.enumerated() {
            let start = parts.fields.count
            appendJSON(draft.fields, promoted: false, withDefaults, to: &parts.fields)
            let wire = parts.wireFields.count
            let tags = appendWire(draft.fields, to: &parts)
            parts.messages.append(
                Message(
                    name: draft.name, openAPIPrefix: draft.openAPIPrefix, fields: start..<parts.fields.count, wire: wire..<parts.wireFields.count, tags: tags,
                    flags: withDefaults[index] ? draft.flags.union(.defaults) : draft.flags, rulesID: draft.rulesID, unions: draft.unions))
        }
        indexNames(&parts)
        for (gvk, message) in kinds {
            parts.kindIndex[gvk] = message
            parts.kindsOfMessage[message, default: []].append(gvk)
        }
        for (index, resource) in resources.enumerated() {
            parts.resourceIndex[resource.gvr] = index
            parts.resourceOfKind[resource.gvk] = parts.resourceOfKind[resource.gvk] ?? index
        }
        return parts
    }

    /// Flattens inline messages into the outer object. Lint refuses an inline message that contains itself.
    private func appendJSON(_ from: [Field], promoted: Bool, _ withDefaults: [Bool], to fields: inout [Field], depth: Int = 0) {
        for field in from {
            if field.isInline, case .message(let id) = field.shape {
                if depth < 8 { appendJSON(drafts[Int(id.raw)].fields, promoted: true, withDefaults, to: &fields, depth: depth + 1) }
                continue
            }
            var flags = field.flags
            if promoted { flags.insert(.promoted) }
            if reachesDefault(field, withDefaults) { flags.insert(.defaults) }
            fields.append(field.with(flags: flags))
        }
    }

    private func appendWire(_ from: [Field], to parts: inout Parts) -> Range<Int> {
        let start = parts.tagIndex.count
        let first = parts.wireFields.count
        // Inline fields without a tag (list and type metadata of old kinds) are spread out here too.
        func spread(_ fields: [Field], depth: Int) {
            for field in fields {
                if field.tag > 0 {
                    parts.wireFields.append(field)
                } else if field.isInline, case .message(let id) = field.shape, depth < 8 {
                    spread(drafts[Int(id.raw)].fields, depth: depth + 1)
                }
            }
        }
        spread(from, depth: 0)
        parts.wireFields[first...].sort { $0.tag < $1.tag }
        let highest = Int(parts.wireFields[first...].last?.tag ?? 0)
        parts.tagIndex.append(contentsOf: repeatElement(-1, count: highest))
        for index in first..<parts.wireFields.count { parts.tagIndex[start + Int(parts.wireFields[index].tag) - 1] = Int32(index) }
        return start..<parts.tagIndex.count
    }

    private func indexNames(_ parts: inout Parts) {
        var capacity = 16
        while capacity < parts.fields.count * 2 { capacity *= 2 }
        parts.nameIndex = Array(repeating: 0, count: capacity)
        parts.nameHashes = Array(repeating: 0, count: parts.fields.count)
        for (id, message) in parts.messages.enumerated() {
            for index in message.fields {
                let hash = Graph.hash(parts.fields[index].name, MessageID(id))
                parts.nameHashes[index] = hash
                var slot = Int(hash) & (capacity - 1)
                while parts.nameIndex[slot] != 0 { slot = (slot + 1) & (capacity - 1) }
                parts.nameIndex[slot] = UInt32(index + 1)
            }
        }
    }

    // MARK: Which messages a defaulting walk must enter

    private func messagesWithDefaults() -> [Bool] {
        var has = drafts.map { draft in draft.fields.contains { rules[Int($0.rulesID.raw)].defaultValue != nil } }
        var changed = true
        while changed {
            changed = false
            for index in drafts.indices.reversed() where !has[index] && drafts[index].fields.contains(where: { reachesDefault($0, has) }) {
                has[index] = true
                changed = true
            }
        }
        return has
    }

    private func reachesDefault(_ field: Field, _ has: [Bool]) -> Bool {
        rules[Int(field.rulesID.raw)].defaultValue != nil || reachesDefault(field.shape, has)
    }

    private func reachesDefault(_ shape: Shape, _ has: [Bool]) -> Bool {
        switch shape {
        case .scalar: return false
        case .message(let id): return has[Int(id.raw)]
        case .list(let id), .map(let id):
            let element = elements[Int(id.raw)]
            return rules[Int(element.rulesID.raw)].defaultValue != nil || reachesDefault(element.shape, has)
        }
    }
}

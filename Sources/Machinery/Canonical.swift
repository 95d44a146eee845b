import Core
package import Schema
package import Tree

/// Brings a decoded body into the form that upstream's typed structs would give it: known fields only, in the table's order,
/// maps sorted, zero values present or gone as each field's presence says, quantities and times in canonical form.
///
/// Decoding is strict about types (the first wrong one throws, in the words of Go's decoder) and tells unknown fields apart,
/// so that the caller may refuse, warn or ignore. Applying it twice changes nothing more.
package final class Canonical: Sendable {
    package let graph: Graph
    /// For each message the fields that are written also when absent.
    private let alwaysFields: [[Int]]
    private let style: Validation.Style
    package var isCustom: Bool { style == .custom }
    /// Strict in custom resources too.
    private let objectMeta: MessageID?
    private static let maxUnknown = 100

    /// For custom resources only the metadata is typed: whatever else does not fit its schema stays, for validation to name.
    package init(_ graph: Graph, _ style: Validation.Style = .builtIn) {
        self.graph = graph
        self.style = style
        objectMeta = graph.message(named: "meta/v1.ObjectMeta")
        alwaysFields = graph.messages.map { message in
            message.fields.filter { Canonical.isWrittenWhenAbsent(graph.fields[$0]) }
        }
    }

    private static func isWrittenWhenAbsent(_ field: Field) -> Bool {
        switch field.presence {
        case .always, .pointerOrNull: return true
        case .omitEmpty: if case .message = field.shape { return true } else { return false }
        case .pointer, .omitZero: return false
        }
    }

    /// A body in canonical form, and what it held besides.
    package struct Decoded: Sendable {
        package var node: Node
        /// Paths of fields that the schema does not know, which are pruned.
        package var unknown: [NodePath]
        /// Lists and maps that are there and empty: their canonical form is that of absent ones.
        package var empties: [EmptyCollection] = []
    }

    package func decode(_ node: Node, as id: MessageID) throws(DecodingFailure) -> Decoded {
        var walk = Walk(canonical: self)
        let result = try walk.message(node, id)
        return Decoded(node: result, unknown: walk.unknown, empties: walk.empties)
    }

    /// The canonical form of what is known to be well typed, such as an object of ours.
    package func normalize(_ node: Node, as id: MessageID) throws(DecodingFailure) -> Node { try decode(node, as: id).node }

    /// The value that Go's zero value of a field has in JSON; nil where it is left out.
    private func absent(_ field: Field) -> Node? {
        switch field.presence {
        case .pointer, .omitZero: return nil
        case .pointerOrNull: return .null
        case .omitEmpty:
            if case .message(let id) = field.shape { return zero(of: id) }
            return nil
        case .always: return zero(of: field.shape)
        }
    }

    func zero(of shape: Shape) -> Node {
        switch shape {
        case .message(let id): return zero(of: id)
        case .list, .map: return .null
        case .scalar(let scalar):
            switch scalar {
            case .string: return ""
            case .bool, .schemaOrBool: return false
            case .int32, .int64, .double, .intOrString: return 0
            case .quantity: return "0"
            case .duration: return "0s"
            case .bytes, .time, .microTime, .rawExtension, .json, .fieldsV1, .schemaOrArray, .schemaOrStringArray: return .null
            }
        }
    }

    /// Go's zero value of a type.
    package func zero(of id: MessageID) -> Node {
        var fields = Fields()
        for index in alwaysFields[Int(id.raw)] {
            let field = graph.fields[index]
            if let value = absent(field) { fields.appendUnique(field.name, value) }
        }
        return .map(fields)
    }
}

// MARK: - Walk

extension Canonical {
    struct Walk {
        let canonical: Canonical
        var unknown: [NodePath] = []
        private(set) var empties: [EmptyCollection] = []
        private(set) var path: [NodePath.Step] = []
        private(set) var structs: [MessageID] = []
        private(set) var isLenient: Bool

        init(canonical: Canonical) {
            self.canonical = canonical
            isLenient = canonical.style == .custom
        }

        var graph: Graph { canonical.graph }

        mutating func message(_ node: Node, _ id: MessageID, keepsUnknown: Bool = false) throws(DecodingFailure) -> Node {
            let wasLenient = isLenient
            if id == canonical.objectMeta { isLenient = false }
            defer { isLenient = wasLenient }
            guard case .map(let input) = node else {
                if node.isNull { return canonical.zero(of: id) }
                return try unfit(node, .message(id))
            }
            structs.append(id)
            defer { structs.removeLast() }
            let known = graph[id].fields
            var slots: [(index: Int, value: Node)] = []
            slots.reserveCapacity(input.count + 4)
            var rest: [(key: String, value: Node)] = []
            for (key, value) in input {
                guard let index = graph.fieldIndex(key, in: id) else {
                    if keepsUnknown || graph[id].flags.contains(.preservesUnknown) {
                        rest.append((key, value))
                    } else if unknown.count < Canonical.maxUnknown {
                        unknown.append(NodePath(path + [.key(key)]))
                    }
                    continue
                }
                let field = graph.fields[index]
                path.append(.key(key))
                if let value = try self.field(value, field) { slots.append((index, value)) }
                path.removeLast()
            }
            slots.sort { $0.index < $1.index }
            var out = Fields()
            out.reserve(slots.count + canonical.alwaysFields[Int(id.raw)].count)
            var always = canonical.alwaysFields[Int(id.raw)][...]
            for slot in slots {
                fill(&out, &always, upTo: slot.index)
                if always.first == slot.index { always.removeFirst() }
                out.appendUnique(graph.fields[slot.index].name, slot.value)
            }
            fill(&out, &always, upTo: known.upperBound)
            for (key, value) in rest { out.appendUnique(key, value) }
            return .map(out)
        }

        private func fill(_ out: inout Fields, _ always: inout ArraySlice<Int>, upTo limit: Int) {
            while let index = always.first, index < limit {
                let field = graph.fields[index]
                if let value = canonical.absent(field) { out.appendUnique(field.name, value) }
                always.removeFirst()
            }
        }

        /// The canonical value, or nil where the field is left out.
        private mutating func field(_ value: Node, _ field: Field) throws(DecodingFailure) -> Node? {
            if value.isNull {
                if field.flags.contains(.nullable) || isLenient { return .null }
                return canonical.absent(field)
            }
            let result = try self.value(value, field.shape, keepsUnknown: field.flags.contains(.preservesUnknown), rules: field.rulesID)
            switch field.presence {
            case .pointer, .pointerOrNull: return result
            // Protobuf cannot tell an empty list from none, and upstream stores built-in kinds as protobuf.
            case .always:
                guard field.tag != 0, !isLenient, isEmptyCollection(result, field.shape) else { return result }
                note(result)
                return .null
            case .omitEmpty:
                if case .message = field.shape { return result }
                guard isZero(result, field.shape) else { return result }
                if isEmptyCollection(result, field.shape) { note(result) }
                return nil
            case .omitZero:
                if case .message(let id) = field.shape { return result == canonical.zero(of: id) ? nil : result }
                return isZero(result, field.shape) ? nil : result
            }
        }

        private mutating func note(_ collection: Node) {
            // Selectors are shown as JSON has them, without what is empty.
            if let id = structs.last, graph[id].name.hasPrefix("meta/v1.LabelSelector") { return }
            if empties.count < Canonical.maxUnknown { empties.append(EmptyCollection(place: NodePath(path), value: collection)) }
        }

        private func isEmptyCollection(_ value: Node, _ shape: Shape) -> Bool {
            switch shape {
            case .list, .map: value.isEmpty
            default: false
            }
        }

        private func isZero(_ value: Node, _ shape: Shape) -> Bool {
            // A quantity is a struct to Go, which `omitempty` never leaves out.
            if case .scalar(let scalar) = shape, scalar == .quantity || scalar == .intOrString || scalar == .duration { return false }
            return value.isEmpty
        }

        private mutating func value(_ node: Node, _ shape: Shape, keepsUnknown: Bool, rules: RulesID) throws(DecodingFailure) -> Node {
            switch shape {
            case .scalar(let scalar): return isLenient ? node : try self.scalar(node, scalar, rules)
            case .message(let id): return try message(node, id, keepsUnknown: keepsUnknown)
            case .list(let id):
                guard case .list(let items) = node else { return try unfit(node, shape, rules) }
                let element = graph[id]
                var out: [Node] = []
                out.reserveCapacity(items.count)
                for (index, item) in items.enumerated() {
                    path.append(.index(index))
                    out.append(try item.isNull ? emptyItem(element) : value(item, element.shape, keepsUnknown: element.flags.contains(.preservesUnknown), rules: element.rulesID))
                    path.removeLast()
                }
                return .list(out)
            case .map(let id):
                guard case .map(var fields) = node else { return try unfit(node, shape, rules) }
                let element = graph[id]
                fields.sortByKey()
                var out = Fields()
                out.reserve(fields.count)
                for (key, item) in fields {
                    path.append(.entry(key))
                    out.appendUnique(
                        key, try item.isNull ? emptyItem(element) : value(item, element.shape, keepsUnknown: element.flags.contains(.preservesUnknown), rules: element.rulesID))
                    path.removeLast()
                }
                return .map(out)
            }
        }

        private func emptyItem(_ element: Element) -> Node {
            if element.flags.contains(.nullable) || isLenient { return .null }
            if case .scalar(.bytes) = element.shape { return "" }
            return canonical.zero(of: element.shape)
        }

        private mutating func scalar(_ node: Node, _ scalar: Scalar, _ rules: RulesID) throws(DecodingFailure) -> Node {
            switch (scalar, node) {
            case (.string, .string), (.bool, .bool), (.int64, .int), (.double, .int), (.double, .double): return node
            case (.int32, .int(let value)):
                if value != Int64(Int32(truncatingIfNeeded: value)) { throw mistyped(node, .scalar(scalar)) }
                return node
            case (.bytes, .string(let text)):
                guard Base64.decode(text) != nil else { throw DecodingFailure("illegal base64 data at input byte \(Canonical.badBase64(text))") }
                return node
            case (.quantity, .string(let text)): return try quantity(text)
            case (.quantity, .int(let value)): return .string("\(value)")
            case (.quantity, .double(let value)): return try quantity(JSONWriter.number(value))
            case (.intOrString, .string): return node
            case (.intOrString, .int(let value)) where value == Int64(Int32(truncatingIfNeeded: value)): return node
            case (.time, .string(let text)): return .string(try time(text).rfc3339)
            case (.microTime, .string(let text)): return .string(try time(text, fraction: ".000000").rfc3339Micro)
            case (.duration, .string(let text)):
                guard let nanoseconds = GoDuration.parse(text) else { throw DecodingFailure("time: invalid duration \(FieldError.quoted(text))") }
                return .string(GoDuration.render(nanoseconds))
            case (.rawExtension, _), (.json, _), (.fieldsV1, _), (.schemaOrBool, .bool), (.schemaOrStringArray, .list): return node
            case (.schemaOrBool, .map), (.schemaOrArray, .map), (.schemaOrStringArray, .map): return try schema(node)
            case (.schemaOrArray, .list(let items)): 
                var out: [Node] = []
                for item in items { out.append(try schema(item)) }
                return .list(out)
            default: throw mistyped(node, .scalar(scalar), rules)
            }
        }

        private mutating func schema(_ node: Node) throws(DecodingFailure) -> Node {
            guard let id = graph.message(named: Transcode.schemaMessage) else { return node }
            // Upstream reads it with a decoder of its own, which passes over what it does not know.
            let told = unknown.count
            defer { unknown.removeLast(unknown.count - told) }
            return try message(node, id)
        }

        private func quantity(_ text: String) throws(DecodingFailure) -> Node {
            do throws(Quantity.Failure) {
                return .string(try Quantity(parsing: trimmed(text)).description)
            } catch {
                throw DecodingFailure(error.description)
            }
        }

        private func trimmed(_ text: String) -> String {
            guard text.first?.isWhitespace == true || text.last?.isWhitespace == true else { return text }
            var rest = Substring(text)
            while rest.first?.isWhitespace == true { rest.removeFirst() }
            while rest.last?.isWhitespace == true { rest.removeLast() }
            return String(rest)
        }

        private func time(_ text: String, fraction: String = "") throws(DecodingFailure) -> Timestamp {
            guard let time = Timestamp(rfc3339: text) else {
                let shown = FieldError.quoted(text)
                if let rest = Canonical.surplus(text) { throw DecodingFailure("parsing time \(shown): extra text: \(FieldError.quoted(rest))") }
                throw DecodingFailure("parsing time \(shown) as \"2006-01-02T15:04:05\(fraction)Z07:00\": cannot parse \(shown) as \"2006\"")
            }
            return time
        }
    }

    /// What follows a time that is whole; nil where there is none.
    static func surplus(_ text: String) -> String? {
        var head = Substring(text)
        while head.utf8.count > 20 {
            head.removeLast()
            if Timestamp(rfc3339: String(head)) != nil { return String(text[head.endIndex...]) }
        }
        return nil
    }

    /// Where Go's decoder stops: at the first character that is none, or in the last group of four that is not whole.
    static func badBase64(_ text: String) -> Int {
        let bytes = Array(text.utf8)
        var (at, filled) = (0, 0)
        func skipBreaks() { while at < bytes.count, bytes[at] == 0x0A || bytes[at] == 0x0D { at += 1 } }
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            switch byte {
            case 0x0A, 0x0D: continue
            case 0x41...0x5A, 0x61...0x7A, 0x30...0x39, 0x2B, 0x2F: filled = (filled + 1) % 4
            case 0x3D where filled >= 2:
                if filled == 2 {
                    skipBreaks()
                    guard at < bytes.count else { return at }
                    guard bytes[at] == 0x3D else { return at - 1 }
                    at += 1
                }
                skipBreaks()
                return at
            default: return at - 1
            }
        }
        return at - filled
    }
}

/// Why a body cannot become an object, in the words of Go's decoders.
package struct DecodingFailure: Error, Equatable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

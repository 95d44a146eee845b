internal import CYAML

/// Reads YAML into the tree that JSON of the same meaning gives: aliases expanded within a bound, `<<` merged, keys made text.
package struct YAMLReader: ~Copyable {
    /// A key that came twice in one map, as upstream's strict decoding words it.
    package struct Duplicate: Sendable, Equatable, CustomStringConvertible {
        package let key: String
        package let line: Int
        package var description: String { "line \(line): key \(NodePath.quoted(key)) already set in map" }
    }

    package static let maxDepth = 512
    /// The most nodes that aliases may add to a document.
    private static let maxAliased = 400_000

    /// On the heap: libyaml keeps its own address in it.
    private let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
    private var event = yaml_event_t()
    private var holdsEvent = false
    private var anchors: [String: (node: Node, size: Int)] = [:]
    private var open: Set<String> = []
    private var made = 0
    private var aliased = 0
    private var depth = 0
    private var duplicates: [Duplicate] = []

    private init(_ bytes: UnsafeBufferPointer<UInt8>) throws(SyntaxError) {
        parser.initialize(to: yaml_parser_t())
        guard yaml_parser_initialize(parser) == 1 else { throw SyntaxError("yaml: out of memory") }
        yaml_parser_set_input_string(parser, bytes.baseAddress, bytes.count)
    }

    deinit {
        var event = event
        if holdsEvent { yaml_event_delete(&event) }
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    /// The first document; null for an empty one.
    package static func read(_ bytes: [UInt8]) throws(SyntaxError) -> Node { try documents(bytes, limit: 1).nodes.first ?? .null }

    /// The first document and the keys that came twice.
    package static func readStrict(_ bytes: [UInt8]) throws(SyntaxError) -> (node: Node, duplicates: [Duplicate]) {
        let all = try documents(bytes, limit: 1)
        return (all.nodes.first ?? .null, all.duplicates)
    }

    /// All documents of a stream, empty ones left out.
    package static func readAll(_ bytes: [UInt8]) throws(SyntaxError) -> [Node] {
        try documents(bytes, limit: .max).nodes.filter { !$0.isNull }
    }

    private static func documents(_ bytes: [UInt8], limit: Int) throws(SyntaxError) -> (nodes: [Node], duplicates: [Duplicate]) {
        let result: Result<(nodes: [Node], duplicates: [Duplicate]), SyntaxError> = bytes.withUnsafeBufferPointer { buffer in
            do throws(SyntaxError) {
                // libyaml takes no null pointer, which an empty array may have.
                guard !buffer.isEmpty else { return .success(([], [])) }
                var reader = try YAMLReader(buffer)
                let nodes = try reader.stream(limit: limit)
                return .success((nodes, reader.duplicates))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}

// MARK: - Events

extension YAMLReader {
    private mutating func advance() throws(SyntaxError) {
        if holdsEvent { yaml_event_delete(&event) }
        holdsEvent = false
        guard yaml_parser_parse(parser, &event) == 1 else { throw failure }
        holdsEvent = true
    }

    private var failure: SyntaxError {
        var line = 0
        if parser.pointee.problem_mark.line != 0 {
            line = parser.pointee.problem_mark.line
            // The scanner stops before it counts the line it is on.
            if parser.pointee.error == YAML_SCANNER_ERROR { line += 1 }
        } else if parser.pointee.context_mark.line != 0 {
            line = parser.pointee.context_mark.line
        }
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "unknown problem parsing YAML content"
        return SyntaxError("yaml: " + (line > 0 ? "line \(line): " : "") + problem, offset: parser.pointee.problem_offset, line: line)
    }

    private func fault(_ text: String) -> SyntaxError {
        SyntaxError("yaml: \(text)", offset: event.start_mark.index, line: event.start_mark.line + 1)
    }

    private mutating func stream(limit: Int) throws(SyntaxError) -> [Node] {
        var nodes: [Node] = []
        while nodes.count < limit {
            try advance()
            switch event.type {
            case YAML_STREAM_END_EVENT: return nodes
            case YAML_DOCUMENT_START_EVENT:
                anchors = [:]
                try advance()
                nodes.append(try node())
                try advance()
            default: continue
            }
        }
        return nodes
    }

    /// The node whose first event is at hand; leaves its last event at hand.
    private mutating func node() throws(SyntaxError) -> Node {
        made += 1
        switch event.type {
        case YAML_ALIAS_EVENT: return try alias()
        case YAML_SCALAR_EVENT:
            let anchor = text(event.data.scalar.anchor)
            let value = try scalar()
            if let anchor { anchors[anchor] = (value, 1) }
            return value
        case YAML_SEQUENCE_START_EVENT: return try collection(text(event.data.sequence_start.anchor)) { reader throws(SyntaxError) in try reader.sequence() }
        case YAML_MAPPING_START_EVENT: return try collection(text(event.data.mapping_start.anchor)) { reader throws(SyntaxError) in try reader.mapping() }
        default: throw fault("unexpected event")
        }
    }

    private mutating func collection(_ anchor: String?, _ body: (inout YAMLReader) throws(SyntaxError) -> Node) throws(SyntaxError) -> Node {
        depth += 1
        if depth > YAMLReader.maxDepth { throw fault("exceeded max depth of \(YAMLReader.maxDepth)") }
        let before = made + aliased
        if let anchor { open.insert(anchor) }
        let value = try body(&self)
        if let anchor {
            open.remove(anchor)
            anchors[anchor] = (value, made + aliased - before + 1)
        }
        depth -= 1
        return value
    }

    private mutating func sequence() throws(SyntaxError) -> Node {
        var items: [Node] = []
        while true {
            try advance()
            if event.type == YAML_SEQUENCE_END_EVENT { return .list(items) }
            items.append(try node())
        }
    }

    private mutating func mapping() throws(SyntaxError) -> Node {
        var entries: [Fields.Entry] = []
        var index: [String: Int] = [:]
        var merged: [Node] = []
        while true {
            try advance()
            if event.type == YAML_MAPPING_END_EVENT { break }
            let line = event.start_mark.line + 1
            guard let key = try key() else {
                try advance()
                merged += try mergeSources(try node())
                continue
            }
            try advance()
            let value = try node()
            if let at = index[key] {
                duplicates.append(Duplicate(key: key, line: line))
                entries[at].value = value
            } else {
                index[key] = entries.count
                entries.append(.init(key: key, value: value))
            }
        }
        for source in merged {
            for (key, value) in source.fields where index[key] == nil {
                index[key] = entries.count
                entries.append(.init(key: key, value: value))
            }
        }
        return .map(Fields(unique: entries))
    }

    /// The maps that a `<<` names, the earlier the stronger.
    private func mergeSources(_ node: Node) throws(SyntaxError) -> [Node] {
        switch node {
        case .map: return [node]
        case .list(let items) where items.allSatisfy({ if case .map = $0 { true } else { false } }): return items
        default: throw fault("map merge requires map or sequence of maps as the value")
        }
    }

    private mutating func alias() throws(SyntaxError) -> Node {
        let name = text(event.data.alias.anchor) ?? ""
        if open.contains(name) { throw fault("anchor '\(name)' value contains itself") }
        guard let target = anchors[name] else { throw fault("unknown anchor '\(name)' referenced") }
        aliased += target.size
        if aliased > YAMLReader.maxAliased { throw fault("document contains excessive aliasing") }
        return target.node
    }
}

// MARK: - Scalars

extension YAMLReader {
    private func text(_ bytes: UnsafeMutablePointer<yaml_char_t>?) -> String? { bytes.map { String(cString: $0) } }

    private var scalarText: String {
        let scalar = event.data.scalar
        return String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
    }

    private var isPlain: Bool { event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE }

    private func scalar() throws(SyntaxError) -> Node {
        let content = scalarText
        guard let tag = text(event.data.scalar.tag), tag != "!" || isPlain else {
            return isPlain ? try value(of: content) : .string(content)
        }
        switch tag {
        case "tag:yaml.org,2002:null", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float": return try tagged(content, tag)
        case "tag:yaml.org,2002:binary":
            guard let bytes = Base64.decode(content) else { throw fault("!!binary value contains invalid base64 data") }
            return .string(String(decoding: bytes, as: UTF8.self))
        default: return .string(content)
        }
    }

    private func value(of content: String) throws(SyntaxError) -> Node {
        switch YAMLScalar.resolve(content) {
        case .value(let node): return node
        case .merge: return .string(content)
        case .infinity(let negative): throw SyntaxError("json: unsupported value: \(negative ? "-" : "+")Inf", line: event.start_mark.line + 1)
        case .notANumber: throw SyntaxError("json: unsupported value: NaN", line: event.start_mark.line + 1)
        }
    }

    private func tagged(_ content: String, _ tag: String) throws(SyntaxError) -> Node {
        let node = try value(of: content)
        let found: String
        switch node {
        case .null: found = "null"
        case .bool: found = "bool"
        case .int: found = "int"
        case .double: found = "float"
        default: found = "str"
        }
        let wanted = tag.dropFirst("tag:yaml.org,2002:".count)
        if found == wanted || (found == "int" && wanted == "float") { return node }
        throw fault("cannot decode !!\(found) `\(content)` as a !!\(wanted)")
    }

    /// A key as JSON spells it; nil for a merge key.
    private mutating func key() throws(SyntaxError) -> String? {
        let node: Node
        if event.type == YAML_SCALAR_EVENT, isPlain, event.data.scalar.tag == nil {
            switch YAMLScalar.resolve(scalarText) {
            case .merge: return nil
            case .infinity(let negative): return negative ? "-.inf" : ".inf"
            case .notANumber: return ".nan"
            case .value(let value): node = value
            }
            if let anchor = text(event.data.scalar.anchor) { anchors[anchor] = (node, 1) }
        } else {
            node = try self.node()
        }
        switch node {
        case .string(let text): return text
        case .int(let value): return String(value)
        case .bool(let value): return value ? "true" : "false"
        case .double(let value): return YAMLWriter.number(Double(Float(value)))
        case .null: throw fault("unsupported map key of type: null")
        case .list, .map: throw fault("invalid map key")
        }
    }
}

extension Node {
    package init(yaml text: String) throws(SyntaxError) { self = try YAMLReader.read(Array(text.utf8)) }
}

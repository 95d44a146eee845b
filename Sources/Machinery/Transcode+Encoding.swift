import Core
import Schema
import Tree

// Written backwards: fields by descending tag, lists from the end.
extension Transcode {
    func message(_ node: Node, _ id: MessageID, _ writer: inout WireWriter, depth: Int) {
        guard depth < Transcode.maxDepth else { return }
        for field in graph.wire(of: id).reversed() {
            // An inline message's fields stand in this same object.
            if field.isInline, case .message(let inner) = field.shape {
                let mark = writer.count
                message(node, inner, &writer, depth: depth + 1)
                writer.close(Int(field.tag), since: mark)
                continue
            }
            self.field(node[field.name], field, &writer, depth: depth)
        }
    }

    private func field(_ value: Node, _ field: Field, _ writer: inout WireWriter, depth: Int) {
        let tag = Int(field.tag)
        switch field.shape {
        case .scalar(let scalar):
            if value.isNull {
                // Go writes a plain scalar also when it is zero.
                switch field.presence {
                case .pointer, .pointerOrNull: return
                case .omitEmpty, .always, .omitZero:
                    if scalar == .bytes { return }
                    self.scalar(zero(scalar), scalar, tag, &writer, depth: depth)
                }
                return
            }
            self.scalar(value, scalar, tag, &writer, depth: depth)
        case .message(let id):
            if value.isNull, field.presence == .pointer || field.presence == .pointerOrNull { return }
            let mark = writer.count
            message(value, id, &writer, depth: depth + 1)
            writer.close(tag, since: mark)
        case .list(let id):
            guard case .list(let items) = value else { return }
            let mark = writer.count
            let inner = field.flags.contains(.wrapped) ? 1 : tag
            for item in items.reversed() { element(item, graph[id], inner, &writer, depth: depth) }
            if field.flags.contains(.wrapped) { writer.close(tag, since: mark) }
        case .map(let id):
            guard case .map(var fields) = value else { return }
            fields.sortByKey()
            for (key, value) in Array(fields).reversed() { map(key, value, graph[id], tag, &writer, depth: depth) }
        }
    }

    private func map(_ key: String, _ value: Node, _ item: Element, _ tag: Int, _ writer: inout WireWriter, depth: Int) {
        let mark = writer.count
        element(value, item, 2, &writer, depth: depth)
        writer.string(1, key)
        writer.close(tag, since: mark)
    }

    private func element(_ value: Node, _ item: Element, _ tag: Int, _ writer: inout WireWriter, depth: Int) {
        switch item.shape {
        case .scalar(let scalar): self.scalar(value.isNull ? zero(scalar) : value, scalar, tag, &writer, depth: depth)
        case .message(let id):
            let mark = writer.count
            message(value, id, &writer, depth: depth + 1)
            writer.close(tag, since: mark)
        case .list(let id):
            let mark = writer.count
            for inner in value.list.reversed() { element(inner, graph[id], 1, &writer, depth: depth + 1) }
            writer.close(tag, since: mark)
        case .map: return
        }
    }

    private func zero(_ scalar: Scalar) -> Node {
        switch scalar {
        case .string, .bytes: ""
        case .bool: false
        case .int32, .int64, .double: 0
        case .quantity: "0"
        case .duration: "0s"
        case .intOrString: 0
        default: .null
        }
    }

    private func scalar(_ value: Node, _ scalar: Scalar, _ tag: Int, _ writer: inout WireWriter, depth: Int) {
        switch scalar {
        case .string: writer.string(tag, value.string ?? "")
        case .bool: writer.varint(tag, value.bool == true ? 1 : 0)
        case .int32, .int64: writer.varint(tag, UInt64(bitPattern: value.int ?? 0))
        case .double: writer.fixed64(tag, (value.double ?? 0).bitPattern)
        case .bytes: writer.bytes(tag, value.string.flatMap(Base64.decode) ?? [])
        default:
            let mark = writer.count
            special(value, scalar, &writer, depth: depth)
            writer.close(tag, since: mark)
        }
    }

    /// The leaves that are messages to protobuf.
    private func special(_ value: Node, _ scalar: Scalar, _ writer: inout WireWriter, depth: Int) {
        switch scalar {
        case .quantity: writer.string(1, value.string ?? "\(value.int ?? 0)")
        case .intOrString:
            writer.string(3, value.string ?? "")
            writer.varint(2, UInt64(bitPattern: value.int ?? 0))
            writer.varint(1, value.string == nil ? 0 : 1)
        case .time, .microTime:
            guard let time = value.string.flatMap(Timestamp.init(rfc3339:)) else { return }
            writer.varint(2, scalar == .microTime ? UInt64(time.nanoseconds) : 0)
            writer.varint(1, UInt64(bitPattern: time.seconds))
        case .duration: writer.varint(1, UInt64(bitPattern: value.string.flatMap(GoDuration.parse) ?? 0))
        case .rawExtension, .fieldsV1, .json: if !value.isNull || scalar == .json { writer.bytes(1, value.json) }
        case .schemaOrBool:
            if case .map = value { schema(value, 2, &writer, depth: depth) }
            if case .bool(false) = value { writer.varint(1, 0) } else { writer.varint(1, 1) }
        case .schemaOrArray:
            for item in value.list.reversed() { schema(item, 2, &writer, depth: depth) }
            if case .map = value { schema(value, 1, &writer, depth: depth) }
        case .schemaOrStringArray:
            for item in value.list.reversed() { writer.string(2, item.string ?? "") }
            if case .map = value { schema(value, 1, &writer, depth: depth) }
        default: return
        }
    }

    private func schema(_ value: Node, _ tag: Int, _ writer: inout WireWriter, depth: Int) {
        guard let id = graph.message(named: Transcode.schemaMessage) else { return }
        let mark = writer.count
        message(value, id, &writer, depth: depth + 1)
        writer.close(tag, since: mark)
    }

    static let schemaMessage = "apiextensions/v1.JSONSchemaProps"
}

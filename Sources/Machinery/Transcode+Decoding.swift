import Core
import Schema
import Tree

extension Transcode {
    func message(_ reader: inout WireReader, _ id: MessageID, depth: Int) throws(SyntaxError) -> Node {
        var out = Node.emptyMap
        try message(&reader, id, into: &out, depth: depth)
        return out
    }

    private func message(_ reader: inout WireReader, _ id: MessageID, into out: inout Node, depth: Int) throws(SyntaxError) {
        guard depth < Transcode.maxDepth else { throw SyntaxError("proto: exceeded max depth", offset: reader.at) }
        while let (number, type) = try reader.nextField() {
            guard let field = graph.wireField(tag: number, in: id) else {
                try reader.skip(type)
                continue
            }
            if field.isInline, case .message(let inner) = field.shape {
                try expect(type, .bytes, field)
                var nested = try reader.message()
                try message(&nested, inner, into: &out, depth: depth + 1)
                continue
            }
            try self.field(&reader, type, field, into: &out, depth: depth)
        }
    }

    private func field(_ reader: inout WireReader, _ type: WireType, _ field: Field, into out: inout Node, depth: Int) throws(SyntaxError) {
        switch field.shape {
        case .scalar(let scalar):
            let value = try self.scalar(&reader, type, scalar, field, depth: depth)
            if value.isNull { out.setNull(field.name) } else { out[field.name] = value }
        case .message(let id):
            try expect(type, .bytes, field)
            var nested = try reader.message()
            // A message that comes twice is merged.
            var value = out[field.name].isNull ? Node.emptyMap : out[field.name]
            try message(&nested, id, into: &value, depth: depth + 1)
            out[field.name] = value
        case .list(let id):
            if field.flags.contains(.wrapped) {
                try expect(type, .bytes, field)
                var nested = try reader.message()
                if out[field.name].isNull { out[field.name] = .list([]) }
                while let (number, type) = try nested.nextField() {
                    if number == 1 {
                        out[field.name].append(try element(&nested, type, graph[id], field, depth: depth))
                    } else {
                        try nested.skip(type)
                    }
                }
            } else {
                try list(&reader, type, id, field, into: &out, depth: depth)
            }
        case .map(let id):
            try expect(type, .bytes, field)
            var nested = try reader.message()
            var key = ""
            var value: Node?
            while let (number, type) = try nested.nextField() {
                switch number {
                case 1: key = try text(&nested, type, field)
                case 2: value = try element(&nested, type, graph[id], field, depth: depth)
                default: try nested.skip(type)
                }
            }
            var fields = out[field.name].fields
            fields[key] = value ?? canonical.zero(of: graph[id].shape)
            out[field.name] = .map(fields)
        }
    }

    private func list(_ reader: inout WireReader, _ type: WireType, _ id: ElementID, _ field: Field, into out: inout Node, depth: Int) throws(SyntaxError) {
        // Numbers may come packed.
        if type == .bytes, case .scalar(let scalar) = graph[id].shape, scalar == .int32 || scalar == .int64 || scalar == .bool || scalar == .double {
            var packed = try reader.message()
            while !packed.isAtEnd { out[field.name].append(try self.scalar(&packed, scalar == .double ? .fixed64 : .varint, scalar, field, depth: depth)) }
            return
        }
        out[field.name].append(try element(&reader, type, graph[id], field, depth: depth))
    }

    private func element(_ reader: inout WireReader, _ type: WireType, _ item: Element, _ field: Field, depth: Int) throws(SyntaxError) -> Node {
        switch item.shape {
        case .scalar(let scalar): return try self.scalar(&reader, type, scalar, field, depth: depth)
        case .message(let id):
            try expect(type, .bytes, field)
            var nested = try reader.message()
            return try message(&nested, id, depth: depth + 1)
        case .list(let id):
            try expect(type, .bytes, field)
            var nested = try reader.message()
            var items: [Node] = []
            while let (number, type) = try nested.nextField() {
                if number == 1 {
                    items.append(try element(&nested, type, graph[id], field, depth: depth + 1))
                } else {
                    try nested.skip(type)
                }
            }
            return .list(items)
        case .map: throw SyntaxError("proto: map in a list in field \(field.name)", offset: reader.at)
        }
    }

    // MARK: Leaves

    private func expect(_ type: WireType, _ wanted: WireType, _ field: Field) throws(SyntaxError) {
        if type != wanted { throw SyntaxError("proto: wrong wireType = \(type.rawValue) for field \(field.name)") }
    }

    private func text(_ reader: inout WireReader, _ type: WireType, _ field: Field) throws(SyntaxError) -> String {
        try expect(type, .bytes, field)
        return try reader.string()
    }

    private func scalar(_ reader: inout WireReader, _ type: WireType, _ scalar: Scalar, _ field: Field, depth: Int) throws(SyntaxError) -> Node {
        switch scalar {
        case .string: return .string(try text(&reader, type, field))
        case .bytes:
            try expect(type, .bytes, field)
            return .string(Base64.encode(try reader.bytes()))
        case .bool:
            try expect(type, .varint, field)
            return .bool(try reader.varint() != 0)
        case .int32:
            try expect(type, .varint, field)
            return .int(Int64(Int32(truncatingIfNeeded: try reader.varint())))
        case .int64:
            try expect(type, .varint, field)
            return .int(Int64(bitPattern: try reader.varint()))
        case .double:
            try expect(type, .fixed64, field)
            return .double(Double(bitPattern: try reader.fixed64()))
        default:
            try expect(type, .bytes, field)
            var nested = try reader.message()
            return try special(&nested, scalar, depth: depth)
        }
    }

    private func special(_ reader: inout WireReader, _ scalar: Scalar, depth: Int) throws(SyntaxError) -> Node {
        var numbers: [Int: UInt64] = [:]
        var texts: [Int: [UInt8]] = [:]
        var schemas: [Int: [Node]] = [:]
        let holdsSchemas: Int
        switch scalar {
        case .schemaOrBool: holdsSchemas = 2
        case .schemaOrArray: holdsSchemas = 3
        case .schemaOrStringArray: holdsSchemas = 1
        default: holdsSchemas = 0
        }
        while let (number, type) = try reader.nextField() {
            switch type {
            case .varint: numbers[number] = try reader.varint()
            case .bytes where (holdsSchemas == 3 && number <= 2) || (holdsSchemas > 0 && number == holdsSchemas):
                guard let id = graph.message(named: Transcode.schemaMessage) else {
                    try reader.skip(type)
                    continue
                }
                var nested = try reader.message()
                schemas[number, default: []].append(try message(&nested, id, depth: depth + 1))
            case .bytes where scalar == .schemaOrStringArray: schemas[number, default: []].append(.string(try reader.string()))
            case .bytes: texts[number] = Array(try reader.bytes())
            default: try reader.skip(type)
            }
        }
        switch scalar {
        case .quantity: return .string(String(decoding: texts[1] ?? [UInt8(ascii: "0")], as: UTF8.self))
        case .intOrString:
            if numbers[1] == 1 { return .string(String(decoding: texts[3] ?? [], as: UTF8.self)) }
            return .int(Int64(Int32(truncatingIfNeeded: numbers[2] ?? 0)))
        case .time, .microTime:
            // An empty message is Go's zero time.
            if numbers.isEmpty { return .null }
            let time = Timestamp(seconds: Int64(bitPattern: numbers[1] ?? 0), nanoseconds: Int32(truncatingIfNeeded: numbers[2] ?? 0))
            return .string(scalar == .time ? time.rfc3339 : time.rfc3339Micro)
        case .duration: return .string(GoDuration.render(Int64(bitPattern: numbers[1] ?? 0)))
        case .rawExtension, .fieldsV1, .json:
            guard let bytes = texts[1], !bytes.isEmpty else { return .null }
            return try embedded(bytes)
        case .schemaOrBool: return schemas[2]?.first ?? .bool(numbers[1] != 0 && numbers[1] != nil)
        case .schemaOrArray: return schemas[1]?.first ?? .list(schemas[2] ?? [])
        case .schemaOrStringArray: return schemas[1]?.first ?? .list(schemas[2] ?? [])
        default: return .null
        }
    }

    /// An object inside an object is JSON, or protobuf in an envelope of its own.
    private func embedded(_ bytes: [UInt8]) throws(SyntaxError) -> Node {
        guard Transcode.isProtobuf(bytes) else { return try JSONReader.read(bytes) }
        let envelope = try Transcode.open(bytes)
        guard let gvk = GroupVersionKind(apiVersion: envelope.apiVersion, kind: envelope.kind), let id = graph.message(of: gvk) else {
            throw SyntaxError("no kind \(FieldError.quoted(envelope.kind)) is registered for version \(FieldError.quoted(envelope.apiVersion))")
        }
        return try decode(envelope.raw, as: id, apiVersion: envelope.apiVersion, kind: envelope.kind)
    }
}

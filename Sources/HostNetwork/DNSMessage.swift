/// Numbers of the DNS protocol that the cluster's zone uses (RFC 1035, 2782, 3596, 6891).
enum DNSType {
    static let a: UInt16 = 1
    static let ns: UInt16 = 2
    static let cname: UInt16 = 5
    static let soa: UInt16 = 6
    static let ptr: UInt16 = 12
    static let txt: UInt16 = 16
    static let aaaa: UInt16 = 28
    static let srv: UInt16 = 33
    static let opt: UInt16 = 41
    static let any: UInt16 = 255
}

/// Answer codes.
enum DNSCode: UInt16 {
    case ok = 0
    case formatError = 1
    case serverFailure = 2
    case noName = 3
    case notImplemented = 4
    case refused = 5
    /// Needs an OPT record, which holds its upper bits.
    case badVersion = 16
}

/// A question with what its asker can take.
struct DNSQuery: Sendable, Equatable {
    var id: UInt16
    var opcode: UInt16
    var recursionDesired: Bool
    var checkingDisabled: Bool
    /// The name's labels in lower case; the wire form as asked is kept beside for the echo.
    var labels: [String]
    var wireName: [UInt8]
    var type: UInt16
    var `class`: UInt16
    var edns: EDNS?

    struct EDNS: Sendable, Equatable {
        var size: UInt16
        var version: UInt8
        var wantsSignatures: Bool
        var hasOptions: Bool
    }

    /// The most that one UDP answer may hold. 1232 goes through any path unbroken.
    var datagramLimit: Int { edns.map { min(max(Int($0.size), 512), 1232) } ?? 512 }

    enum Problem: Error, Equatable {
        /// No answer is due: not a question, or too short to have an id.
        case ignore
        case malformed(id: UInt16)
    }

    init(parsing bytes: [UInt8]) throws(Problem) {
        guard bytes.count >= 12, bytes[2] & 0x80 == 0 else { throw .ignore }
        id = UInt16(bytes[0]) << 8 | UInt16(bytes[1])
        opcode = UInt16(bytes[2] >> 3 & 15)
        recursionDesired = bytes[2] & 1 != 0
        checkingDisabled = bytes[3] & 0x10 != 0
        var reader = DNSReader(bytes)
        reader.offset = 4
        guard let questions = reader.uint16(), let answers = reader.uint16(), let authorities = reader.uint16(),
            let additional = reader.uint16(), questions == 1, let name = reader.name(), let type = reader.uint16(),
            let asked = reader.uint16()
        else { throw .malformed(id: id) }
        wireName = name
        labels = DNSName.labels(name)
        self.type = type
        `class` = asked
        for _ in 0..<(Int(answers) + Int(authorities) + Int(additional)) {
            guard let record = reader.record() else { throw .malformed(id: id) }
            guard record.type == DNSType.opt else { continue }
            guard edns == nil, record.name == [0] else { throw .malformed(id: id) }
            edns = EDNS(
                size: record.class, version: UInt8(truncatingIfNeeded: record.ttl >> 16), wantsSignatures: record.ttl & 0x8000 != 0,
                hasOptions: !record.data.isEmpty)
        }
    }
}

/// Names in wire form: length-prefixed labels and a zero.
enum DNSName {
    static func labels(_ wire: [UInt8]) -> [String] {
        var labels: [String] = []
        var at = 0
        while at < wire.count, wire[at] != 0 {
            let end = min(wire.count, at + 1 + Int(wire[at]))
            labels.append(String(decoding: wire[(at + 1)..<end].map(lower), as: UTF8.self))
            at = end
        }
        return labels
    }

    /// Nil where a label is empty or longer than 63 bytes, or the whole longer than 255.
    static func wire(_ labels: [String]) -> [UInt8]? {
        var wire: [UInt8] = []
        for label in labels {
            guard (1...63).contains(label.utf8.count) else { return nil }
            wire.append(UInt8(label.utf8.count))
            wire += label.utf8
        }
        wire.append(0)
        return wire.count <= 255 ? wire : nil
    }

    static func split(_ text: String) -> [String] { text.split(separator: ".").map { String(decoding: $0.utf8.map(lower), as: UTF8.self) } }

    static func lower(_ byte: UInt8) -> UInt8 { (65...90).contains(byte) ? byte + 32 : byte }
}

/// Reads a message. Names may point back, never forward, so that every one ends.
struct DNSReader {
    let bytes: [UInt8]
    var offset = 12

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    struct Record: Equatable {
        var name: [UInt8]
        var type: UInt16
        var `class`: UInt16
        var ttl: UInt32
        /// Where the time to live stands in the message.
        var ttlOffset: Int
        var dataOffset: Int
        var data: ArraySlice<UInt8>
    }

    mutating func uint16() -> UInt16? {
        guard offset + 2 <= bytes.count else { return nil }
        defer { offset += 2 }
        return UInt16(bytes[offset]) << 8 | UInt16(bytes[offset + 1])
    }

    mutating func uint32() -> UInt32? {
        guard let high = uint16(), let low = uint16() else { return nil }
        return UInt32(high) << 16 | UInt32(low)
    }

    /// A name, uncompressed.
    mutating func name() -> [UInt8]? {
        var name: [UInt8] = []
        var at = offset
        var barrier = offset
        var end: Int?
        while at < bytes.count {
            let length = Int(bytes[at])
            if length == 0 {
                name.append(0)
                offset = end ?? at + 1
                return name.count <= 255 ? name : nil
            }
            if length & 0xC0 == 0xC0 {
                guard at + 1 < bytes.count else { return nil }
                let target = (length & 0x3F) << 8 | Int(bytes[at + 1])
                guard target < barrier else { return nil }
                if end == nil { end = at + 2 }
                barrier = target
                at = target
                continue
            }
            guard length <= 63, at + 1 + length <= bytes.count, name.count + length < 255 else { return nil }
            name += bytes[at...(at + length)]
            at += length + 1
        }
        return nil
    }

    mutating func record() -> Record? {
        guard let name = name(), let type = uint16(), let asked = uint16() else { return nil }
        let ttlOffset = offset
        guard let ttl = uint32(), let length = uint16(), offset + Int(length) <= bytes.count else { return nil }
        let start = offset
        offset += Int(length)
        return Record(name: name, type: type, class: asked, ttl: ttl, ttlOffset: ttlOffset, dataOffset: start, data: bytes[start..<offset])
    }

    mutating func skipQuestion() -> Bool { name() != nil && uint32() != nil }
}

/// A record of an answer. Names are compressed where they repeat an earlier one whole.
struct DNSRecord: Sendable, Equatable {
    enum Data: Sendable, Equatable {
        case address([UInt8])
        case name(UInt16, [UInt8])
        case service(port: UInt16, weight: UInt16, target: [UInt8])
        case text(String)
        case soa(primary: [UInt8], mailbox: [UInt8], serial: UInt32, minimum: UInt32)
    }

    var name: [UInt8]
    var ttl: UInt32
    var data: Data

    var type: UInt16 {
        switch data {
        case .address(let bytes): bytes.count == 4 ? DNSType.a : DNSType.aaaa
        case .name(let type, _): type
        case .service: DNSType.srv
        case .text: DNSType.txt
        case .soa: DNSType.soa
        }
    }
}

/// What an answer holds before it is bytes.
struct DNSAnswer: Sendable, Equatable {
    var code: DNSCode = .ok
    var isAuthoritative = true
    var answers: [DNSRecord] = []
    var authorities: [DNSRecord] = []
    var additional: [DNSRecord] = []

    /// The message; where it exceeds the limit, records of the additional section go, and then all with the truncation bit set.
    func encoded(for query: DNSQuery, limit: Int) -> [UInt8] {
        let whole = encode(query, answers, authorities, additional, truncated: false)
        if whole.count <= limit { return whole }
        if !additional.isEmpty {
            let bare = encode(query, answers, authorities, [], truncated: false)
            if bare.count <= limit { return bare }
        }
        return encode(query, [], [], [], truncated: true)
    }

    private func encode(
        _ query: DNSQuery, _ answers: [DNSRecord], _ authorities: [DNSRecord], _ additional: [DNSRecord], truncated: Bool
    ) -> [UInt8] {
        var writer = DNSWriter()
        var flags: UInt16 = 0x8000 | 0x0080 | query.opcode << 11 | code.rawValue & 15
        if isAuthoritative { flags |= 0x0400 }
        if truncated { flags |= 0x0200 }
        if query.recursionDesired { flags |= 0x0100 }
        if query.checkingDisabled { flags |= 0x0010 }
        writer.put(query.id)
        writer.put(flags)
        writer.put(1)
        for count in [answers.count, authorities.count, additional.count + (query.edns == nil ? 0 : 1)] {
            writer.put(UInt16(truncatingIfNeeded: count))
        }
        writer.put(name: query.wireName)
        writer.put(query.type)
        writer.put(query.class)
        for record in answers + authorities + additional { writer.put(record) }
        if query.edns != nil {
            writer.bytes.append(0)
            writer.put(DNSType.opt)
            writer.put(1232)
            writer.put((code.rawValue >> 4) << 8)
            writer.put(0)
            writer.put(0)
        }
        return writer.bytes
    }
}

struct DNSWriter {
    var bytes: [UInt8] = []
    private var offsets: [[UInt8]: Int] = [:]

    mutating func put(_ value: UInt16) {
        bytes.append(UInt8(value >> 8))
        bytes.append(UInt8(value & 255))
    }

    mutating func put32(_ value: UInt32) {
        put(UInt16(value >> 16))
        put(UInt16(value & 0xFFFF))
    }

    mutating func put(name: [UInt8]) {
        let key = name.map(DNSName.lower)
        if let offset = offsets[key], name.count > 2 { return put(UInt16(0xC000 | offset)) }
        if bytes.count < 0x4000 { offsets[key] = bytes.count }
        bytes += name
    }

    mutating func put(_ record: DNSRecord) {
        put(name: record.name)
        put(record.type)
        put(1)
        put32(record.ttl)
        let length = bytes.count
        put(UInt16(0))
        switch record.data {
        case .address(let address): bytes += address
        case .name(_, let name): put(name: name)
        case .service(let port, let weight, let target):
            put(UInt16(0))
            put(weight)
            put(port)
            // RFC 2782: not compressed.
            if bytes.count < 0x4000, offsets[target] == nil { offsets[target] = bytes.count }
            bytes += target
        case .text(let text):
            bytes.append(UInt8(min(255, text.utf8.count)))
            bytes += text.utf8.prefix(255)
        case .soa(let primary, let mailbox, let serial, let minimum):
            put(name: primary)
            put(name: mailbox)
            for value in [serial, 7200, 1800, 86400, minimum] { put32(value) }
        }
        let count = bytes.count - length - 2
        bytes[length] = UInt8(count >> 8 & 255)
        bytes[length + 1] = UInt8(count & 255)
    }
}

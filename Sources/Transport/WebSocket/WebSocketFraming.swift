/// RFC 6455 frames, without IO: bytes go in, whole messages and control frames come out.
struct WebSocketFraming {
    enum Role { case server, client }

    enum Event: Equatable {
        case binary([UInt8])
        case text([UInt8])
        case ping([UInt8])
        case pong([UInt8])
        /// 1005 where the frame names no code.
        case close(code: UInt16, reason: [UInt8])
    }

    struct Failure: Error, Equatable {
        /// The close code that answers it.
        let code: UInt16
        let text: String
    }

    enum Opcode: UInt8 {
        case continuation = 0
        case text = 1
        case binary = 2
        case close = 8
        case ping = 9
        case pong = 10
    }

    private let role: Role
    private let maximumMessage: Int
    private var buffer: [UInt8] = []
    private var start = 0
    private var message: [UInt8] = []
    private var messageOpcode: Opcode?

    init(_ role: Role, maximumMessage: Int) {
        self.role = role
        self.maximumMessage = maximumMessage
    }

    mutating func append(_ bytes: [UInt8]) {
        if start == buffer.count {
            buffer = bytes
            start = 0
            return
        }
        if start > 65536 {
            buffer.removeFirst(start)
            start = 0
        }
        buffer += bytes
    }

    mutating func next() throws(Failure) -> Event? {
        while true {
            guard let (opcode, final, payload) = try frame() else { return nil }
            switch opcode {
            case .ping: return .ping(payload)
            case .pong: return .pong(payload)
            case .close:
                guard payload.count != 1 else { throw Failure(code: 1002, text: "close code of one byte") }
                if payload.isEmpty { return .close(code: 1005, reason: []) }
                return .close(code: UInt16(payload[0]) << 8 | UInt16(payload[1]), reason: Array(payload.dropFirst(2)))
            case .continuation:
                guard messageOpcode != nil else { throw Failure(code: 1002, text: "continuation of nothing") }
                guard message.count + payload.count <= maximumMessage else { throw Failure(code: 1009, text: "message too large") }
                message += payload
            case .binary, .text:
                guard messageOpcode == nil else { throw Failure(code: 1002, text: "message within a message") }
                messageOpcode = opcode
                message = payload
            }
            guard final else { continue }
            let whole = message
            let kind = messageOpcode
            message = []
            messageOpcode = nil
            return kind == .text ? .text(whole) : .binary(whole)
        }
    }

    private mutating func frame() throws(Failure) -> (Opcode, Bool, [UInt8])? {
        let available = buffer.count - start
        guard available >= 2 else { return nil }
        let first = buffer[start]
        let second = buffer[start + 1]
        guard first & 0x70 == 0 else { throw Failure(code: 1002, text: "reserved bits") }
        guard let opcode = Opcode(rawValue: first & 0x0F) else { throw Failure(code: 1002, text: "unknown opcode") }
        let masked = second & 0x80 != 0
        guard masked == (role == .server) else { throw Failure(code: 1002, text: "masking") }
        var length = Int(second & 0x7F)
        var head = 2
        if length >= 126 {
            let bytes = length == 126 ? 2 : 8
            guard available >= 2 + bytes else { return nil }
            length = 0
            for index in 0..<bytes {
                guard length <= Int.max >> 8 else { throw Failure(code: 1009, text: "frame too large") }
                length = length << 8 | Int(buffer[start + 2 + index])
            }
            head += bytes
        }
        if opcode.rawValue >= 8 {
            guard length <= 125, first & 0x80 != 0 else { throw Failure(code: 1002, text: "control frame too long or in parts") }
        }
        guard length <= maximumMessage else { throw Failure(code: 1009, text: "frame too large") }
        if masked { head += 4 }
        guard available >= head + length else { return nil }
        var payload = Array(buffer[(start + head)..<(start + head + length)])
        if masked { WebSocketFraming.mask(&payload, with: Array(buffer[(start + head - 4)..<(start + head)])) }
        start += head + length
        if start == buffer.count {
            buffer = []
            start = 0
        }
        return (opcode, first & 0x80 != 0, payload)
    }

    private static func mask(_ bytes: inout [UInt8], with key: [UInt8]) {
        guard key.count == 4 else { return }
        let (a, b, c, d) = (key[0], key[1], key[2], key[3])
        bytes.withUnsafeMutableBufferPointer { bytes in
            var at = 0
            while at + 4 <= bytes.count {
                bytes[at] ^= a
                bytes[at + 1] ^= b
                bytes[at + 2] ^= c
                bytes[at + 3] ^= d
                at += 4
            }
            while at < bytes.count {
                bytes[at] ^= key[at & 3]
                at += 1
            }
        }
    }

    /// One frame; `parts` are joined, so that a channel byte in front costs no copy of its own.
    static func encode(_ opcode: Opcode, _ parts: [[UInt8]], mask key: [UInt8]?) -> [UInt8] {
        let count = parts.reduce(0) { $0 + $1.count }
        var out: [UInt8] = []
        out.reserveCapacity(count + 14)
        out.append(0x80 | opcode.rawValue)
        let flag: UInt8 = key == nil ? 0 : 0x80
        if count < 126 {
            out.append(flag | UInt8(count))
        } else if count < 65536 {
            out.append(flag | 126)
            out.append(UInt8(count >> 8))
            out.append(UInt8(count & 255))
        } else {
            out.append(flag | 127)
            for shift in stride(from: 56, through: 0, by: -8) { out.append(UInt8(truncatingIfNeeded: count >> shift)) }
        }
        guard let key else {
            for part in parts { out += part }
            return out
        }
        out += key
        var body = parts.flattened
        mask(&body, with: key)
        return out + body
    }
}

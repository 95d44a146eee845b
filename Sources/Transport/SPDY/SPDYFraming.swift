/// SPDY/3.1 frames that Kubernetes uses. SETTINGS and WINDOW_UPDATE are read over: the peers of this protocol
/// (spdystream) neither send nor heed windows, so waiting for one would never end; back-pressure is the socket's.
struct SPDYFraming {
    enum Frame {
        case synStream(id: UInt32, headers: HTTPHeaders, fin: Bool, unidirectional: Bool)
        case synReply(id: UInt32, headers: HTTPHeaders, fin: Bool)
        case reset(id: UInt32, status: UInt32)
        case headers(id: UInt32, fin: Bool)
        case ping(id: UInt32)
        case goAway(lastGood: UInt32)
        case data(id: UInt32, [UInt8], fin: Bool)
        case other
    }

    struct Failure: Error { let text: String }

    /// Frames hold up to 16 MB by their length field; honest peers send 32 KB.
    static let maximumFrame = 4 << 20

    private var buffer: [UInt8] = []
    private var start = 0

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

    mutating func next(_ codec: SPDYHeaderCodec) throws(Failure) -> Frame? {
        guard buffer.count - start >= 8 else { return nil }
        let first = number(start)
        let length = Int(number(start + 4) & 0xFF_FFFF)
        let flags = buffer[start + 4]
        guard length <= SPDYFraming.maximumFrame else { throw Failure(text: "frame too large") }
        guard buffer.count - start >= 8 + length else { return nil }
        let body = start + 8
        let end = body + length
        start = end
        if first & 0x8000_0000 == 0 { return .data(id: first, Array(buffer[body..<end]), fin: flags & 1 != 0) }
        guard first >> 16 == 0x8003 else { throw Failure(text: "not SPDY version 3") }
        func need(_ count: Int) throws(Failure) {
            guard length >= count else { throw Failure(text: "frame too short") }
        }
        switch first & 0xFFFF {
        case 1:
            try need(10)
            guard let headers = codec.decode(buffer[(body + 10)..<end]) else { throw Failure(text: "header block") }
            return .synStream(id: number(body) & 0x7FFF_FFFF, headers: headers, fin: flags & 1 != 0, unidirectional: flags & 2 != 0)
        case 2:
            try need(4)
            guard let headers = codec.decode(buffer[(body + 4)..<end]) else { throw Failure(text: "header block") }
            return .synReply(id: number(body) & 0x7FFF_FFFF, headers: headers, fin: flags & 1 != 0)
        case 3:
            try need(8)
            return .reset(id: number(body) & 0x7FFF_FFFF, status: number(body + 4))
        case 6:
            try need(4)
            return .ping(id: number(body))
        case 7:
            try need(4)
            return .goAway(lastGood: number(body) & 0x7FFF_FFFF)
        case 8:
            try need(4)
            // Read even if unused: the compression state runs through every block.
            guard codec.decode(buffer[(body + 4)..<end]) != nil else { throw Failure(text: "header block") }
            return .headers(id: number(body) & 0x7FFF_FFFF, fin: flags & 1 != 0)
        default: return .other
        }
    }

    private func number(_ at: Int) -> UInt32 {
        UInt32(buffer[at]) << 24 | UInt32(buffer[at + 1]) << 16 | UInt32(buffer[at + 2]) << 8 | UInt32(buffer[at + 3])
    }

    // MARK: - Writing

    static func control(_ type: Int, flags: UInt8 = 0, _ body: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(8 + body.count)
        out.put32(0x8003_0000 | type)
        out.put32(Int(flags) << 24 | body.count)
        return out + body
    }

    static func data(_ id: UInt32, _ bytes: ArraySlice<UInt8>, fin: Bool) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(8 + bytes.count)
        out.put32(Int(id))
        out.put32((fin ? 1 << 24 : 0) | bytes.count)
        return out + bytes
    }

    static func pair(_ a: UInt32, _ b: UInt32) -> [UInt8] {
        var out: [UInt8] = []
        out.put32(Int(a))
        out.put32(Int(b))
        return out
    }
}

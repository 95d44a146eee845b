/// Reads the start line and the fields of one complete HTTP/1 head.
struct HTTP1HeadReader {
    private let raw: UnsafeRawBufferPointer

    init(_ raw: UnsafeRawBufferPointer) { self.raw = raw }

    func read(_ role: HTTP1Parser.Role) throws(HTTP1Parser.Failure) -> HTTP1Parser.Head {
        var head = HTTP1Parser.Head()
        var at = 0
        let (start, startEnd) = line(&at)
        switch role {
        case .request: try requestLine(start, startEnd, &head)
        case .response: try statusLine(start, startEnd, &head)
        }
        head.headers.reserve(12)
        while true {
            let (from, to) = line(&at)
            if from == to { break }
            try field(from, to, &head.headers)
            guard head.headers.count <= HTTP1Parser.maximumFields else { throw HTTP1Parser.Failure("too many header fields", status: 431) }
        }
        return head
    }

    private func text(_ from: Int, _ to: Int) -> String { String(decoding: UnsafeRawBufferPointer(rebasing: raw[from..<to]), as: UTF8.self) }

    /// The next line's bounds without its ending.
    private func line(_ at: inout Int) -> (Int, Int) {
        let from = at
        while at < raw.count, raw[at] != 0x0A { at += 1 }
        var to = at
        if to > from, raw[to - 1] == 0x0D { to -= 1 }
        at += 1
        return (from, min(to, raw.count))
    }

    private func requestLine(_ from: Int, _ to: Int, _ head: inout HTTP1Parser.Head) throws(HTTP1Parser.Failure) {
        var space = from
        while space < to, HTTP1HeadReader.isToken(raw[space]) { space += 1 }
        guard space > from, space < to, raw[space] == 0x20 else { throw HTTP1Parser.Failure("malformed request line") }
        var end = space + 1
        while end < to, raw[end] > 0x20, raw[end] != 0x7F { end += 1 }
        guard end > space + 1, end < to, raw[end] == 0x20 else { throw HTTP1Parser.Failure("malformed request target") }
        head.minorVersion = try version(end + 1, to)
        head.method = text(from, space)
        head.target = text(space + 1, end)
    }

    private func statusLine(_ from: Int, _ to: Int, _ head: inout HTTP1Parser.Head) throws(HTTP1Parser.Failure) {
        guard to - from >= 12, raw[from + 8] == 0x20 else { throw HTTP1Parser.Failure("malformed status line") }
        head.minorVersion = try version(from, from + 8)
        var status = 0
        for index in (from + 9)..<(from + 12) {
            guard raw[index] >= 48, raw[index] <= 57 else { throw HTTP1Parser.Failure("malformed status") }
            status = status * 10 + Int(raw[index]) - 48
        }
        guard status >= 100, to - from == 12 || raw[from + 12] == 0x20 else { throw HTTP1Parser.Failure("malformed status") }
        head.status = status
    }

    private func version(_ from: Int, _ to: Int) throws(HTTP1Parser.Failure) -> Int {
        guard to - from == 8, text(from, to - 1) == "HTTP/1.", raw[to - 1] == 0x30 || raw[to - 1] == 0x31 else {
            throw HTTP1Parser.Failure("unsupported protocol version", status: 505)
        }
        return Int(raw[to - 1]) - 48
    }

    private func field(_ from: Int, _ to: Int, _ headers: inout HTTPHeaders) throws(HTTP1Parser.Failure) {
        var colon = from
        while colon < to, HTTP1HeadReader.isToken(raw[colon]) { colon += 1 }
        guard colon > from, colon < to, raw[colon] == 0x3A else { throw HTTP1Parser.Failure("malformed header field") }
        var start = colon + 1
        var end = to
        while start < end, raw[start] == 0x20 || raw[start] == 0x09 { start += 1 }
        while end > start, raw[end - 1] == 0x20 || raw[end - 1] == 0x09 { end -= 1 }
        for index in start..<end where raw[index] < 0x20 && raw[index] != 0x09 || raw[index] == 0x7F {
            throw HTTP1Parser.Failure("control character in a header field")
        }
        headers.append(text(from, colon), text(start, end))
    }

    /// RFC 9110 5.6.2.
    private static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 48...57, 65...90, 97...122: true
        case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E...0x60, 0x7C, 0x7E: true
        default: false
        }
    }
}

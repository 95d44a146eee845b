import Transport

/// One challenge of `WWW-Authenticate`: a scheme and its parameters.
struct AuthChallenge: Sendable, Equatable {
    let scheme: String
    let parameters: [String: String]

    /// Every challenge of every field, in order; several may share a field.
    static func parse(_ headers: HTTPHeaders) -> [AuthChallenge] { headers.values("www-authenticate").flatMap { parse($0) } }

    static func parse(_ text: String) -> [AuthChallenge] {
        var reader = Reader(bytes: Array(text.utf8))
        var out: [AuthChallenge] = []
        var scheme: String?
        var parameters: [String: String] = [:]
        func close() { if let scheme { out.append(AuthChallenge(scheme: scheme.lowercased(), parameters: parameters)) } }
        while !reader.atEnd {
            reader.skip()
            let word = reader.token()
            guard !word.isEmpty else {
                reader.advance()
                continue
            }
            if reader.take(UInt8(ascii: "=")) {
                parameters[word.lowercased()] = reader.value()
            } else {
                close()
                scheme = word
                parameters = [:]
            }
        }
        close()
        return out
    }

    private struct Reader {
        let bytes: [UInt8]
        var at = 0

        var atEnd: Bool { at >= bytes.count }
        mutating func advance() { at += 1 }
        mutating func skip() { while !atEnd, bytes[at] == 0x20 || bytes[at] == 0x09 || bytes[at] == 0x2C { at += 1 } }
        mutating func take(_ byte: UInt8) -> Bool {
            guard !atEnd, bytes[at] == byte else { return false }
            at += 1
            return true
        }
        mutating func token() -> String {
            let start = at
            while !atEnd, bytes[at] > 0x20, bytes[at] < 0x7F, bytes[at] != 0x2C, bytes[at] != 0x3D, bytes[at] != 0x22 { at += 1 }
            return String(decoding: bytes[start..<at], as: UTF8.self)
        }
        mutating func value() -> String {
            guard take(0x22) else { return token() }
            var out: [UInt8] = []
            while !atEnd, bytes[at] != 0x22 {
                if bytes[at] == 0x5C, at + 1 < bytes.count { at += 1 }
                out.append(bytes[at])
                at += 1
            }
            at += 1
            return String(decoding: out, as: UTF8.self)
        }
    }
}

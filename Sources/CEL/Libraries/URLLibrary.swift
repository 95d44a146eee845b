/// A parsed URL.
final class URLValue: OpaqueValue {
    let type = CELType.opaque("kubernetes.URL", [])
    let scheme: String
    let host: String
    let escapedPath: String
    let query: String
    private let text: String

    func equals(_ other: any OpaqueValue) -> Bool { (other as? URLValue)?.text == text }

    /// An absolute URL, or an absolute path, as Go's `ParseRequestURI` takes them.
    init(_ text: String) throws(EvaluationError) {
        func failure(_ why: String) -> EvaluationError { EvaluationError("parse \(StringsLibrary.quote(text)): \(why)") }
        if text.isEmpty { throw failure("empty url") }
        if text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) { throw failure("net/url: invalid control character in URL") }
        self.text = text
        var rest = text[...]
        var scheme = ""
        if let colon = rest.firstIndex(of: ":"), !rest[..<colon].contains("/") {
            let name = rest[..<colon]
            if name.isEmpty { throw failure("missing protocol scheme") }
            guard name.utf8.first.map({ ($0 | 0x20) >= 97 && ($0 | 0x20) <= 122 }) == true, name.utf8.allSatisfy(URLValue.isSchemeByte) else {
                throw failure("first path segment in URL cannot contain colon")
            }
            scheme = name.lowercased()
            rest = rest[rest.index(after: colon)...]
        }
        self.scheme = scheme
        var query = ""
        if let mark = rest.firstIndex(of: "?") {
            query = String(rest[rest.index(after: mark)...])
            rest = rest[..<mark]
        }
        self.query = query
        if !rest.hasPrefix("/") {
            if scheme.isEmpty { throw failure("invalid URI for request") }
            host = ""
            escapedPath = ""
            return
        }
        var host = ""
        if rest.hasPrefix("//"), !(scheme.isEmpty && rest.hasPrefix("///")), !scheme.isEmpty {
            rest = rest.dropFirst(2)
            let authority = rest.prefix { $0 != "/" }
            rest = rest.dropFirst(authority.count)
            host = String(authority.split(separator: "@", omittingEmptySubsequences: false).last ?? "")
            if let why = URLValue.problem(host) { throw failure(why) }
        }
        self.host = host
        guard URLValue.hasSoundEscapes(rest) else { throw failure("invalid URL escape \(StringsLibrary.quote(URLValue.brokenEscape(rest)))") }
        escapedPath = URLValue.escaped(rest)
    }

    private static func isSchemeByte(_ byte: UInt8) -> Bool {
        let lower = byte | 0x20
        return (lower >= 97 && lower <= 122) || (byte >= 48 && byte <= 57) || byte == 43 || byte == 45 || byte == 46
    }

    private static func problem(_ host: String) -> String? {
        if host.hasPrefix("[") {
            guard let end = host.lastIndex(of: "]") else { return "missing ']' in host" }
            return portProblem(host[host.index(after: end)...])
        }
        if host.contains(where: { " \"<>[]^`{|}\\".contains($0) }) { return "invalid character \(StringsLibrary.quote(String(host.first { " \"<>[]^`{|}\\".contains($0) } ?? " "))) in host name" }
        if let colon = host.lastIndex(of: ":") { return portProblem(host[colon...]) }
        return nil
    }

    private static func portProblem(_ port: Substring) -> String? {
        if port.isEmpty { return nil }
        guard port.hasPrefix(":"), port.dropFirst().utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) else {
            return "invalid port \(StringsLibrary.quote(String(port))) after host"
        }
        return nil
    }

    private static func hasSoundEscapes(_ text: Substring) -> Bool { brokenEscape(text).isEmpty }

    private static func brokenEscape(_ text: Substring) -> String {
        let bytes = Array(text.utf8)
        var index = 0
        while index < bytes.count {
            if bytes[index] == 37 {
                guard index + 2 < bytes.count, hex(bytes[index + 1]) != nil, hex(bytes[index + 2]) != nil else {
                    return String(decoding: bytes[index..<min(index + 3, bytes.count)], as: UTF8.self)
                }
                index += 2
            }
            index += 1
        }
        return ""
    }

    private static func hex(_ byte: UInt8) -> UInt8? { Character(Unicode.Scalar(byte)).hexDigitValue.map(UInt8.init) }

    /// What was escaped stays so; what must be escaped is.
    private static func escaped(_ path: Substring) -> String {
        var out = ""
        for byte in path.utf8 {
            let lower = byte | 0x20
            let isPlain = (lower >= 97 && lower <= 122) || (byte >= 48 && byte <= 57) || "-_.~$&+,/:;=@!'()*[]%".utf8.contains(byte)
            if isPlain {
                out.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                out += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return out
    }

    var hostname: String {
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") { return String(host[host.index(after: host.startIndex)..<end]) }
        return String(host.prefix { $0 != ":" })
    }

    var port: String {
        let tail = host.hasPrefix("[") ? host[(host.firstIndex(of: "]") ?? host.startIndex)...] : host[...]
        guard let colon = tail.lastIndex(of: ":") else { return "" }
        return String(tail[tail.index(after: colon)...])
    }

    /// Keys with all their values, escapes undone; pairs that cannot be read are left out.
    var queryValues: [(String, [String])] {
        var out: [(String, [String])] = []
        for pair in query.split(separator: "&") where !pair.contains(";") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let key = URLValue.unescaped(parts[0]), let value = URLValue.unescaped(parts.count > 1 ? parts[1] : "") else { continue }
            if let index = out.firstIndex(where: { $0.0 == key }) { out[index].1.append(value) } else { out.append((key, [value])) }
        }
        return out
    }

    private static func unescaped(_ text: Substring) -> String? {
        var out: [UInt8] = []
        let bytes = Array(text.utf8)
        var index = 0
        while index < bytes.count {
            switch bytes[index] {
            case 37:
                guard index + 2 < bytes.count, let high = hex(bytes[index + 1]), let low = hex(bytes[index + 2]) else { return nil }
                out.append(high * 16 + low)
                index += 2
            case 43: out.append(32)
            default: out.append(bytes[index])
            }
            index += 1
        }
        return String(decoding: out, as: UTF8.self)
    }
}

/// Functions of URLs.
enum URLLibrary: FunctionLibrary {
    static func declare(_ table: inout FunctionTable) {
        let url = CELType.opaque("kubernetes.URL", [])
        table.global("url", "string_to_url", [.string], url) {
            do { return .opaque(try URLValue(try $0.string(0))) } catch {
                throw EvaluationError("URL parse error during conversion from string: \((error as? EvaluationError)?.message ?? "")")
            }
        }
        table.global("isURL", "is_url_string", [.string], .bool) { .bool((try? URLValue(try $0.string(0))) != nil) }
        table.member("getScheme", "url_get_scheme", [url], .string) { .string(try $0.opaque(0, URLValue.self).scheme) }
        table.member("getHost", "url_get_host", [url], .string) { .string(try $0.opaque(0, URLValue.self).host) }
        table.member("getHostname", "url_get_hostname", [url], .string) { .string(try $0.opaque(0, URLValue.self).hostname) }
        table.member("getPort", "url_get_port", [url], .string) { .string(try $0.opaque(0, URLValue.self).port) }
        table.member("getEscapedPath", "url_get_escaped_path", [url], .string) { .string(try $0.opaque(0, URLValue.self).escapedPath) }
        table.member("getQuery", "url_get_query", [url], .map(.string, .list(.string))) {
            var map = MapTable()
            for (key, values) in try $0.opaque(0, URLValue.self).queryValues { _ = map.insert(.string(key), .strings(values)) }
            return .map(MapValue(map))
        }
    }
}

/// Whether a text is a URL, in Go's words.
package enum URLCheck {
    package static func problems(_ text: String) -> [String] {
        do throws(EvaluationError) {
            _ = try URLValue(text)
            return []
        } catch { return [error.message] }
    }
}

/// Who is at the other end of a connection; one object is shared by all its requests.
package final class HTTPPeer: Sendable {
    package let isTLS: Bool
    /// DER, leaf first, exactly as the client sent them: nobody has verified them yet.
    package let clientCertificates: [[UInt8]]
    /// `address:port`, `[v6]:port`, or empty for a unix socket.
    package let remoteAddress: String
    /// The port of ours that the client reached; 0 for a unix socket.
    package let localPort: Int
    /// The name the client asked for in the TLS handshake.
    package let serverName: String?
    /// Distinguishes connections within this process.
    package let connectionID: UInt64

    package init(
        isTLS: Bool, clientCertificates: [[UInt8]] = [], remoteAddress: String, localPort: Int, serverName: String? = nil, connectionID: UInt64 = 0
    ) {
        self.isTLS = isTLS
        self.clientCertificates = clientCertificates
        self.remoteAddress = remoteAddress
        self.localPort = localPort
        self.serverName = serverName
        self.connectionID = connectionID
    }

    /// The address without its port.
    package var remoteHost: String {
        guard let colon = remoteAddress.utf8.lastIndex(of: 0x3A) else { return remoteAddress }
        let host = remoteAddress[..<colon]
        return host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : String(host)
    }
}

/// The head of a request, as it came; nothing is normalised.
package struct HTTPRequest: Sendable {
    package let method: String
    /// Path and query, percent-encoded, as on the request line.
    package let target: String
    package let headers: HTTPHeaders
    /// 1 or 2.
    package let majorVersion: Int
    package let peer: HTTPPeer
    private let pathEnd: Int

    package init(method: String, target: String, headers: HTTPHeaders, majorVersion: Int = 1, peer: HTTPPeer) {
        self.method = method
        self.target = target
        self.headers = headers
        self.majorVersion = majorVersion
        self.peer = peer
        var end = -1
        var at = 0
        for byte in target.utf8 {
            if byte == 0x3F {
                end = at
                break
            }
            at += 1
        }
        pathEnd = end
    }

    /// The target up to the question mark, still percent-encoded.
    package var path: String {
        pathEnd < 0 ? target : String(decoding: target.utf8.prefix(pathEnd), as: UTF8.self)
    }

    /// What follows the question mark, still encoded; nil where there is none.
    package var rawQuery: String? {
        pathEnd < 0 ? nil : String(decoding: target.utf8.dropFirst(pathEnd + 1), as: UTF8.self)
    }

    /// The query decoded, in order. Decoded anew at each call: keep the result.
    package var queryItems: [QueryItem] { rawQuery.map(QueryItem.parse) ?? [] }

    package var isTLS: Bool { peer.isTLS }
    package var clientCertificates: [[UInt8]] { peer.clientCertificates }
    package var remoteAddress: String { peer.remoteAddress }
    package var localPort: Int { peer.localPort }

    /// `Host`, or `:authority` of HTTP/2.
    package var host: String? { headers["host"] }

    /// The declared length of the body; nil when it is unknown (chunked) or there is none.
    package var contentLength: Int? { headers["content-length"].flatMap { Int($0) } }

    /// Whether the client asks to turn the connection into something else (`Connection: Upgrade`).
    package func asksUpgrade(to name: String) -> Bool {
        majorVersion == 1 && headers.hasToken("connection", "upgrade") && headers.hasToken("upgrade", name)
    }

    package var asksWebSocket: Bool { asksUpgrade(to: "websocket") && headers.contains("sec-websocket-key") }
    package var asksSPDY: Bool { asksUpgrade(to: "SPDY/3.1") }
}

/// One `name=value` of a query.
package struct QueryItem: Sendable, Equatable {
    package let name: String
    package let value: String

    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }

    package static func parse(_ query: String) -> [QueryItem] {
        // Go leaves out what has a bare semicolon.
        query.utf8.split(separator: 0x26).filter { !$0.contains(0x3B) }.map { part in
            if let equals = part.firstIndex(of: 0x3D) {
                QueryItem(PercentEncoding.decode(part[..<equals], plusIsSpace: true), PercentEncoding.decode(part[part.index(after: equals)...], plusIsSpace: true))
            } else {
                QueryItem(PercentEncoding.decode(part, plusIsSpace: true), "")
            }
        }
    }
}

/// Percent-encoding of RFC 3986; a malformed escape stays as it is.
package enum PercentEncoding {
    /// A value for a query or one step of a path: everything but letters, digits and `-._~` is escaped.
    package static func encode(_ text: String) -> String {
        var out = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: out.unicodeScalars.append(UnicodeScalar(byte))
            default: out += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return out
    }

    package static func decode(_ text: String) -> String {
        text.utf8.contains(0x25) ? decode(text.utf8[...], plusIsSpace: false) : text
    }

    package static func decode(_ bytes: some Collection<UInt8>, plusIsSpace: Bool) -> String {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var at = bytes.startIndex
        while at < bytes.endIndex {
            let byte = bytes[at]
            let next = bytes.index(after: at)
            if byte == 0x25, next < bytes.endIndex, let high = digit(bytes[next]) {
                let last = bytes.index(after: next)
                if last < bytes.endIndex, let low = digit(bytes[last]) {
                    out.append(high << 4 | low)
                    at = bytes.index(after: last)
                    continue
                }
            }
            out.append(plusIsSpace && byte == 0x2B ? 0x20 : byte)
            at = next
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// Encodes all but unreserved characters and those of `keeping`.
    package static func encode(_ text: String, keeping: String = "") -> String {
        let kept = Array(keeping.utf8)
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 48...57, 65...90, 97...122, 0x2D, 0x2E, 0x5F, 0x7E: out.append(byte)
            default:
                if kept.contains(byte) {
                    out.append(byte)
                } else {
                    out.append(0x25)
                    out.append(digits[Int(byte >> 4)])
                    out.append(digits[Int(byte & 15)])
                }
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static let digits = Array("0123456789ABCDEF".utf8)

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 65...70: byte - 55
        case 97...102: byte - 87
        default: nil
        }
    }
}

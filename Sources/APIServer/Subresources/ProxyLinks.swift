import Transport

/// Turns links that mean another server's root into links that lead back through the proxy.
struct ProxyLinks: Sendable {
    /// The path that stands for the other server's root.
    let base: String
    let endpoint: HTTPEndpoint
    /// What the client calls this server.
    let host: String

    /// HTML attributes whose value is a link.
    private static let attributes: Set<String> = [
        "action", "archive", "background", "cite", "classid", "codebase", "data", "formaction", "href", "icon", "longdesc", "manifest", "poster", "profile", "src",
        "usemap",
    ]

    static func isPage(_ headers: HTTPHeaders) -> Bool {
        guard let type = headers["content-type"]?.split(separator: ";").first, (headers["content-encoding"] ?? "").isEmpty else { return false }
        return HTTPHeaders.equal(String(type.filter { $0 != " " }), "text/html")
    }

    /// Links to other servers and relative ones stay as they are.
    func rewritten(_ link: String) -> String {
        var path = Substring(link)
        if let scheme = link.firstRange(of: "://"), !link[..<scheme.lowerBound].contains("/") {
            let rest = link[scheme.upperBound...]
            let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
            let place = rest[..<end]
            let full = "\(endpoint.host):\(endpoint.port)"
            guard place == endpoint.authority || place == full || (!host.isEmpty && place == host) else { return link }
            path = rest[end...]
            if path.isEmpty { path = "/" }
        } else if link.hasPrefix("//") {
            return link
        }
        guard path.hasPrefix("/") else { return link }
        return path.hasPrefix(base) ? String(path) : base + path
    }

    /// Rewrites the links in the tags of a page; everything else goes through byte by byte.
    func rewritten(page: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(page.count + 256)
        var at = 0
        while at < page.count {
            guard page[at] == 0x3C, at + 1 < page.count, ProxyLinks.isLetter(page[at + 1]) else {
                out.append(page[at])
                at += 1
                continue
            }
            at = tag(page, at, &out)
        }
        return out
    }

    /// Copies one tag, from its `<` on; answers where it ends.
    private func tag(_ page: [UInt8], _ start: Int, _ out: inout [UInt8]) -> Int {
        var at = start
        var name: [UInt8] = []
        while at < page.count {
            let byte = page[at]
            if byte == 0x22 || byte == 0x27 {
                guard let end = page[(at + 1)...].firstIndex(of: byte) else { break }
                let value = String(decoding: page[(at + 1)..<end], as: UTF8.self)
                let attribute = String(decoding: name, as: UTF8.self).lowercased()
                out.append(byte)
                out += Array((ProxyLinks.attributes.contains(attribute) ? rewritten(value) : value).utf8)
                out.append(byte)
                at = end + 1
                name = []
                continue
            }
            out.append(byte)
            at += 1
            if byte == 0x3E { return at }
            if ProxyLinks.isLetter(byte) || byte == 0x2D { name.append(byte) } else if byte != 0x3D { name = [] }
        }
        out += page[at...]
        return page.count
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7A }
}

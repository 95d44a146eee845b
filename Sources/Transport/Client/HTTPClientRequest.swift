/// Where a client connects to.
package struct HTTPEndpoint: Sendable, Hashable {
    package var isTLS: Bool
    /// A name or an address; for a unix socket what goes into `Host`.
    package var host: String
    package var port: Int
    package var unixPath: String?
    /// HTTP/2 without TLS and without asking, as gRPC servers on sockets speak it.
    package var speaksHTTP2 = false

    package init(isTLS: Bool, host: String, port: Int? = nil) {
        self.isTLS = isTLS
        self.host = host
        self.port = port ?? (isTLS ? 443 : 80)
        unixPath = nil
    }

    package init(unixPath: String, host: String = "localhost") {
        isTLS = false
        self.host = host
        port = 0
        self.unixPath = unixPath
    }

    /// What `Host` and `:authority` say.
    package var authority: String {
        let name = host.utf8.contains(0x3A) ? "[\(host)]" : host
        return unixPath != nil || port == (isTLS ? 443 : 80) ? name : "\(name):\(port)"
    }
}

/// An absolute http or https URL taken apart.
package struct HTTPAddress: Sendable, Equatable {
    package var endpoint: HTTPEndpoint
    /// Path and query, at least "/".
    package var target: String
    /// `user:password` where the URL has them.
    package var userInfo: String?

    /// nil for anything but http and https.
    package init?(_ url: String) {
        let tls: Bool
        var rest: Substring
        if url.hasPrefix("https://") {
            tls = true
            rest = url.dropFirst(8)
        } else if url.hasPrefix("http://") {
            tls = false
            rest = url.dropFirst(7)
        } else {
            return nil
        }
        if let fragment = rest.firstIndex(of: "#") { rest = rest[..<fragment] }
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        var authority = rest[..<end]
        let tail = rest[end...]
        target = tail.isEmpty ? "/" : tail.hasPrefix("?") ? "/" + tail : String(tail)
        if let at = authority.lastIndex(of: "@") {
            userInfo = PercentEncoding.decode(String(authority[..<at]))
            authority = authority[authority.index(after: at)...]
        }
        var host = authority
        var port: Int?
        if authority.hasPrefix("[") {
            guard let close = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<close]
            let after = authority[authority.index(after: close)...]
            if after.hasPrefix(":") { port = Int(after.dropFirst()) } else if !after.isEmpty { return nil }
        } else if let colon = authority.lastIndex(of: ":") {
            host = authority[..<colon]
            let text = authority[authority.index(after: colon)...]
            port = Int(text)
            if port == nil && !text.isEmpty { return nil }
        }
        guard !host.isEmpty, port.map({ (1...65535).contains($0) }) ?? true else { return nil }
        endpoint = HTTPEndpoint(isTLS: tls, host: String(host), port: port)
    }
}

/// What a client asks. `Host`, `Content-Length` and the like are added where they are missing.
package struct HTTPClientRequest: Sendable {
    package enum Body: Sendable {
        case none
        case bytes([UInt8])
        /// Written piece by piece; `length` nil where it is not known before. Such requests are never repeated.
        case stream(length: Int?, @Sendable (HTTPBodyWriter) async throws -> Void)
    }

    package var method: String
    package var endpoint: HTTPEndpoint
    package var target: String
    package var headers: HTTPHeaders
    package var body: Body
    /// Until the head of the answer is there; nil waits for ever. The body of the answer has no time limit of its own.
    package var timeout: Duration?
    /// Set where the caller knows better than the method whether a second attempt could do harm.
    package var mayRepeat: Bool?

    package init(
        _ method: String = "GET", _ endpoint: HTTPEndpoint, _ target: String, headers: HTTPHeaders = [:], body: Body = .none,
        timeout: Duration? = .seconds(60)
    ) {
        self.method = method
        self.endpoint = endpoint
        self.target = target
        self.headers = headers
        self.body = body
        self.timeout = timeout
    }

    /// A request for an absolute URL.
    package init?(
        _ method: String = "GET", url: String, headers: HTTPHeaders = [:], body: Body = .none, timeout: Duration? = .seconds(60)
    ) {
        guard let address = HTTPAddress(url) else { return nil }
        self.init(method, address.endpoint, address.target, headers: headers, body: body, timeout: timeout)
    }

    /// Whether a second attempt could do no harm.
    var isRepeatable: Bool {
        if case .stream = body { return false }
        return mayRepeat ?? ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(method)
    }

    /// Content-Length as it goes on the wire; nil for a chunked body or for none.
    var declaredLength: Int? {
        switch body {
        case .none: ["POST", "PUT", "PATCH"].contains(method) ? 0 : nil
        case .bytes(let bytes): bytes.count
        case .stream(let length, _): length
        }
    }
}

/// Where a streamed request body goes.
package struct HTTPBodyWriter: Sendable {
    let exchange: ClientExchange

    /// Returns when there is room for more. Throws `.closed` once the server has stopped listening.
    package func write(_ bytes: [UInt8]) async throws { try await exchange.writeBody(bytes) }
}

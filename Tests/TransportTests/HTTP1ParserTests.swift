import Core
import NIOCore
import Testing

@testable import Transport

@Suite struct HTTP1ParserTests {
    /// Feeds `text` in pieces and writes down what comes out.
    func events(_ text: String, role: HTTP1Parser.Role = .request, piece: Int = .max) throws -> [String] {
        var parser = HTTP1Parser(role)
        var buffer = ByteBuffer()
        var out: [String] = []
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            buffer.writeBytes(rest.prefix(piece))
            rest = rest.dropFirst(piece)
            while let event = try parser.next(&buffer) {
                switch event {
                case .head(let head): out.append(role == .request ? "\(head.method) \(head.target)" : "\(head.status)")
                case .body(let data): out.append("body \(String(buffer: data))")
                case .end: out.append("end")
                }
            }
        }
        return out
    }

    @Test(arguments: [1, 3, 1000]) func pipelinedRequestsComeApart(piece: Int) throws {
        let text = "GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /c HTTP/1.0\n\n"
        let found = try events(text, piece: piece)
        #expect(found.filter { !$0.hasPrefix("body") } == ["GET /a", "end", "POST /b", "end", "GET /c", "end"])
        #expect(found.filter { $0.hasPrefix("body") }.map { $0.dropFirst(5) }.joined() == "abc")
    }

    @Test func chunksWithExtensionsAndTrailersAreRead() throws {
        let text = "PUT / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n4;x=y\r\nabcd\r\n0A\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n"
        #expect(try events(text) == ["PUT /", "body abcd", "body 0123456789", "end"])
    }

    @Test func answersEndWhereTheirHeadsSay() throws {
        #expect(try events("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", role: .response) == ["204", "end", "200", "body ok", "end"])
        #expect(try events("HTTP/1.1 200\r\n\r\nall", role: .response) == ["200", "body all"])
    }

    @Test(arguments: [
        "GET / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: -3\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: \r\n\r\n",
        "GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\u{0}c\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n",
        "GET / HTTP/2.0\r\n\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
        "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    ]) func ambiguousMessagesAreRefused(text: String) {
        #expect(throws: HTTP1Parser.Failure.self) { try events(text) }
    }

    @Test func headsWithoutEndAreRefusedAtTheLimit() {
        #expect(throws: HTTP1Parser.Failure.self) { try events("GET / HTTP/1.1\r\nA: " + String(repeating: "x", count: 300_000), piece: 60_000) }
    }
}

@Suite struct HTTPValueTests {
    @Test func headersCompareNamesWithoutCase() {
        var headers: HTTPHeaders = ["Content-Type": "a", "Connection": "keep-alive, Upgrade"]
        #expect(headers["content-type"] == "a")
        #expect(headers.hasToken("connection", "upgrade"))
        headers["CONTENT-TYPE"] = "b"
        #expect(headers.values("content-type") == ["b"])
    }

    @Test func queriesAreDecodedInOrder() {
        let peer = HTTPPeer(isTLS: false, remoteAddress: "127.0.0.1:9", localPort: 1)
        let request = HTTPRequest(method: "GET", target: "/a%2Fb?x=1%202+3&y&x=%zz", headers: [:], peer: peer)
        #expect(request.path == "/a%2Fb")
        #expect(request.queryItems == [QueryItem("x", "1 2 3"), QueryItem("y", ""), QueryItem("x", "%zz")])
        #expect(peer.remoteHost == "127.0.0.1")
    }

    @Test(arguments: [
        ("https://a.example/x?y=1#z", "a.example", 443, "/x?y=1"), ("http://[::1]:8080", "::1", 8080, "/"),
        ("http://u:p%40@h:1?q", "h", 1, "/?q"),
    ]) func addressesComeApart(url: String, host: String, port: Int, target: String) throws {
        let address = try #require(HTTPAddress(url))
        #expect(address.endpoint.host == host)
        #expect(address.endpoint.port == port)
        #expect(address.target == target)
    }

    @Test func datesHaveTheirWeekday() { #expect(HTTPDate.text(.init(seconds: 784_111_777)) == "Sun, 06 Nov 1994 08:49:37 GMT") }
}

import APIServer
import Core
import Machinery
import Testing
import Transport
import Tree

@testable import APIServer

/// The proxy in front of pods and services.
struct ProxyTests {
    @Test(arguments: [
        ("web", false, "web", ""), ("web:80", false, "web", "80"), ("https:web:443", true, "web", "443"), ("http:web:", false, "web", ""),
        ("web:http", false, "web", "http"),
    ])
    func namesSayWhoAndHow(_ text: String, _ isTLS: Bool, _ name: String, _ port: String) throws {
        let found = try ProxyName(text, .services)
        #expect(found.isTLS == isTLS && found.name == name && found.port == port)
    }

    @Test(arguments: ["", ":80", "ftp:web:80", "a:b:c:d"]) func otherNamesAreRefused(_ text: String) {
        #expect(throws: APIError.self) { try ProxyName(text, .pods) }
    }

    @Test(arguments: [
        ("/api/v1/namespaces/ns/pods/a/proxy", ""), ("/api/v1/namespaces/ns/pods/a/proxy/", "/"), ("/api/v1/namespaces/ns/pods/a/proxy/x%2Fy//z", "/x%2Fy//z"),
    ])
    func whatFollowsInThePathIsTheOtherServers(_ path: String, _ tail: String) {
        let info = RequestInfo(method: "GET", path: path) { _ in nil }
        let split = ProxySubresource.split(path, tailOf: info)
        #expect(split.base == "/api/v1/namespaces/ns/pods/a/proxy")
        #expect(split.tail == tail)
    }

    private static let links = ProxyLinks(base: "/base/proxy", endpoint: HTTPEndpoint(isTLS: false, host: "10.0.0.1", port: 8080), host: "api:6443")

    @Test(arguments: [
        ("/x", "/base/proxy/x"), ("x", "x"), ("http://10.0.0.1:8080/x", "/base/proxy/x"), ("https://elsewhere/x", "https://elsewhere/x"),
        ("//elsewhere/x", "//elsewhere/x"), ("http://api:6443/x", "/base/proxy/x"), ("/base/proxy/x", "/base/proxy/x"), ("#a", "#a"),
    ])
    func linksToTheServersRootLeadBack(_ link: String, _ expected: String) { #expect(Self.links.rewritten(link) == expected) }

    @Test func onlyLinksInTagsOfAPageAreRewritten() {
        let page = "<html><p title=\"/no\">/no < 3 <a class=b href=\"/yes\">x</a><img src='/yes'><a href=\"rel\">"
        let expected = "<html><p title=\"/no\">/no < 3 <a class=b href=\"/base/proxy/yes\">x</a><img src='/base/proxy/yes'><a href=\"rel\">"
        #expect(String(decoding: Self.links.rewritten(page: Array(page.utf8)), as: UTF8.self) == expected)
    }

    /// Says what it was asked.
    private struct Echo: HTTPHandler {
        func handle(_ exchange: HTTPExchange) async {
            let body = (try? await exchange.body(limit: 1 << 20)) ?? []
            var headers: HTTPHeaders = ["content-type": "text/plain", "x-authorization": exchange.request.headers["authorization"] ?? "none"]
            if exchange.request.path == "/moved" { headers["location"] = "/there" }
            let text = "\(exchange.request.method) \(exchange.request.target) \(exchange.request.headers["x-forwarded-uri"] ?? "") \(String(decoding: body, as: UTF8.self))"
            exchange.respond(status: exchange.request.path == "/moved" ? 302 : 200, headers: headers, body: Array(text.utf8))
        }
    }

    private struct Proxy: HTTPHandler {
        let forwarder = Forwarder()
        let target: HTTPEndpoint
        func handle(_ exchange: HTTPExchange) async {
            let info = RequestInfo(method: exchange.request.method, path: exchange.request.path) { _ in nil }
            let request = APIRequest(exchange: exchange, info: info, query: [], user: ServerFixture.admin, auditID: "a")
            let (base, tail) = ProxySubresource.split(exchange.request.path, tailOf: info)
            do { try await forwarder.forward(request, to: target, target: tail + (exchange.request.rawQuery.map { "?\($0)" } ?? ""), base: base) } catch {
                exchange.respond(status: error.code, body: Array(error.message.utf8))
            }
        }
    }

    @Test func requestsAndAnswersPassWhole() async throws {
        let echo = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: Echo())
        _ = try await echo.start()
        let target = HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: echo.port ?? 0)
        let front = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: Proxy(target: target))
        _ = try await front.start()
        let client = HTTPClient()
        let base = "/api/v1/namespaces/ns/pods/a/proxy"
        func ask(_ method: String, _ path: String, _ body: HTTPClientRequest.Body = .none) async throws -> HTTPClientResponse {
            let place = HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: front.port ?? 0)
            return try await client.send(HTTPClientRequest(method, place, base + path, headers: ["authorization": "Bearer secret"], body: body))
        }
        let posted = try await ask("POST", "/x/y?a=b", .bytes(Array("hello".utf8)))
        #expect(posted.status == 200)
        #expect(posted.headers["x-authorization"] == "none", "the client's right to this server stays here")
        #expect(String(decoding: try await posted.body(), as: UTF8.self) == "POST /x/y?a=b \(base)/x/y hello")
        let moved = try await ask("GET", "/moved")
        #expect(moved.status == 302)
        #expect(moved.headers["location"] == "\(base)/there")
        _ = try await moved.body()
        await echo.shutdown(grace: .zero)
        let gone = try await ask("GET", "/")
        #expect(gone.status == 503)
        _ = try await gone.body()
        client.close()
        await front.shutdown(grace: .zero)
    }
}

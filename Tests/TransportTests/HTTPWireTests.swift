import Core
import Glibc
import Synchronization
import Testing

@testable import Transport

/// What only shows on a raw socket, and over TLS.
@Suite struct HTTPWireTests {
    @Test func pipelinedRequestsAreAnsweredInOrder() async throws {
        try await withServer { exchange in
            if exchange.request.path == "/1" { try? await Task.sleep(for: .milliseconds(20)) }
            exchange.respond(status: 200, body: bytes("answer \(exchange.request.path)"))
        } _: { _, endpoint in
            let socket = try RawSocket(port: endpoint.port)
            defer { socket.close() }
            socket.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbodyGET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            let all = await socket.read()
            let order = ["answer /1", "answer /2", "answer /3"].compactMap { all.ranges(of: $0).first?.lowerBound }
            #expect(order.count == 3)
            #expect(order == order.sorted())
        }
    }

    @Test func expectationsAreConfirmedOnlyWhenTheBodyIsWanted() async throws {
        try await withServer { exchange in
            if exchange.request.path == "/read" {
                exchange.respond(status: 200, body: (try? await exchange.body(limit: 100)) ?? [])
            } else {
                exchange.respond(status: 403)
            }
        } _: { _, endpoint in
            let reads = try RawSocket(port: endpoint.port)
            defer { reads.close() }
            reads.send("PUT /read HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            #expect(await reads.read(until: "\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n")
            reads.send("ok")
            #expect(await reads.read(until: "ok").hasPrefix("HTTP/1.1 200 OK"))
            let refuses = try RawSocket(port: endpoint.port)
            defer { refuses.close() }
            refuses.send("PUT /no HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
            let answer = await refuses.read()
            #expect(answer.hasPrefix("HTTP/1.1 403"))
            #expect(answer.contains("Connection: close"))
        }
    }

    /// Where the server closed on a body that nobody wants, the kernel would reset the connection and the answer be lost.
    @Test func whoeverSendsALongBodyNobodyWantsStillReadsTheAnswer() async throws {
        try await withServer { $0.respond(status: 507, body: bytes("full")) } _: { _, endpoint in
            let socket = try RawSocket(port: endpoint.port)
            defer { socket.close() }
            let length = 32 << 20
            socket.send("PUT /no HTTP/1.1\r\nHost: x\r\nContent-Length: \(length)\r\n\r\n")
            #expect(await socket.send(zeros: length) == length)
            #expect(await socket.read(until: "full").hasPrefix("HTTP/1.1 507"))
            // Nobody has said that the connection ends.
            socket.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(await socket.read().hasPrefix("HTTP/1.1 507"))
        }
    }

    @Test(arguments: ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", "\u{1}\u{2}\u{3}\r\n\r\n"])
    func malformedRequestsAreAnsweredAndEndTheConnection(request: String) async throws {
        let reached = Mutex(0)
        try await withServer { exchange in
            reached.withLock { $0 += 1 }
            exchange.respond(status: 200)
        } _: { _, endpoint in
            let socket = try RawSocket(port: endpoint.port)
            defer { socket.close() }
            socket.send(request)
            #expect(await socket.read().hasPrefix("HTTP/1.1 400 "))
        }
        #expect(reached.withLock { $0 } == 0)
    }

    @Test(arguments: [
        (Wire.plain1, "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", "TLS handshake to an HTTP server"),
        (Wire.tls1, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP request to an HTTPS server"),
    ])
    func theWrongProtocolIsRefusedAtOnceInWords(wire: Wire, sent: String, words: String) async throws {
        try await withServer(wire) { $0.respond(status: 200) } _: { _, endpoint in
            let socket = try RawSocket(port: endpoint.port)
            defer { socket.close() }
            socket.send(sent)
            #expect(await socket.read() == "HTTP/1.0 400 Bad Request\r\n\r\nClient sent \(words.hasPrefix("TLS") ? "a" : "an") \(words).\n")
        }
    }

    @Test func slowAndSilentClientsAreCutOff() async throws {
        var limits = HTTPServerLimits()
        limits.head = .milliseconds(800)
        limits.idle = .milliseconds(800)
        try await withServer(limits: limits) { $0.respond(status: 200) } _: { _, endpoint in
            let silent = try RawSocket(port: endpoint.port)
            let dribbling = try RawSocket(port: endpoint.port)
            let idle = try RawSocket(port: endpoint.port)
            dribbling.send("GET / HTTP/1.1\r\nHo")
            idle.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(await silent.read() == "")
            #expect(await dribbling.read() == "")
            #expect(await idle.read().hasPrefix("HTTP/1.1 200"))
            for socket in [silent, dribbling, idle] { socket.close() }
        }
    }

    @Test(arguments: [Wire.plain1, .tls1]) func aRequestWhoseConnectionHasEndedBeforeItIsNotSentThere(wire: Wire) async throws {
        let reached = Mutex(0)
        var limits = HTTPServerLimits()
        limits.head = .seconds(3)
        limits.idle = .seconds(3)
        try await withServer(wire, limits: limits) { exchange in
            reached.withLock { $0 += 1 }
            exchange.respond(status: 200)
        } _: { _, endpoint in
            let tls = ClientTLS(roots: try TestIdentities.roots())
            let pool = ConnectionPool(
                dialer: Dialer(loops: .shared, tls: tls, connector: nil, connectTimeout: .seconds(30)), http2: false, idleTimeout: .seconds(90))
            defer { pool.close() }
            await #expect(throws: ConnectionGone.self) {
                let connection = try await pool.checkout(endpoint).connection
                while try #require(connection as? HTTP1ClientConnection).isUsable { try await Task.sleep(for: .milliseconds(5)) }
                _ = try await ClientExchange(HTTPClientRequest("POST", endpoint, "/"), connection: connection, upgrades: false).perform()
            }
            #expect(reached.withLock { $0 } == 0)
        }
    }

    @Test func untrustedClientCertificatesReachTheHandler() async throws {
        let stranger = try CertificateAuthority.create(commonName: "stranger").issueClient(commonName: "eve", organizations: ["a", "b"])
        for wire in [Wire.tls1, .tls2] {
            try await withServer(wire, clientCertificates: true) { exchange in
                let subject = exchange.request.clientCertificates.first.flatMap { try? Certificate(der: $0).subject }
                exchange.respond(status: 200, body: bytes("\(subject?.commonName ?? "-") \(subject?.organizations ?? [])"))
            } _: { client, endpoint in
                let roots = try TestIdentities.roots()
                let known = HTTPClient(tls: ClientTLS(roots: roots, identity: stranger), http2: wire == .tls2)
                #expect(text(try await known.send(HTTPClientRequest("GET", endpoint, "/")).body()) == #"eve ["a", "b"]"#)
                #expect(text(try await client.send(HTTPClientRequest("GET", endpoint, "/")).body()) == "- []")
            }
        }
    }

    @Test func untrustedServersAreRefused() async throws {
        try await withServer(.tls2) { $0.respond(status: 200) } _: { _, endpoint in
            let other = try CertificateAuthority.create(commonName: "other")
            let client = HTTPClient(tls: ClientTLS(roots: other.identity.certificatePEM))
            await #expect { try await client.send(HTTPClientRequest("GET", endpoint, "/")) } throws: {
                if case TransportError.handshake = $0 { true } else { false }
            }
            let careless = HTTPClient(tls: ClientTLS(insecure: true))
            #expect(try await careless.send(HTTPClientRequest("GET", endpoint, "/")).status == 200)
        }
    }

    @Test func identitiesFollowTheNameAndCanBeExchanged() async throws {
        let tls = try ServerTLS(identity: try TestIdentities.server(["first.test"], addresses: []), identities: ["*.apps.test": try TestIdentities.server(["x.apps.test"], addresses: [])])
        let server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], tls: tls, sniffTLS: true, handler: ClosureHandler { $0.respond(status: 200) })
        try await server.start()
        let port = try #require(server.port)
        func status(_ name: String) async throws -> Int {
            let client = HTTPClient(tls: ClientTLS(roots: try TestIdentities.roots(), serverName: name))
            return try await client.send(HTTPClientRequest("GET", HTTPEndpoint(isTLS: true, host: "127.0.0.1", port: port), "/")).status
        }
        #expect(try await status("first.test") == 200)
        #expect(try await status("x.apps.test") == 200)
        await #expect(throws: TransportError.self) { try await status("second.test") }
        try tls.replace(identity: try TestIdentities.server(["second.test"], addresses: []))
        #expect(try await status("second.test") == 200)
        await #expect(throws: TransportError.self) { try await status("first.test") }
        let plain = try await HTTPClient().send(HTTPClientRequest("GET", HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: port), "/"))
        #expect(plain.status == 200)
        await server.shutdown(grace: .milliseconds(100))
    }

    @Test(arguments: Wire.allCases) func shutdownLetsRunningRequestsEnd(wire: Wire) async throws {
        let tls = wire == .plain1 ? nil : try ServerTLS(identity: try TestIdentities.server())
        let entered = AsyncStream<Void>.makeStream()
        let server = HTTPServer(
            listeners: [.tcp(host: "127.0.0.1", port: 0)], tls: tls,
            handler: ClosureHandler { exchange in
                entered.continuation.yield()
                try? await Task.sleep(for: .milliseconds(200))
                exchange.respond(status: 200, body: bytes("done"))
            })
        try await server.start()
        let endpoint = HTTPEndpoint(isTLS: tls != nil, host: "127.0.0.1", port: server.port)
        let client = HTTPClient(tls: ClientTLS(roots: try TestIdentities.roots()), http2: wire == .tls2)
        async let answer = client.send(HTTPClientRequest("GET", endpoint, "/")).body()
        var iterator = entered.stream.makeAsyncIterator()
        await iterator.next()
        let started = ContinuousClock.now
        await server.shutdown(grace: .seconds(30))
        #expect(ContinuousClock.now - started < .seconds(25))
        #expect(text(try await answer) == "done")
        #expect(server.connectionCount == 0)
        await #expect(throws: (any Error).self) { try await client.send(HTTPClientRequest("GET", endpoint, "/")) }
    }

    @Test func unixSocketsHaveTheirMode() async throws {
        let path = "/tmp/transport-\(Identifier.suffix(12)).sock"
        defer { unlink(path) }
        let server = HTTPServer(listeners: [.unix(path: path, mode: 0o640)], handler: ClosureHandler { $0.respond(status: 200, body: bytes("unix")) })
        try await server.start()
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o640)
        let client = HTTPClient()
        #expect(text(try await client.send(HTTPClientRequest("GET", HTTPEndpoint(unixPath: path), "/")).body()) == "unix")
        client.close()
        await server.shutdown(grace: .milliseconds(100))
    }
}

import Core
import Glibc
import Synchronization
import Testing

@testable import Transport

@Suite struct WebSocketTests {
    @Test(arguments: [1, 2, 7, 1000]) func fragmentsAndControlFramesComeApart(piece: Int) throws {
        let key: [UInt8] = [1, 2, 3, 4]
        var wire = WebSocketFraming.encode(.text, [bytes("hel")], mask: key)
        wire[0] &= 0x7F
        wire += WebSocketFraming.encode(.ping, [bytes("p")], mask: key)
        wire += WebSocketFraming.encode(.continuation, [bytes("lo")], mask: key)
        wire += WebSocketFraming.encode(.binary, [[UInt8](repeating: 9, count: 70_000)], mask: key)
        wire += WebSocketFraming.encode(.close, [[3, 232]], mask: key)
        var framing = WebSocketFraming(.server, maximumMessage: 1 << 20)
        var events: [WebSocketFraming.Event] = []
        var rest = wire[...]
        while !rest.isEmpty {
            framing.append(Array(rest.prefix(piece)))
            rest = rest.dropFirst(piece)
            while let event = try framing.next() { events.append(event) }
        }
        #expect(events == [.ping(bytes("p")), .text(bytes("hello")), .binary([UInt8](repeating: 9, count: 70_000)), .close(code: 1000, reason: [])])
    }

    @Test(arguments: [[0x82, 0x01, 0x00], [0xC2, 0x80], [0x83, 0x80], [0x80, 0x80, 0, 0, 0, 0], [0x09, 0x80], [0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]] as [[UInt8]])
    func brokenFramesAreRefused(wire: [UInt8]) {
        var framing = WebSocketFraming(.server, maximumMessage: 1 << 20)
        framing.append(wire)
        #expect(throws: WebSocketFraming.Failure.self) { try framing.next() }
    }

    @Test(arguments: [Wire.plain1, .tls1]) func messagesGoBothWaysAndTheFarewellToo(wire: Wire) async throws {
        try await withServer(wire) { exchange in
            guard let socket = try? await exchange.acceptWebSocket(protocols: ["b", "c"]) else { return exchange.respond(status: 403) }
            while let message = try? await socket.receive() { try? await socket.send(bytes("echo "), message.bytes, text: false) }
        } _: { client, endpoint in
            let socket = try await client.webSocket(HTTPClientRequest("GET", endpoint, "/"), protocols: ["a", "c", "b"])
            #expect(socket.subprotocol == "c")
            try await socket.ping()
            for size in [0, 10, 100_000] {
                let payload = [UInt8](repeating: 65, count: size)
                try await socket.send(payload)
                #expect(try await socket.receive() == .binary(bytes("echo ") + payload))
            }
            await socket.close()
            await #expect(throws: TransportError.upgradeRefused(status: 403)) {
                try await client.webSocket(HTTPClientRequest("GET", endpoint, "/"), protocols: ["z"])
            }
        }
    }
}

@Suite struct SPDYTests {
    @Test func headerBlocksSurviveTheirCompression() {
        let writer = SPDYHeaderCodec()
        let reader = SPDYHeaderCodec()
        for number in 0..<50 {
            let headers = HTTPHeaders([("streamtype", "data"), ("port", "\(number)"), ("x", String(repeating: "y", count: number * 100)), ("x", "z")])
            let block = writer.encode(headers)
            #expect(reader.decode(block[...]) == headers)
        }
        #expect(SPDYHeaderCodec.dictionary.count == 1423)
        #expect(reader.decode([1, 2, 3, 4]) == nil)
    }

    @Test(arguments: [false, true]) func streamsAreIndependentAndHalfClose(tunnel: Bool) async throws {
        try await withServer { exchange in
            guard let connection = try? await exchange.acceptSPDY(protocols: ["p.k8s.io"]) else { return exchange.respond(status: 400) }
            while let stream = await connection.accept() {
                Task {
                    var total = 0
                    while let chunk = try? await stream.read() { total += chunk.count }
                    try? await stream.write(bytes("\(stream.headers["name"] ?? "") \(total)"))
                    await stream.closeWrite()
                }
            }
        } _: { client, endpoint in
            let connection: SPDYConnection
            if tunnel {
                connection = try await client.spdyTunnel(HTTPClientRequest("GET", endpoint, "/"), protocols: ["p.k8s.io"])
            } else {
                connection = try await client.spdy(HTTPClientRequest("POST", endpoint, "/"), protocols: ["x", "p.k8s.io"])
            }
            #expect(connection.streamProtocol == "p.k8s.io")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<10 {
                    let stream = try connection.open(["name": "s\(number)"])
                    group.addTask {
                        for _ in 0..<20 { try await stream.write([UInt8](repeating: 1, count: 5_000 * number)) }
                        await stream.closeWrite()
                        var answer: [UInt8] = []
                        while let chunk = try await stream.read() { answer += chunk }
                        #expect(text(answer) == "s\(number) \(100_000 * number)")
                    }
                }
                try await group.waitForAll()
            }
            await connection.close()
        }
    }
}

@Suite struct RelayTests {
    @Test func relaysCarryHalfClosesAndLargeStreams() async throws {
        let backend = StreamListener(.tcp(host: "127.0.0.1", port: 0)) { stream, _ in
            var total = 0
            while let chunk = try? await stream.read() { total += chunk.count }
            try? await stream.write(bytes("got \(total)"))
            await stream.closeWrite()
        }
        try await backend.start()
        let port = try #require(backend.port)
        let front = StreamListener(.tcp(host: "127.0.0.1", port: 0)) { stream, _ in
            guard let other = try? await Sockets.connect(host: "127.0.0.1", port: port) else { return }
            await Relay.run(stream, other)
        }
        try await front.start()
        let entry = try #require(front.port)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 1...10 {
                group.addTask {
                    let stream = try await Sockets.connect(host: "127.0.0.1", port: entry)
                    for _ in 0..<50 { try await stream.write([UInt8](repeating: 3, count: 6_000 * number)) }
                    await stream.closeWrite()
                    var answer: [UInt8] = []
                    while let chunk = try await stream.read() { answer += chunk }
                    #expect(text(answer) == "got \(300_000 * number)")
                    stream.close()
                }
            }
            try await group.waitForAll()
        }
        await front.close()
        await backend.close()
    }

    @Test func refusedConnectionsNameTheirError() async throws {
        await #expect { try await Sockets.connect(unixPath: "/nonexistent/socket") } throws: {
            ($0 as? SystemFailure)?.errno == ENOENT
        }
        // A port that nobody listens on, and that no other test is given by the kernel.
        let port = 1
        await #expect { try await Sockets.connect(host: "127.0.0.1", port: port) } throws: { ($0 as? SystemFailure)?.errno == ECONNREFUSED }
        await #expect { try await HTTPClient().send(HTTPClientRequest("GET", HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: port), "/")) } throws: {
            if case TransportError.unreachable(let text) = $0 { text.contains("connection refused") } else { false }
        }
    }

    @Test func datagramsAreAnswered() async throws {
        let server = UDPServer { server, datagram, peer in server.send(datagram.reversed(), to: peer) }
        try await server.start(.udp(host: "127.0.0.1", port: 0))
        let received = AsyncStream<[UInt8]>.makeStream()
        let client = UDPServer { _, datagram, _ in received.continuation.yield(datagram) }
        try await client.start(.udp(host: "127.0.0.1", port: 0))
        let port = try #require(server.port)
        client.send(bytes("abc"), to: try #require(UDPPeer(host: "127.0.0.1", port: port)))
        var iterator = received.stream.makeAsyncIterator()
        #expect(await iterator.next() == bytes("cba"))
        await client.close()
        await server.close()
    }
}

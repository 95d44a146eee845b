import Core
import Synchronization
import Testing

@testable import Transport

@Suite struct RemoteCommandTests {
    /// Echoes stdin to both outputs, tells terminal sizes, ends with what the last line says.
    @Sendable static func shell(_ exchange: HTTPExchange) async {
        let options = RemoteCommandOptions(query: exchange.request.queryItems)
        guard !options.isEmpty, let session = try? await exchange.acceptRemoteCommand(options) else { return exchange.respond(status: 400) }
        if options.tty, let size = await session.nextResize() { try? await session.writeStdout(bytes("\(size.width)x\(size.height) ")) }
        var all: [UInt8] = []
        while let chunk = await session.readStdin() {
            all += chunk
            if chunk.last == 4 { break }
        }
        try? await session.writeStdout(bytes("out:") + all)
        if options.stderr { try? await session.writeStderr(bytes("err:") + all) }
        await session.finish(exchange.request.path == "/fail" ? .failed("no \"shell\"") : .exited(code: 3))
    }

    @Test(arguments: ["v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io", "v4.base64.channel.k8s.io"])
    func webSocketSessionsCarryEveryChannel(name: String) async throws {
        try await withServer(handler: RemoteCommandTests.shell) { client, endpoint in
            let socket = try await client.webSocket(
                HTTPClientRequest("GET", endpoint, "/?stdin=true&stdout=true&stderr=true"), protocols: [name])
            let base64 = name.contains("base64")
            if base64 {
                try await socket.send(bytes("0") + Base64Text.encode(bytes("hi\u{4}")), text: true)
            } else if name == "v5.channel.k8s.io" {
                try await socket.send([0] + bytes("hi"))
                try await socket.send([255, 0])
            } else {
                try await socket.send([0] + bytes("hi\u{4}"))
            }
            var channels: [UInt8: String] = [:]
            while let message = try await socket.receive() {
                guard let first = message.bytes.first else { continue }
                let data = Array(message.bytes.dropFirst())
                channels[base64 ? first - 48 : first, default: ""] += text(base64 ? Base64Text.decode(data) ?? [] : data)
            }
            #expect(channels[1]?.hasPrefix("out:hi") == true)
            #expect(channels[2]?.hasPrefix("err:hi") == true)
            if name.hasPrefix("v") {
                #expect(channels[3]?.contains(#""reason":"ExitCode","message":"3""#) == true)
            } else {
                #expect(channels[3] == "command terminated with non-zero exit code: exit status 3")
            }
        }
    }

    @Test(arguments: ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io"])
    func spdySessionsCarryEveryStream(name: String) async throws {
        try await withServer(.tls1, handler: RemoteCommandTests.shell) { client, endpoint in
            let resizes = name != "v2.channel.k8s.io"
            let query = resizes ? "stdin=true&stdout=true&tty=true" : "stdin=true&stdout=true"
            let connection = try await client.spdy(HTTPClientRequest("POST", endpoint, "/fail?\(query)"), protocols: [name])
            let error = try connection.open(["streamType": "error"])
            let stdin = try connection.open(["streamType": "stdin"])
            let stdout = try connection.open(["streamType": "stdout"])
            if resizes { try await connection.open(["streamType": "resize"]).write(bytes("{\"Width\":80,\"Height\":24}\n")) }
            try await stdin.write(bytes("hi"))
            await stdin.closeWrite()
            func all(_ stream: SPDYStream) async throws -> String {
                var out: [UInt8] = []
                while let chunk = try await stream.read() { out += chunk }
                return text(out)
            }
            #expect(try await all(stdout) == (resizes ? "80x24 out:hi" : "out:hi"))
            let status = try await all(error)
            if name == "v4.channel.k8s.io" {
                #expect(status.contains(#""message":"Internal error occurred: error executing command in container: no \"shell\"""#))
            } else {
                #expect(status == #"error executing command in container: no "shell""#)
            }
        }
    }

    @Test func goneClientsEndTheSession() async throws {
        let ended = AsyncStream<Bool>.makeStream()
        try await withServer { exchange in
            guard let session = try? await exchange.acceptRemoteCommand(RemoteCommandOptions(query: exchange.request.queryItems)) else { return }
            let last = await session.readStdin()
            // The end of input and the end of the session come by two ways.
            for _ in 0..<200 where !session.isClosed { try? await Task.sleep(for: .milliseconds(10)) }
            ended.continuation.yield(last == nil && session.isClosed)
            session.abort()
        } _: { client, endpoint in
            let socket = try await client.webSocket(HTTPClientRequest("GET", endpoint, "/?stdin=true"), protocols: ["v5.channel.k8s.io"])
            socket.abort()
            var iterator = ended.stream.makeAsyncIterator()
            #expect(await iterator.next() == true)
        }
    }

    @Test func sizesAreReadFromRunsOfText() {
        #expect(TerminalSize.parse(bytes("{\"Width\":80,\"Height\":24}\n{\"Width\": 1, \"Height\": 2}x")) == [.init(width: 80, height: 24), .init(width: 1, height: 2)])
        #expect(RemoteCommandOptions(query: QueryItem.parse("tty=true&stderr=true&stdout=1")).stderr == false)
    }
}

@Suite struct PortForwardTests {
    @Sendable static func forward(_ exchange: HTTPExchange) async {
        guard let session = try? await exchange.acceptPortForward() else { return exchange.respond(status: 400) }
        while let connection = await session.next() {
            Task {
                guard connection.port != 81 else { return await connection.fail("port 81 is closed") }
                while let chunk = try? await connection.data.read() {
                    try? await connection.data.write(bytes("\(connection.port):") + chunk)
                    if chunk.last == 4 { break }
                }
                await connection.finish()
            }
        }
    }

    @Test(arguments: [false, true]) func pairsOfStreamsAreForwarded(tunnel: Bool) async throws {
        try await withServer(.tls1, handler: PortForwardTests.forward) { client, endpoint in
            let connection =
                tunnel
                ? try await client.spdyTunnel(HTTPClientRequest("GET", endpoint, "/"), protocols: ["portforward.k8s.io"])
                : try await client.spdy(HTTPClientRequest("POST", endpoint, "/"), protocols: ["portforward.k8s.io"])
            for number in 0..<5 {
                let error = try connection.open(["streamType": "error", "port": "8\(number)", "requestID": "\(number)"])
                await error.closeWrite()
                let data = try connection.open(["streamType": "data", "port": "8\(number)", "requestID": "\(number)"])
                if number == 1 {
                    #expect(text(try await error.read() ?? []) == "port 81 is closed")
                    continue
                }
                try await data.write(bytes("hello"))
                #expect(text(try await data.read() ?? []) == "8\(number):hello")
                await data.closeWrite()
                #expect(try await data.read() == nil)
                #expect(try await error.read() == nil)
            }
            await connection.close()
        }
    }

    @Test func webSocketChannelsAreForwarded() async throws {
        try await withServer(handler: PortForwardTests.forward) { client, endpoint in
            let socket = try await client.webSocket(HTTPClientRequest("GET", endpoint, "/?ports=80,81"), protocols: ["v4.channel.k8s.io"])
            var opened: [[UInt8]] = []
            while opened.count < 4, let message = try await socket.receive() { opened.append(message.bytes) }
            #expect(opened == [[0, 80, 0], [1, 80, 0], [2, 81, 0], [3, 81, 0]])
            try await socket.send([0] + bytes("hi\u{4}"))
            var rest: Set<String> = []
            while let message = try await socket.receive() { rest.insert(text(message.bytes)) }
            #expect(rest.contains("\u{0}80:hi\u{4}"))
            #expect(rest.contains("\u{3}port 81 is closed"))
        }
    }

    /// A pod that says its piece and ends, as a web server does after one request.
    @Sendable static func farewell(_ exchange: HTTPExchange) async {
        guard let session = try? await exchange.acceptPortForward(), let connection = await session.next() else { return exchange.respond(status: 400) }
        try? await connection.data.write(bytes("bye"))
        await connection.data.closeWrite()
        while let _ = try? await connection.data.read() {}
        await connection.finish()
    }

    @Test func aPodThatEndsEndsTheWebSocketOfASilentClient() async throws {
        try await withServer(handler: PortForwardTests.farewell) { client, endpoint in
            let socket = try await client.webSocket(HTTPClientRequest("GET", endpoint, "/?ports=80"), protocols: ["v4.channel.k8s.io"])
            var seen: [String] = []
            while let message = try await socket.receive() { seen.append(text(message.bytes)) }
            #expect(seen.contains("\u{0}bye"))
        }
    }
}

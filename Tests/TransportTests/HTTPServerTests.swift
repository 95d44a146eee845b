import Core
import Glibc
import Synchronization
import Testing

@testable import Transport

@Suite struct HTTPServerTests {
    @Test(arguments: Wire.allCases) func bodiesComeBackAsTheyWent(wire: Wire) async throws {
        try await withServer(wire) { exchange in
            let body = (try? await exchange.body(limit: 10 << 20)) ?? []
            exchange.respond(status: 201, headers: ["x-version": String(exchange.request.majorVersion), "x-method": exchange.request.method], body: body)
        } _: { client, endpoint in
            for size in [0, 1, 70_000, 5 << 20] {
                let sent = [UInt8](repeating: 7, count: size)
                let response = try await client.send(HTTPClientRequest("POST", endpoint, "/echo", body: .bytes(sent)))
                #expect(response.status == 201)
                #expect(response.headers["x-version"] == (wire == .tls2 ? "2" : "1"))
                #expect(try await response.body() == sent)
            }
        }
    }

    @Test(arguments: Wire.allCases) func headAnswersHaveNoBody(wire: Wire) async throws {
        try await withServer(wire) { $0.respond(status: 200, body: bytes("hello")) } _: { client, endpoint in
            for _ in 0..<3 {
                let response = try await client.send(HTTPClientRequest("HEAD", endpoint, "/"))
                #expect(response.headers["content-length"] == "5")
                #expect(try await response.body() == [])
            }
        }
    }

    @Test(arguments: Wire.allCases) func largeAnswersArriveWholeInPieces(wire: Wire) async throws {
        let chunks = (0..<200).map { [UInt8](repeating: UInt8($0 & 255), count: 40_000) }
        try await withServer(wire) { $0.respond(status: 200, chunks: chunks.map { $0[...] }) } _: { client, endpoint in
            let response = try await client.send(HTTPClientRequest("GET", endpoint, "/"))
            #expect(response.headers["content-length"] == "8000000")
            #expect(try await response.body() == Array(chunks.joined()))
        }
    }

    @Test(arguments: Wire.allCases) func tooLargeBodiesAreToldBeforeTheyAreRead(wire: Wire) async throws {
        try await withServer(wire) { exchange in
            do {
                _ = try await exchange.body(limit: 1000)
                exchange.respond(status: 200)
            } catch TransportError.bodyTooLarge(let limit) {
                exchange.respond(status: 413, body: bytes("\(limit)"))
            } catch {
                exchange.respond(status: 500)
            }
        } _: { client, endpoint in
            let declared = try await client.send(HTTPClientRequest("PUT", endpoint, "/", body: .bytes([UInt8](repeating: 0, count: 1001))))
            #expect(declared.status == 413)
            let streamed = try await client.send(
                HTTPClientRequest("PUT", endpoint, "/", body: .stream(length: nil) { for _ in 0..<50 { try await $0.write([UInt8](repeating: 0, count: 500)) } }))
            #expect(streamed.status == 413)
        }
    }

    @Test(arguments: Wire.allCases) func streamsInBothDirectionsCarryBackPressure(wire: Wire) async throws {
        try await withServer(wire) { exchange in
            exchange.start(status: 200)
            do {
                while let chunk = try await exchange.nextChunk() { try await exchange.write(chunk) }
                exchange.finish()
            } catch {
                exchange.abort()
            }
        } _: { client, endpoint in
            let piece = [UInt8](repeating: 5, count: 100_000)
            let response = try await client.send(HTTPClientRequest("POST", endpoint, "/", body: .stream(length: nil) { for _ in 0..<50 { try await $0.write(piece) } }))
            var total = 0
            while let chunk = try await response.nextChunk() { total += chunk.count }
            #expect(total == 5_000_000)
        }
    }

    @Test(arguments: Wire.allCases) func enqueuedEventsArriveInOrderAndTheEndIsTold(wire: Wire) async throws {
        let gone = AsyncStream<Void>.makeStream()
        try await withServer(wire) { exchange in
            exchange.start(status: 200, headers: ["content-type": "application/json"])
            exchange.onClose { gone.continuation.yield() }
            for number in 0..<1000 where !exchange.enqueue(bytes("\(number)\n")) { Issue.record("refused") }
            await withCheckedContinuation { continuation in exchange.onClose { continuation.resume() } }
        } _: { client, endpoint in
            let response = try await client.send(HTTPClientRequest("GET", endpoint, "/watch"))
            var received = ""
            while !received.hasSuffix("999\n"), let chunk = try await response.nextChunk() { received += text(chunk) }
            #expect(received == (0..<1000).map { "\($0)\n" }.joined())
            response.cancel()
            var iterator = gone.stream.makeAsyncIterator()
            await iterator.next()
        }
    }

    @Test(arguments: Wire.allCases) func slowWatchersAreRefusedAtTheLimit(wire: Wire) async throws {
        let refused = AsyncStream<Int>.makeStream()
        try await withServer(wire) { exchange in
            exchange.start(status: 200)
            let event = [UInt8](repeating: 1, count: 100_000)
            var accepted = 0
            while accepted < 100_000, exchange.enqueue(event, limit: 1 << 20) {
                accepted += 1
                if accepted % 5 == 0 { try? await Task.sleep(for: .milliseconds(2)) }
            }
            refused.continuation.yield(accepted)
            exchange.abort()
        } _: { client, endpoint in
            let response = try await client.send(HTTPClientRequest("GET", endpoint, "/watch"))
            var iterator = refused.stream.makeAsyncIterator()
            let accepted = try #require(await iterator.next())
            #expect(accepted < 1000)
            response.cancel()
        }
    }

    @Test(arguments: Wire.allCases) func filesAreSentFromAnyOffset(wire: Wire) async throws {
        let path = "/tmp/transport-\(Identifier.suffix(12))"
        let content = (0..<700_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        unlink(path)
        defer { Glibc.close(descriptor) }
        #expect(content.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } == content.count)
        try await withServer(wire) { exchange in
            exchange.start(status: 206, headers: ["content-length": "\(content.count - 100)"])
            do {
                try await exchange.sendFile(descriptor: descriptor, offset: 100, count: content.count - 100)
                exchange.finish()
            } catch {
                exchange.abort()
            }
        } _: { client, endpoint in
            let response = try await client.send(HTTPClientRequest("GET", endpoint, "/"))
            #expect(try await response.body() == Array(content[100...]))
        }
        #expect(fcntl(descriptor, F_GETFD) >= 0)
    }

    @Test(arguments: Wire.allCases) func handlersWithoutAnswerGiveServerErrorAndBrokenStreamsAreSeen(wire: Wire) async throws {
        try await withServer(wire) { exchange in
            if exchange.request.path == "/half" {
                exchange.start(status: 200)
                try? await exchange.write(bytes("half"))
            }
        } _: { client, endpoint in
            #expect(try await client.send(HTTPClientRequest("GET", endpoint, "/none")).status == 500)
            let half = try await client.send(HTTPClientRequest("GET", endpoint, "/half"))
            await #expect(throws: TransportError.closed) { try await half.body() }
        }
    }

    @Test(arguments: Wire.allCases) func manyRequestsAtOnceAllGetTheirOwnAnswer(wire: Wire) async throws {
        try await withServer(wire) { exchange in
            if exchange.request.path.hasSuffix("7") { try? await Task.sleep(for: .milliseconds(5)) }
            exchange.respond(status: 200, body: bytes(exchange.request.path))
        } _: { client, endpoint in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<300 {
                    group.addTask {
                        let response = try await client.send(HTTPClientRequest("GET", endpoint, "/\(number)"))
                        #expect(text(try await response.body()) == "/\(number)")
                    }
                }
                try await group.waitForAll()
            }
        }
    }
}

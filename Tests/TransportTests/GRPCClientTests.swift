import Core
import Testing

@testable import Transport

/// Calls over a unix socket against a server of this program that answers as gRPC servers do.
@Suite struct GRPCClientTests {
    @discardableResult
    private func withServer<T>(_ handler: @escaping @Sendable (HTTPExchange) async -> Void, _ body: (GRPCClient) async throws -> T) async throws -> T {
        let directory = "/tmp/jangada-grpc-\(Identifier.uuid())"
        try FileSystem.makeDirectories(directory, mode: 0o700)
        let server = HTTPServer(listeners: [.unix(path: "\(directory)/s", mode: 0o600)], handler: ClosureHandler(body: handler))
        try await server.start()
        let client = GRPCClient(unixPath: "\(directory)/s")
        let result: Result<T, any Error>
        do { result = .success(try await body(client)) } catch { result = .failure(error) }
        client.close()
        await server.shutdown(grace: .milliseconds(200))
        try FileSystem.removeTree(directory)
        return try result.get()
    }

    @Test func aMessageGoesThereAndBack() async throws {
        let answer = try await withServer({ exchange in
            let body = (try? await exchange.body(limit: 1 << 20)) ?? []
            exchange.start(status: 200, headers: ["content-type": "application/grpc"])
            try? await exchange.write([0, 0, 0, 0, 3] + body.suffix(3))
            exchange.finish(trailers: ["grpc-status": "0"])
        }) { try await $0.call("/a.B/C", [1, 2, 3]) }
        #expect(answer == [1, 2, 3])
    }

    @Test func aSocketsPathMayBeLong() async throws {
        let directory = "/tmp/jangada-grpc-\(Identifier.uuid())"
        let deep = "\(directory)/\(String(repeating: "d", count: 120))"
        try FileSystem.makeDirectories(deep, mode: 0o700)
        defer { try? FileSystem.removeTree(directory) }
        let server = HTTPServer(
            listeners: [.unix(path: "\(directory)/s", mode: 0o600)],
            handler: ClosureHandler { $0.respond(status: 200, headers: ["content-type": "application/grpc", "grpc-status": "14"], body: []) })
        try await server.start()
        try FileSystem.rename("\(directory)/s", to: "\(deep)/s")
        let client = GRPCClient(unixPath: "\(deep)/s")
        await #expect { _ = try await client.call("/a.B/C", []) } throws: { ($0 as? GRPCFailure)?.code == 14 }
        client.close()
        await server.shutdown(grace: .milliseconds(200))
    }

    @Test func aFailureAtTheEndIsToldWithItsCode() async throws {
        try await withServer({ exchange in
            exchange.start(status: 200, headers: ["content-type": "application/grpc"])
            exchange.finish(trailers: ["grpc-status": "12", "grpc-message": "unknown%20method"])
        }) { client in
            await #expect { _ = try await client.call("/a.B/C", []) } throws: { error in
                (error as? GRPCFailure)?.description == "rpc error: code = Unimplemented desc = unknown method"
            }
        }
    }

    @Test func aFailureWithoutABodyIsInTheHead() async throws {
        try await withServer({ $0.respond(status: 200, headers: ["content-type": "application/grpc", "grpc-status": "14", "grpc-message": "busy"], body: []) }) { client in
            await #expect { _ = try await client.call("/a.B/C", []) } throws: { ($0 as? GRPCFailure)?.code == 14 }
        }
    }

    @Test func aStreamIsFollowedToItsEnd() async throws {
        var found: [[UInt8]] = []
        try await withServer({ exchange in
            exchange.start(status: 200, headers: ["content-type": "application/grpc"])
            // Messages and what the network delivers at once have nothing to do with each other.
            for part: [UInt8] in [[0, 0, 0, 0, 2, 7], [8, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 9]] { try? await exchange.write(part) }
            exchange.finish(trailers: ["grpc-status": "12", "grpc-message": "done"])
        }) { client in
            await #expect { try await client.follow("/a.B/C", []) { found.append($0) } } throws: { ($0 as? GRPCFailure)?.isUnimplemented == true }
        }
        #expect(found == [[7, 8], [], [9]])
    }

    @Test func noServerIsUnreachable() async throws {
        let client = GRPCClient(unixPath: "/nonexistent/socket")
        await #expect(throws: TransportError.self) { _ = try await client.call("/a.B/C", []) }
    }
}

/// Calls methods of a gRPC server on a unix socket: one message there, one message back. Messages are protobuf in its wire form.
/// Calls share a connection, which is made again when it broke.
package final class GRPCClient: Sendable {
    private let client: HTTPClient
    private let endpoint: HTTPEndpoint
    private static let mostBytes = 16 << 20

    package init(unixPath: String, connectTimeout: Duration = .seconds(10)) {
        var endpoint = HTTPEndpoint(unixPath: unixPath)
        endpoint.speaksHTTP2 = true
        self.endpoint = endpoint
        client = HTTPClient(connectTimeout: connectTimeout)
    }

    /// `method` is `/package.Service/Method`.
    package func call(_ method: String, _ message: [UInt8], timeout: Duration = .seconds(45)) async throws -> [UInt8] {
        let response = try await begin(method, message, timeout)
        let body = try await response.body(limit: GRPCClient.mostBytes)
        if let failure = GRPCFailure(await response.trailers()) { throw failure }
        guard body.count >= 5, body[0] == 0 else { throw GRPCFailure(code: 13, message: "message missing or compressed") }
        let length = GRPCClient.length(body)
        guard body.count == 5 + length else { throw GRPCFailure(code: 13, message: "message of \(body.count - 5) bytes where \(length) were announced") }
        return Array(body[5...])
    }

    /// Each message that the server sends, until it ends the call or the task is cancelled.
    package func follow(_ method: String, _ message: [UInt8], _ each: ([UInt8]) async -> Void) async throws {
        // A server may have nothing to say for long, and some send no head before they do.
        let response = try await begin(method, message, nil)
        var pending: [UInt8] = []
        while let chunk = try await response.nextChunk() {
            pending += chunk
            while pending.count >= 5 {
                let length = GRPCClient.length(pending)
                guard pending[0] == 0, length <= GRPCClient.mostBytes else { throw GRPCFailure(code: 13, message: "message too long or compressed") }
                guard pending.count >= 5 + length else { break }
                await each(Array(pending[5..<5 + length]))
                pending.removeFirst(5 + length)
            }
        }
        if let failure = GRPCFailure(await response.trailers()) { throw failure }
    }

    package func close() { client.close() }

    private func begin(_ method: String, _ message: [UInt8], _ timeout: Duration?) async throws -> HTTPClientResponse {
        let size = message.count
        let head = [0, UInt8(truncatingIfNeeded: size >> 24), UInt8(truncatingIfNeeded: size >> 16), UInt8(truncatingIfNeeded: size >> 8), UInt8(truncatingIfNeeded: size)]
        var request = HTTPClientRequest("POST", endpoint, method, body: .bytes(head + message), timeout: timeout)
        request.headers = ["content-type": "application/grpc", "te": "trailers", "user-agent": "jangada"]
        // A server that is just being started has not begun with anything when the connection breaks.
        let response = try await client.send(request)
        guard response.status == 200 else { throw GRPCFailure(code: 2, message: "unexpected HTTP status code \(response.status)") }
        // A call that failed at once has its end in its head.
        if let failure = GRPCFailure(response.headers) { throw failure }
        return response
    }

    private static func length(_ frame: [UInt8]) -> Int { frame[1..<5].reduce(0) { $0 << 8 | Int($1) } }
}

/// How a server ended a call without an answer.
package struct GRPCFailure: Error, Sendable, CustomStringConvertible {
    /// As gRPC numbers them: 12 is a method that the server does not have.
    package let code: Int
    package let message: String
    package var isUnimplemented: Bool { code == 12 }

    init(code: Int, message: String) {
        self.code = code
        self.message = message
    }

    /// Nil for a call that succeeded, or headers that do not say.
    init?(_ headers: HTTPHeaders) {
        guard let code = headers["grpc-status"].flatMap({ Int($0) }), code != 0 else { return nil }
        self.init(code: code, message: GRPCFailure.decoded(headers["grpc-message"] ?? ""))
    }

    private static func decoded(_ text: String) -> String { PercentEncoding.decode(text) }

    private static let names = [
        "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied", "ResourceExhausted",
        "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
    ]

    package var description: String {
        "rpc error: code = \(GRPCFailure.names.indices.contains(code) ? GRPCFailure.names[code] : "Code(\(code))") desc = \(message)"
    }
}

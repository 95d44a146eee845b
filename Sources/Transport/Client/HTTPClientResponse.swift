/// The head of an answer and its body as it comes. Letting go of one before its end breaks the transfer off.
package final class HTTPClientResponse: Sendable {
    package let status: Int
    package let headers: HTTPHeaders
    private let exchange: ClientExchange

    init(status: Int, headers: HTTPHeaders, exchange: ClientExchange) {
        self.status = status
        self.headers = headers
        self.exchange = exchange
    }

    deinit { exchange.cancel() }

    package var isSuccess: Bool { (200..<300).contains(status) }

    /// The next bytes, nil at the end. The server is slowed down to the pace of these calls. Throws `.closed` where the
    /// body breaks off; a cancelled task ends the transfer.
    package func nextChunk() async throws -> [UInt8]? {
        try await withTaskCancellationHandler {
            try await exchange.nextChunk()
        } onCancel: {
            exchange.cancel()
        }
    }

    /// The whole body; throws `.bodyTooLarge` and ends the transfer when it is longer than `limit`.
    package func body(limit: Int = 64 << 20) async throws -> [UInt8] {
        var whole: [UInt8] = []
        while let chunk = try await nextChunk() {
            guard whole.count + chunk.count <= limit else {
                exchange.cancel()
                throw TransportError.bodyTooLarge(limit: limit)
            }
            if whole.isEmpty { whole = chunk } else { whole += chunk }
        }
        return whole
    }

    /// What came after the body; to be asked for after its end. HTTP/2 only.
    package func trailers() async -> HTTPHeaders { await exchange.endTrailers() }

    package func cancel() { exchange.cancel() }
}

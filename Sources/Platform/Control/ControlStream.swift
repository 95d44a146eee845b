import Synchronization
import Transport
import Tree

/// A streamed answer: any number of lines `{"progress": text}`, then exactly one `{"result": …}` or `{"error": …}`.
struct ControlStream: Sendable {
    let exchange: HTTPExchange

    /// Runs `body` and answers with what becomes of it. A client that goes away cancels it.
    static func run(_ exchange: HTTPExchange, _ body: @escaping @Sendable (ControlStream) async throws -> Node) async {
        exchange.start(status: 200, headers: ["content-type": "application/x-ndjson"])
        let stream = ControlStream(exchange: exchange)
        let work = Task { try await body(stream) }
        exchange.onClose { work.cancel() }
        do {
            try await exchange.write(line("result", try await work.value))
            exchange.finish()
        } catch TransportError.closed where exchange.isClosed {
            exchange.abort()
        } catch {
            try? await exchange.write(line("error", ControlFailure(error).node))
            exchange.finish()
        }
    }

    /// Never waits: of a client that does not read, the lines are dropped.
    func progress(_ text: String) { _ = exchange.enqueue(ControlStream.line("progress", .string(text))) }

    private static func line(_ key: String, _ value: Node) -> [UInt8] {
        // An explicit null stays, so that a result of nothing is still a result.
        var object = Node.emptyMap
        if value.isNull { object.setNull(key) } else { object[key] = value }
        return JSONWriter.write(object) + [0x0A]
    }
}

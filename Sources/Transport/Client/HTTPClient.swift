/// HTTP/1.1 and HTTP/2 towards any number of endpoints, with one idea of whom to trust. Redirects, retries and
/// authentication are the caller's. Connections are kept and shared.
package final class HTTPClient: Sendable {
    /// Makes the connection for an endpoint, for instance in another network namespace; the client owns the descriptor.
    package typealias Connector = @Sendable (HTTPEndpoint) async throws -> Int32

    private let pool: ConnectionPool

    package init(
        tls: ClientTLS = ClientTLS(), http2: Bool = true, connectTimeout: Duration = .seconds(30), idleTimeout: Duration = .seconds(90),
        loops: EventLoops = .shared, connector: Connector? = nil
    ) {
        let dialer = Dialer(loops: loops, tls: tls, connector: connector, connectTimeout: connectTimeout)
        pool = ConnectionPool(dialer: dialer, http2: http2, idleTimeout: idleTimeout)
    }

    deinit { pool.close() }

    /// Sends a request and returns with the answer's head. Where a connection turns out to be dead before anything was sent,
    /// another takes the request; where a kept one is dead before any answer, only a request that may be repeated.
    package func send(_ request: HTTPClientRequest) async throws -> HTTPClientResponse {
        for attempt in 0... {
            var isKept = false
            do {
                let (connection, reused) = try await pool.checkout(request.endpoint)
                isKept = reused
                let exchange = ClientExchange(request, connection: connection, upgrades: false)
                if case .response(let status, let headers) = try await exchange.perform() {
                    return HTTPClientResponse(status: status, headers: headers, exchange: exchange)
                }
            } catch is ConnectionGone where attempt < HTTPClient.attempts && !Task.isCancelled {
                continue
            } catch TransportError.closed where isKept && request.isRepeatable && attempt < HTTPClient.attempts && !Task.isCancelled {
                continue
            } catch is ConnectionGone {
                throw TransportError.closed
            }
            break
        }
        throw TransportError.closed
    }

    /// How often a request goes to another connection.
    private static let attempts = 3

    /// What became of an upgrade: a stream, or the server's ordinary answer.
    package enum UpgradeOutcome: Sendable {
        case upgraded(status: Int, headers: HTTPHeaders, stream: ChannelByteStream)
        case refused(HTTPClientResponse)
    }

    /// Sends a request with `Connection: Upgrade` on a connection of its own (always HTTP/1.1).
    package func upgrade(_ request: HTTPClientRequest) async throws -> UpgradeOutcome {
        for attempt in 0... {
            do {
                let exchange = ClientExchange(request, connection: try await pool.own(request.endpoint), upgrades: true)
                switch try await exchange.perform() {
                case .upgraded(let status, let headers, let stream): return .upgraded(status: status, headers: headers, stream: stream)
                case .response(let status, let headers): return .refused(HTTPClientResponse(status: status, headers: headers, exchange: exchange))
                }
            } catch is ConnectionGone where attempt < HTTPClient.attempts && !Task.isCancelled {
                continue
            } catch is ConnectionGone {
                break
            }
        }
        throw TransportError.closed
    }

    /// Closes idle connections; running requests go on to their end.
    package func close() { pool.close() }
}

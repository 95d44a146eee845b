import Core
import Glibc
import NIOPosix
import Testing

@testable import Transport

/// A handler made of a closure.
struct ClosureHandler: HTTPHandler {
    let body: @Sendable (HTTPExchange) async -> Void
    func handle(_ exchange: HTTPExchange) async { await body(exchange) }
}

/// An authority that all tests share: making one costs little, but not nothing.
enum TestIdentities {
    static let authority: CertificateAuthority? = try? CertificateAuthority.create(commonName: "test authority")

    static func server(_ dns: [String] = ["localhost"], addresses: [String] = ["127.0.0.1"]) throws -> TLSIdentity {
        try #require(authority).issueServer(commonName: dns[0], dns: dns, addresses: addresses)
    }

    static func roots() throws -> [UInt8] { try #require(authority).identity.certificatePEM }
}

/// The ways a client reaches a server in these tests.
enum Wire: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case plain1
    case tls1
    case tls2

    var testDescription: String { rawValue }
}

/// Runs `body` against a server on a free port, and ends the server whatever happens.
func withServer<T>(
    _ wire: Wire = .plain1, limits: HTTPServerLimits = HTTPServerLimits(), clientCertificates: Bool = false,
    handler: @escaping @Sendable (HTTPExchange) async -> Void, _ body: (HTTPClient, HTTPEndpoint) async throws -> T
) async throws -> T {
    let tls = wire == .plain1 ? nil : try ServerTLS(identity: try TestIdentities.server(), requestClientCertificates: clientCertificates)
    let server = HTTPServer(
        listeners: [.tcp(host: "127.0.0.1", port: 0)], tls: tls, limits: limits, handler: ClosureHandler(body: handler))
    try await server.start()
    let client = HTTPClient(tls: ClientTLS(roots: try TestIdentities.roots()), http2: wire == .tls2)
    let endpoint = HTTPEndpoint(isTLS: wire != .plain1, host: "127.0.0.1", port: server.port)
    do {
        let result = try await body(client, endpoint)
        client.close()
        await server.shutdown(grace: .milliseconds(200))
        return result
    } catch {
        client.close()
        await server.shutdown(grace: .milliseconds(200))
        throw error
    }
}

/// A blocking loopback socket for bytes no proper client would send.
struct RawSocket {
    let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port)).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard connected == 0 else { throw SystemFailure("connect") }
        var timeout = timeval(tv_sec: 5, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    }

    func send(_ text: String) { _ = text.withCString { Glibc.write(descriptor, $0, strlen($0)) } }

    /// Sends that many zeros; returns how many the other side let in.
    func send(zeros count: Int) async -> Int {
        let descriptor = descriptor
        return (try? await NIOThreadPool.singleton.runIfActive {
            let piece = [UInt8](repeating: 0, count: 1 << 16)
            var sent = 0
            while sent < count {
                let written = Glibc.send(descriptor, piece, min(piece.count, count - sent), Int32(MSG_NOSIGNAL))
                if written <= 0 { break }
                sent += written
            }
            return sent
        }) ?? 0
    }

    /// Reads until the other side closes, `stop` has come, or five seconds have passed.
    func read(until stop: String? = nil) async -> String {
        // Not on the pool of Swift's tasks: the server under test may need its threads.
        let descriptor = descriptor
        let text = try? await NIOThreadPool.singleton.runIfActive { RawSocket.blockingRead(descriptor, stop) }
        return text ?? ""
    }

    private static func blockingRead(_ descriptor: Int32, _ stop: String?) -> String {
        var out: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Glibc.read(descriptor, &piece, piece.count)
            if count <= 0 { break }
            out += piece[0..<count]
            if let stop, String(decoding: out, as: UTF8.self).contains(stop) { break }
        }
        return String(decoding: out, as: UTF8.self)
    }

    func close() { _ = Glibc.close(descriptor) }
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

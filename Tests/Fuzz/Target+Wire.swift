import Core
import Glibc
import Transport

extension Target {
    private static let upgrade = "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n\r\n"
    private static let spdy = "POST /spdy HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\nContent-Length: 0\r\n\r\n"

    private static let requests = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /x?y=z HTTP/1.1\r\nHost: b\r\nAccept: */*\r\n\r\n", "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "PUT /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: a\r\n\r\n", "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "OPTIONS * HTTP/1.1\nHost: a\nContent-Length: 0\n\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    ]

    private static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
        let count = payload.count
        return [UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags, UInt8(stream >> 24), UInt8(stream >> 16 & 255), UInt8(stream >> 8 & 255), UInt8(stream & 255)] + payload
    }

    private static func http2() -> [[UInt8]] {
        let start = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(4, 0, 0, [0, 3, 0, 0, 0, 100, 0, 4, 0, 0, 255, 255])
        let get: [UInt8] = [0x82, 0x86, 0x84, 0x41, 1, 0x61]
        let post: [UInt8] = [0x83, 0x86, 0x44, 2, 0x2F, 0x61, 0x41, 1, 0x61, 0x40, 1, 0x78, 3, 0x79, 0x7A, 0x7A]
        return [
            start + frame(1, 5, 1, get) + frame(1, 5, 3, get) + frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]),
            start + frame(1, 4, 1, post) + frame(0, 0, 1, [1, 2, 3]) + frame(0, 1, 1, []) + frame(8, 0, 0, [0, 0, 255, 255]) + frame(3, 0, 1, [0, 0, 0, 8]),
            start + frame(1, 0, 1, Array(post[..<6])) + frame(9, 4, 1, Array(post[6...])) + frame(2, 0, 1, [0, 0, 0, 0, 16]) + frame(7, 0, 0, [0, 0, 0, 1, 0, 0, 0, 0]),
            start + frame(1, 0x2D, 1, [2, 0, 0, 0, 3, 15] + get + [0, 0]) + frame(0, 8, 1, [1, 1, 0]) + frame(4, 1, 0, []) + frame(5, 4, 1, [0, 0, 0, 2]),
        ]
    }

    private static func masked(_ first: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let mask: [UInt8] = [1, 2, 3, 4]
        let length: [UInt8] = payload.count < 126 ? [0x80 | UInt8(payload.count)] : [0xFE, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        return [first] + length + mask + payload.enumerated().map { $1 ^ mask[$0 % 4] }
    }

    private static func streams() -> [[UInt8]] {
        let block = SPDYHeaderCodec().encode(["streamType": "error"])
        let pairs: [UInt8] = [0x80, 3, 0, 1, 0, 0, 0, UInt8(10 + block.count), 0, 0, 0, 1, 0, 0, 0, 0, 0, 0] + block
        return [
            Array(upgrade.utf8) + masked(0x82, [0, 1, 2]) + masked(0x89, []) + masked(2, [1]) + masked(0x80, [2]) + masked(0x88, [3, 0xE8]),
            Array(upgrade.utf8) + masked(0x81, Array("text".utf8)) + masked(0x82, [UInt8](repeating: 7, count: 300)) + masked(0x8A, [1]),
            Array(spdy.utf8) + pairs + [0, 0, 0, 1, 1, 0, 0, 3, 1, 2, 3] + [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1] + [0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0],
            Array(spdy.utf8) + pairs + [0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 5] + [0x80, 3, 0, 4, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 16, 0] + [0x80, 3, 0, 9, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 16, 0],
        ]
    }

    /// What a server reads before anybody is known: HTTP/1.1, HTTP/2, and what upgrades lead to.
    static func wire() throws -> Target {
        let server = try WireServer()
        return bytes("wire", share: 12, requests.map { Array($0.utf8) } + http2() + streams() + streams(), words: ["\r\n", "\r\n\r\n", "Content-Length: ", "Transfer-Encoding: chunked\r\n", "Host: ", "0\r\n\r\n", "ffffffffffffffff\r\n", "Connection: close\r\n", " HTTP/1.1\r\n", "\u{0}\u{0}\u{0}\u{4}\u{0}", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "A: b\r\n"]) {
            server.give($0)
        }
    }
}

/// A server on loopback whose handler reads all there is.
private final class WireServer: Sendable {
    private let server: HTTPServer
    private let port: Int

    private struct Handler: HTTPHandler {
        func handle(_ exchange: HTTPExchange) async {
            if exchange.request.path == "/socket", let socket = try? await exchange.acceptWebSocket(protocols: ["v4.channel.k8s.io", ""], maximumMessage: 1 << 20) {
                while let message = try? await socket.receive() { if case .binary(let bytes) = message { try? await socket.send(bytes) } }
                await socket.close()
            } else if exchange.request.path == "/spdy", let connection = try? await exchange.acceptSPDY(protocols: ["v4.channel.k8s.io"]) {
                while let stream = await connection.accept() { Task { while (try? await stream.read()) ?? nil != nil {} } }
                await connection.close()
            } else {
                let body = try? await exchange.body(limit: 1 << 20)
                exchange.respond(status: 200, headers: ["content-type": "text/plain"], body: body ?? [])
            }
        }
    }

    init() throws {
        let server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: Handler())
        self.server = server
        let started = Monitor(false)
        Task {
            _ = try? await server.start()
            started.change { $0 = true }
        }
        _ = started.wait { $0 ? true : nil }
        guard let port = server.port else { throw SystemFailure("listen", "127.0.0.1", errno: EADDRINUSE) }
        self.port = port
    }

    /// One connection; whoever answers within a little time is read to the end, and the server must go on.
    func give(_ input: [UInt8]) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return }
        let connection = FileDescriptor(owning: descriptor)
        var limit = timeval(tv_sec: 0, tv_usec: 2000)
        setsockopt(connection.raw, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        // So that a million ports are not left waiting.
        var abort = linger(l_onoff: 1, l_linger: 0)
        setsockopt(connection.raw, SOL_SOCKET, SO_LINGER, &abort, socklen_t(MemoryLayout<linger>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(connection.raw, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        precondition(connected == 0, "the server no longer listens")
        _ = send(connection.raw, input, input.count, Int32(MSG_NOSIGNAL))
        shutdown(connection.raw, Int32(SHUT_WR))
        var buffer = [UInt8](repeating: 0, count: 4096)
        for _ in 0..<8 where recv(connection.raw, &buffer, buffer.count, 0) <= 0 { break }
    }
}

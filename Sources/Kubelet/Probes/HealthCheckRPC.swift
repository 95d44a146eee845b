import Transport
import Tree

/// One call of `grpc.health.v1.Health/Check` over cleartext HTTP/2: the few frames it takes, written by hand.
enum HealthCheckRPC {
    static func ask(_ stream: any ByteStream, service: String, authority: String) async -> ProbeOutcome {
        do {
            try await stream.write(request(service, authority))
            var reader = FrameReader(stream)
            var body: [UInt8] = []
            while let frame = try await reader.next() {
                switch frame.type {
                case 0 where frame.stream == 1: body += frame.payload
                case 4 where frame.flags & 1 == 0: try await stream.write(HealthCheckRPC.frame(type: 4, flags: 1, stream: 0, []))
                case 6 where frame.flags & 1 == 0: try await stream.write(HealthCheckRPC.frame(type: 6, flags: 1, stream: 0, frame.payload))
                case 3, 7: return .failure("error: this server does not implement the grpc health protocol (grpc.health.v1.Health)")
                default: break
                }
                if let status = status(body) { return status == 1 ? .success : .failure("service unhealthy (responded with \(NodePath.quoted(name(status))))") }
                if frame.stream == 1, frame.flags & 1 != 0 { break }
            }
            return .failure("error: this server does not implement the grpc health protocol (grpc.health.v1.Health)")
        } catch {
            return .failure("error: health rpc probe failed: \(error)")
        }
    }

    private static func name(_ status: UInt8) -> String { ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"][Int(min(status, 3))] }

    /// The enum in the answer's message; nil while it is not there whole. An empty message is UNKNOWN, its zero.
    static func status(_ body: [UInt8]) -> UInt8? {
        guard body.count >= 5 else { return nil }
        let length = body[1..<5].reduce(0) { $0 << 8 | Int($1) }
        guard body.count >= 5 + length else { return nil }
        return length >= 2 && body[5] == 8 ? body[6] : 0
    }

    static func request(_ service: String, _ authority: String) -> [UInt8] {
        var headers: [UInt8] = [0x83, 0x86]  // :method POST, :scheme http
        literal(&headers, index: 4, "/grpc.health.v1.Health/Check")
        literal(&headers, index: 1, authority)
        literal(&headers, name: "te", "trailers")
        literal(&headers, name: "content-type", "application/grpc")
        literal(&headers, name: "user-agent", "kube-probe/1.36")
        var message: [UInt8] = []
        if !service.isEmpty { message = [0x0A, UInt8(min(service.utf8.count, 127))] + Array(service.utf8.prefix(127)) }
        let body: [UInt8] = [0, 0, 0, 0, UInt8(message.count)] + message
        return Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + frame(type: 4, flags: 0, stream: 0, []) + frame(type: 1, flags: 4, stream: 1, headers)
            + frame(type: 0, flags: 1, stream: 1, body)
    }

    private static func frame(type: UInt8, flags: UInt8, stream: UInt8, _ payload: [UInt8]) -> [UInt8] {
        [UInt8(payload.count >> 16 & 255), UInt8(payload.count >> 8 & 255), UInt8(payload.count & 255), type, flags, 0, 0, 0, stream] + payload
    }

    /// HPACK literals without indexing, lengths below 127.
    private static func literal(_ out: inout [UInt8], index: UInt8 = 0, name: String = "", _ value: String) {
        out.append(index)
        if index == 0 { out += [UInt8(name.utf8.count)] + Array(name.utf8) }
        let text = Array(value.utf8.prefix(126))
        out += [UInt8(text.count)] + text
    }

    private struct FrameReader {
        let stream: any ByteStream
        var buffer: [UInt8] = []
        init(_ stream: any ByteStream) { self.stream = stream }

        mutating func next() async throws -> (type: UInt8, flags: UInt8, stream: Int, payload: [UInt8])? {
            while true {
                if buffer.count >= 9 {
                    let length = Int(buffer[0]) << 16 | Int(buffer[1]) << 8 | Int(buffer[2])
                    guard length <= 1 << 20 else { return nil }
                    if buffer.count >= 9 + length {
                        let number = buffer[5..<9].reduce(0) { $0 << 8 | Int($1) } & 0x7FFF_FFFF
                        let frame = (buffer[3], buffer[4], number, Array(buffer[9..<(9 + length)]))
                        buffer.removeFirst(9 + length)
                        return frame
                    }
                }
                guard let more = try await stream.read() else { return nil }
                buffer += more
            }
        }
    }
}

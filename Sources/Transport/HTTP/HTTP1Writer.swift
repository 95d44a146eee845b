import NIOCore

/// Writes HTTP/1.1 heads. A value with a line break in it would let its author forge fields, so such bytes become spaces.
enum HTTP1Writer {
    static func statusLine(_ status: Int, into buffer: inout ByteBuffer) {
        buffer.writeStaticString("HTTP/1.1 ")
        buffer.writeString(String(status))
        buffer.writeStaticString(" ")
        buffer.writeString(HTTPStatus.reason(status))
        buffer.writeStaticString("\r\n")
    }

    static func requestLine(_ method: String, _ target: String, into buffer: inout ByteBuffer) {
        buffer.writeString(method)
        buffer.writeStaticString(" ")
        safe(target.isEmpty ? "/" : target, into: &buffer)
        buffer.writeStaticString(" HTTP/1.1\r\n")
    }

    static func field(_ name: String, _ value: String, into buffer: inout ByteBuffer) {
        buffer.writeString(name)
        buffer.writeStaticString(": ")
        safe(value, into: &buffer)
        buffer.writeStaticString("\r\n")
    }

    static func chunkHead(_ count: Int, into buffer: inout ByteBuffer) {
        buffer.writeString(String(count, radix: 16))
        buffer.writeStaticString("\r\n")
    }

    private static func safe(_ text: String, into buffer: inout ByteBuffer) {
        if text.utf8.contains(where: { $0 == 0x0D || $0 == 0x0A || $0 == 0 }) {
            buffer.writeBytes(text.utf8.map { $0 == 0x0D || $0 == 0x0A || $0 == 0 ? 0x20 : $0 })
        } else {
            buffer.writeString(text)
        }
    }
}

/// Bytes in both directions: a hijacked connection, a unix socket, a stream inside SPDY. One reader and one writer at a time;
/// reading and writing may go on at once.
package protocol ByteStream: Sendable {
    /// The next bytes, at least one; nil at the end of what the other side sends. The sender is slowed down to the pace of these calls.
    func read() async throws -> [UInt8]?
    /// Returns when the bytes have left for the kernel or the peer's window. Throws `.closed`.
    func write(_ bytes: [UInt8]) async throws
    /// Says that no more follows; reading goes on.
    func closeWrite() async
    /// Ends both directions at once. Idempotent.
    func close()
}

/// What goes wrong between two ends of a connection. Callers answer with their own words.
package enum TransportError: Error, Sendable, Equatable {
    /// The body is longer than the caller allowed.
    case bodyTooLarge(limit: Int)
    /// The other end went away before the message was whole, or before all was written.
    case closed
    /// The other end broke the protocol; the text says where.
    case malformed(String)
    /// Nothing arrived in the time given.
    case timedOut(String)
    /// The name could not be resolved or no address of it answered.
    case unreachable(String)
    /// The other end refused an upgrade, with this status.
    case upgradeRefused(status: Int)
    /// A TLS handshake did not come about: untrusted, expired, no common version.
    case handshake(String)
    /// A key, certificate or token cannot be read or made.
    case identity(String)
}

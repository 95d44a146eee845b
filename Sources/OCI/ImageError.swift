package import Core

/// Why an image could not be named, fetched, read or kept. `message` is worded as containerd and kubelet word it,
/// so that what `kubectl describe` prints is what an operator can search for.
package struct ImageError: Error, Sendable, CustomStringConvertible {
    package enum Kind: Sendable, Equatable {
        /// The name, digest or manifest does not follow the grammar.
        case invalid
        case notFound
        /// No or wrong credentials.
        case unauthorized
        /// The other side could not be reached, or answered with 5xx.
        case unavailable
        /// Bytes are not what their digest or size says.
        case corrupt
        /// A bound of ours was passed: size, depth, number of entries.
        case limit
        case busy
        case cancelled
        case unsupported
        case system
    }

    package let kind: Kind
    package let message: String
    package let failure: SystemFailure?

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
        failure = nil
    }

    package init(_ failure: SystemFailure) {
        kind = .system
        message = failure.description
        self.failure = failure
    }

    /// The same cause, said of something larger: `"failed to resolve reference …: " + message`.
    package func prefixed(_ prefix: String) -> ImageError { ImageError(kind: kind, message: prefix + message, failure: failure) }

    private init(kind: Kind, message: String, failure: SystemFailure?) {
        self.kind = kind
        self.message = message
        self.failure = failure
    }

    package var description: String { message }

    /// The code that a CRI runtime would give with it, as in `rpc error: code = NotFound desc = …`.
    package var code: String {
        switch kind {
        case .notFound: "NotFound"
        case .invalid: "InvalidArgument"
        case .unavailable: "Unavailable"
        case .limit: "ResourceExhausted"
        case .busy: "Unavailable"
        case .cancelled: "Canceled"
        case .unsupported: "Unimplemented"
        case .unauthorized, .corrupt, .system: "Unknown"
        }
    }
}

/// Runs file calls and gives their failure as an `ImageError`.
func storing<T>(_ body: () throws(SystemFailure) -> T) throws(ImageError) -> T {
    do { return try body() } catch { throw ImageError(error) }
}

import ImageBuilder
import ImageRegistry
import Machinery
import OCI
import Transport
package import Tree

/// Why a command was not done: one line, and where there is one, the next step.
package struct ControlFailure: Error, Sendable, Equatable {
    package let status: Int
    package let message: String
    package let hint: String?

    package init(_ status: Int = 400, _ message: String, hint: String? = nil) {
        self.status = status
        self.message = message
        self.hint = hint
    }

    /// What an error means to a person; its own words where it has some.
    package init(_ error: any Error) {
        switch error {
        case let failure as ControlFailure: self = failure
        case let error as RegistryError: self.init(error.status, error.message)
        case let error as ImageError: self.init(error.kind == .notFound ? 404 : 422, error.message, hint: ControlFailure.hint(error))
        case let error as APIError: self.init(error.code, error.message)
        case let error as BuildError: self.init(422, error.description)
        case TransportError.bodyTooLarge(let limit): self.init(413, "the request is longer than \(limit) bytes")
        case is CancellationError: self.init(499, "cancelled")
        default: self.init(500, "\(error)")
        }
    }

    private static func hint(_ error: ImageError) -> String? {
        error.kind == .unauthorized ? "Credentials of a registry: jangada registry credentials create NAME" : nil
    }

    package var node: Node {
        var node: Node = ["message": .string(message)]
        if let hint { node["hint"] = .string(hint) }
        return node
    }
}

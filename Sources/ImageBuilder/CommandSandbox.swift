/// What a RUN needs of a container runtime. Platform gives the builder one over Containers.
package protocol CommandSandbox: Sendable {
    /// Runs a command over stacked layers to its end, and returns its exit code. What it writes goes to `upper`, in overlayfs' form.
    func run(_ command: SandboxCommand, output: @escaping @Sendable ([UInt8]) -> Void) async throws -> Int32
}

/// Why a command did not start, as the image's author can mend it: no such program, no such user.
package struct CommandFailure: Error, Sendable, CustomStringConvertible {
    package let message: String
    package init(_ message: String) { self.message = message }
    package var description: String { message }
}

package struct SandboxCommand: Sendable {
    /// Unpacked layers, uppermost first.
    package let lower: [String]
    /// A directory of the command's own, on the layers' file system, in which the sandbox may make what it needs beside `upper`.
    package let scratch: String
    /// What the command changes of the layers: an empty directory in `scratch`.
    package var upper: String { "\(scratch)/upper" }
    package let arguments: [String]
    package let environment: [String]
    package let workingDirectory: String
    /// As USER says it: `name`, `uid`, `uid:gid`; empty for root.
    package let user: String
    /// Given to standard input.
    package let input: [UInt8]
    /// `default`, `none` or `host`.
    package let network: String
    /// What `--mount` asks for; nothing of it becomes part of the layer.
    package let mounts: [SandboxMount]
}

/// What stands at a path while a command runs, in place of what the layers have there.
package struct SandboxMount: Sendable {
    package enum Content: Sendable {
        /// Of the machine, made for this command.
        case path(String, isDirectory: Bool)
        case cache(Cache)
        /// Empty, in memory.
        case temporary(size: Int64?)
        case secret(Secret)
    }

    /// A directory that later commands find again as this one leaves it.
    package struct Cache: Sendable {
        package let id: String
        package let sharing: Sharing
        package let mode: UInt32
        package let user: UInt32
        package let group: UInt32
    }

    /// What two commands that name one cache at a time get: both the same, the second another, or the second waits.
    package enum Sharing: String, Sendable { case shared, `private`, locked }

    /// A file that is never on disk.
    package struct Secret: Sendable {
        package let value: [UInt8]
        package let mode: UInt32
        package let user: UInt32
        package let group: UInt32
    }

    package let target: String
    package let content: Content
    package let readOnly: Bool

    init(target: String, _ content: Content, readOnly: Bool = false) {
        self.target = target
        self.content = content
        self.readOnly = readOnly
    }
}

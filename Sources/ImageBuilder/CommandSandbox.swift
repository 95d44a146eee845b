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
}

/// What a RUN needs of a container runtime. Platform gives the builder one over Containers.
package protocol CommandSandbox: Sendable {
    /// Runs a command over stacked layers to its end, and returns its exit code. What it writes goes to `upper`, in overlayfs' form.
    func run(_ command: SandboxCommand, output: @escaping @Sendable ([UInt8]) -> Void) async throws -> Int32
}

package struct SandboxCommand: Sendable {
    /// Unpacked layers, uppermost first.
    package let lower: [String]
    /// An empty directory, on the layers' file system.
    package let upper: String
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

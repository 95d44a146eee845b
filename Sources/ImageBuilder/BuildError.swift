/// Why a build ended, with the line of the Dockerfile that is about it (0: none).
package struct BuildError: Error, Sendable, Equatable, CustomStringConvertible {
    package let line: Int
    package let message: String

    package init(_ line: Int, _ message: String) {
        self.line = line
        self.message = message
    }

    package var description: String { line > 0 ? "Dockerfile:\(line): \(message)" : message }
}

/// What a reader of JSON, YAML or the protobuf wire refuses, worded as upstream's readers word it.
package struct SyntaxError: Error, Sendable, Equatable, CustomStringConvertible {
    package let message: String
    /// Bytes read when the fault was found.
    package let offset: Int
    /// Counted from 1; 0 where lines mean nothing.
    package let line: Int

    package init(_ message: String, offset: Int = 0, line: Int = 0) {
        self.message = message
        self.offset = offset
        self.line = line
    }

    package var description: String { message }
}

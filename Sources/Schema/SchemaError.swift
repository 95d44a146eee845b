/// Where schema text or a custom resource's schema is wrong.
package struct SchemaError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The file, or the path within a custom resource's schema.
    package let place: String
    /// Counted from 1; 0 where there are no lines.
    package let line: Int
    package let message: String

    package init(place: String, line: Int = 0, message: String) {
        self.place = place
        self.line = line
        self.message = message
    }

    package var description: String { line > 0 ? "\(place):\(line): \(message)" : "\(place): \(message)" }
}

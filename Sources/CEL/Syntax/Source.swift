/// The text of an expression, and how positions in it are shown.
struct Source {
    let scalars: [Unicode.Scalar]

    init(_ text: String) { scalars = Array(text.unicodeScalars) }

    /// Line from 1, column from 0.
    func location(_ offset: Int) -> (line: Int, column: Int) {
        var line = 1
        var start = 0
        for index in 0..<max(0, min(offset, scalars.count)) where scalars[index] == "\n" {
            line += 1
            start = index + 1
        }
        return (line, max(0, offset) - start)
    }

    func line(_ number: Int) -> String {
        var current = 1
        var out = String.UnicodeScalarView()
        for scalar in scalars {
            if scalar == "\n" {
                current += 1
                if current > number { break }
            } else if current == number {
                out.append(scalar)
            }
        }
        return String(out)
    }
}

/// What is wrong with an expression, and where. `description` shows the line with a mark under the place, as cel-go does.
package struct ExpressionIssue: Sendable, Equatable {
    package let message: String
    package let offset: Int
    package let display: String

    init(_ message: String, at offset: Int, in source: Source) {
        self.message = message
        self.offset = offset
        guard offset >= 0 else {
            display = "ERROR: <input>:-1:0: \(message)"
            return
        }
        let (line, column) = source.location(offset)
        let text = source.line(line)
        var shown = "ERROR: <input>:\(line):\(column + 1): \(message)"
        if text.unicodeScalars.count <= 16384 {
            var plain = String.UnicodeScalarView()
            for scalar in text.unicodeScalars { plain.append(scalar == "\t" ? " " : scalar) }
            let mark = Array(plain)
            var line = ""
            for index in 0..<column { line += index < mark.count && mark[index].value >= 128 ? "\u{FF0E}" : "." }
            line += column < mark.count && mark[column].value >= 128 ? "\u{FF3E}" : "^"
            shown += "\n | \(String(plain))\n | \(line)"
        }
        display = shown
    }
}

/// Why an expression does not compile: its issues in the order of the text.
package struct CompilationError: Error, Sendable, CustomStringConvertible {
    package let issues: [ExpressionIssue]
    package init(_ issues: [ExpressionIssue]) {
        self.issues = issues.enumerated().sorted { ($0.element.offset, $0.offset) < ($1.element.offset, $1.offset) }.map(\.element)
    }
    package var description: String {
        var lines = issues.prefix(100).map(\.display)
        if issues.count > 100 { lines.append("\(issues.count - 100) more errors were truncated") }
        return lines.joined(separator: "\n")
    }
}

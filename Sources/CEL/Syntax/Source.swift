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

/// What is found wrong with a text. The first hundred findings are kept and the others counted, as cel-go does: a text of nothing but
/// mistakes costs no more than one with a hundred.
struct ExpressionIssues {
    private static let kept = 100

    let source: Source
    private var first: [(offset: Int, message: String)] = []
    private var count = 0

    init(in source: Source) { self.source = source }

    var isEmpty: Bool { count == 0 }

    /// `offset` is that of a scalar, or below 0 for what concerns the whole text.
    mutating func report(_ message: String, at offset: Int) {
        count += 1
        if first.count < ExpressionIssues.kept { first.append((offset, message)) }
    }

    /// All of them in the order of the text.
    var error: CompilationError {
        let ordered = first.enumerated().sorted { ($0.element.offset, $0.offset) < ($1.element.offset, $1.offset) }.map(\.element)
        var lines = ordered.map(display)
        if count > first.count { lines.append("\(count - first.count) more errors were truncated") }
        return CompilationError(description: lines.joined(separator: "\n"))
    }

    /// Shows the line with a mark under the place, as cel-go does.
    private func display(_ issue: (offset: Int, message: String)) -> String {
        guard issue.offset >= 0 else { return "ERROR: <input>:-1:0: \(issue.message)" }
        let (number, column) = source.location(issue.offset)
        let shown = "ERROR: <input>:\(number):\(column + 1): \(issue.message)"
        let line = source.line(number).unicodeScalars.map { $0 == "\t" ? " " : $0 }
        guard line.count <= 16384 else { return shown }
        func isWide(_ index: Int) -> Bool { index < line.count && line[index].value >= 128 }
        var text = String.UnicodeScalarView(line)
        text.append(contentsOf: "\n | ".unicodeScalars)
        for index in 0..<column { text.append(isWide(index) ? "\u{FF0E}" : ".") }
        text.append(isWide(column) ? "\u{FF3E}" : "^")
        return "\(shown)\n | \(String(text))"
    }
}

/// Why an expression does not compile, in the words and the order that cel-go shows.
package struct CompilationError: Error, Sendable, CustomStringConvertible {
    package let description: String
}

/// Where in a tree something is, rendered as upstream renders field paths: `spec.containers[0].image`.
package struct NodePath: Sendable, Hashable, CustomStringConvertible {
    package enum Step: Sendable, Hashable {
        /// A field of an object: `.name`.
        case key(String)
        /// An element of a list: `[3]`.
        case index(Int)
        /// An entry of a map whose keys are data, as labels are: `[app]`.
        case entry(String)
    }

    package private(set) var steps: [Step]

    package init(_ steps: [Step] = []) { self.steps = steps }

    package static let root = NodePath()

    package func child(_ name: String) -> NodePath { NodePath(steps + [.key(name)]) }
    package func element(_ index: Int) -> NodePath { NodePath(steps + [.index(index)]) }
    package func entry(_ key: String) -> NodePath { NodePath(steps + [.entry(key)]) }

    package mutating func push(_ step: Step) { steps.append(step) }
    package mutating func pop() { steps.removeLast() }

    package var isRoot: Bool { steps.isEmpty }

    package var description: String {
        var out = ""
        for step in steps {
            switch step {
            case .key(let name):
                if !out.isEmpty { out += "." }
                out += name
            case .index(let index): out += "[\(index)]"
            case .entry(let key): out += "[\(key)]"
            }
        }
        return out
    }

    /// Go's `strconv.Quote`, for text without exotic unprintable characters.
    package static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{07}": out += "\\a"
            case "\u{08}": out += "\\b"
            case "\u{0B}": out += "\\v"
            case "\u{0C}": out += "\\f"
            default: out += escaped(scalar)
            }
        }
        return out + "\""
    }

    private static func escaped(_ scalar: UnicodeScalar) -> String {
        func hex(_ width: Int) -> String {
            let digits = String(scalar.value, radix: 16)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        if scalar.value < 0x20 || scalar.value == 0x7F { return "\\x" + hex(2) }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .surrogate, .unassigned:
            return scalar.value > 0xFFFF ? "\\U" + hex(8) : "\\u" + hex(4)
        case .spaceSeparator where scalar != " ": return "\\u" + hex(4)
        default: return String(scalar)
        }
    }
}

package import Machinery
import Tree

/// The text in which programs tell their metrics: `name{label="value"} 1.5`, a line each.
package enum PrometheusText {
    /// The sum of a metric's series whose labels a selector matches, in thousandths; nil where there is none.
    package static func milliValue(of name: String, matching selector: LabelSelector, in text: String) -> Int64? {
        var total: Double?
        for line in text.split(whereSeparator: \.isNewline) where line.hasPrefix(name) {
            guard let sample = sample(line.dropFirst(name.count)), selector.matches(sample.labels), sample.value.isFinite else { continue }
            total = (total ?? 0) + sample.value
        }
        guard let total, abs(total) < 9e15 else { return nil }
        return Int64((total * 1000).rounded())
    }

    /// What follows the name; nil where the name goes on.
    private static func sample(_ rest: Substring) -> (labels: [String: String], value: Double)? {
        var rest = rest
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest = rest.dropFirst()
            while let found = label(&rest) { labels[found.0] = found.1 }
            rest = rest.drop { $0 == " " || $0 == "," }
            guard rest.first == "}" else { return nil }
            rest = rest.dropFirst()
        } else if rest.first != " ", rest.first != "\t" {
            return nil
        }
        // A time may follow the value.
        guard let word = rest.split(whereSeparator: { $0 == " " || $0 == "\t" }).first, let value = Double(word) else { return nil }
        return (labels, value)
    }

    private static func label(_ rest: inout Substring) -> (String, String)? {
        rest = rest.drop { $0 == " " || $0 == "," }
        guard let equals = rest.firstIndex(of: "="), rest.first != "}" else { return nil }
        let name = String(rest[..<equals].drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        rest = rest[rest.index(after: equals)...].drop { $0 == " " }
        guard rest.first == "\"" else { return nil }
        rest = rest.dropFirst()
        var value = ""
        while let character = rest.popFirst() {
            if character == "\"" { return (name, value) }
            if character == "\\", let escaped = rest.popFirst() { value.append(escaped == "n" ? "\n" : escaped) } else { value.append(character) }
        }
        return nil
    }
}

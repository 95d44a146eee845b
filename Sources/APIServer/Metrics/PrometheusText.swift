package import Machinery
import Tree

/// The text in which programs tell their metrics: `name{label="value"} 1.5`, a line each.
package enum PrometheusText {
    /// One line: a series and its value, which may be no number.
    package struct Sample: Sendable, Equatable {
        package let name: String
        package let labels: [String: String]
        package let value: Double
    }

    /// Every series of a text; lines that are none are passed over.
    package static func samples(in text: String) -> [Sample] {
        text.split(whereSeparator: \.isNewline).compactMap { line in
            let name = line.prefix { $0 != "{" && $0 != " " && $0 != "\t" }
            guard !name.isEmpty, name.first != "#", let rest = sample(line.dropFirst(name.count)) else { return nil }
            return Sample(name: String(name), labels: rest.labels, value: rest.value)
        }
    }

    /// The sum of a metric's series whose labels a selector matches, in thousandths; nil where there is none.
    package static func milliValue(of name: String, matching selector: LabelSelector, in samples: [Sample]) -> Int64? {
        var total: Double?
        for sample in samples where sample.name == name && sample.value.isFinite && selector.matches(sample.labels) { total = (total ?? 0) + sample.value }
        guard let total, abs(total) < 9e15 else { return nil }
        return Int64((total * 1000).rounded())
    }

    /// What follows the name; nil where that is no sample.
    private static func sample(_ rest: Substring) -> (labels: [String: String], value: Double)? {
        var rest = rest
        var labels: [String: String] = [:]
        if rest.first == "{" {
            rest = rest.dropFirst()
            while let found = label(&rest) { labels[found.0] = found.1 }
            rest = rest.drop { $0 == " " || $0 == "," }
            guard rest.first == "}" else { return nil }
            rest = rest.dropFirst()
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

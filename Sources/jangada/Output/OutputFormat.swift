import ArgumentParser
import Tree

/// How an answer is printed: for people, or for programs.
enum OutputFormat: String, CaseIterable, ExpressibleByArgument {
    case text, json, yaml
}

struct OutputOptions: ParsableArguments {
    @Option(name: .shortAndLong, help: "How to print: text, json or yaml.")
    var output = OutputFormat.text

    /// Prints the data as asked, or what `text` makes of it.
    func print(_ node: Node, _ text: (Node) -> String) {
        switch output {
        case .text: Terminal.output.write(text(node))
        case .json:
            Terminal.output.write(JSONWriter.writePretty(node))
            Terminal.output.line()
        case .yaml: Terminal.output.write(YAMLWriter.write(node))
        }
    }
}

/// Numbers and times as people read them.
enum Words {
    /// `1.5 MB`: powers of ten, as image sizes are usually given.
    static func bytes(_ count: Int64) -> String {
        var value = Double(count)
        for unit in ["B", "kB", "MB", "GB"] {
            if value < 999.95 { return unit == "B" ? "\(count) B" : "\(decimal(value, 1)) \(unit)" }
            value /= 1000
        }
        return "\(decimal(value, 1)) TB"
    }

    /// `0.42 s`, `12.3 s`, `3 min 05 s`.
    static func duration(_ duration: Duration) -> String {
        let (whole, rest) = duration.components
        let seconds = Double(whole) + Double(rest) / 1e18
        if seconds < 10 { return "\(decimal(seconds, 2)) s" }
        if seconds < 120 { return "\(decimal(seconds, 1)) s" }
        let second = whole % 60
        return "\(whole / 60) min \(second < 10 ? "0" : "")\(second) s"
    }

    /// `5s`, `3m`, `7h`, `12d`: how old something is, as kubectl has it for long ages.
    static func age(_ seconds: Int64) -> String {
        switch seconds {
        case ..<120: "\(max(0, seconds))s"
        case ..<7200: "\(seconds / 60)m"
        case ..<172_800: "\(seconds / 3600)h"
        default: "\(seconds / 86400)d"
        }
    }

    static func decimal(_ value: Double, _ digits: Int) -> String {
        let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
        let rounded = Int64((value * scale).rounded())
        let fraction = String(rounded % Int64(scale))
        return "\(rounded / Int64(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
    }
}

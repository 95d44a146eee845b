/// An inline file of an instruction (`<<EOF`).
struct Heredoc: Sendable, Equatable {
    let name: String
    let content: String
    /// Not quoted: variables in it are expanded.
    let expands: Bool
}

/// One instruction as written: keyword in capitals, flags taken off, continuation lines joined.
struct Instruction: Sendable, Equatable {
    let line: Int
    let keyword: String
    let flags: [String: [String]]
    let text: String
    /// The exec form, `["a", "b"]`, where the text is one.
    let exec: [String]?
    var heredocs: [Heredoc] = []

    func flag(_ name: String) -> String? { flags[name]?.last }
    /// As history and progress show it.
    var display: String {
        let all = flags.sorted { $0.key < $1.key }.flatMap { name, values in values.map { $0.isEmpty ? "--\(name)" : "--\(name)=\($0)" } }
        return ([keyword] + all + [text]).joined(separator: " ")
    }
}

/// A build stage: what follows one FROM.
struct Stage: Sendable, Equatable {
    let line: Int
    let base: String
    let name: String?
    let platform: String?
    var instructions: [Instruction] = []
}

/// A Dockerfile taken apart; what its words mean is the builder's matter.
struct Dockerfile: Sendable, Equatable {
    let escape: Character
    /// ARGs before the first FROM.
    let globals: [Instruction]
    var stages: [Stage]

    static let keywords: Set<String> = [
        "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "RUN", "SHELL",
        "STOPSIGNAL",
        "USER", "VOLUME", "WORKDIR",
    ]

    init(parsing text: String) throws(BuildError) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map {
            $0.hasSuffix("\r") ? String($0.dropLast()) : String($0)
        }
        escape = try Dockerfile.directives(lines)
        var globals: [Instruction] = []
        var stages: [Stage] = []
        var reader = LineReader(lines: lines, escape: escape)
        while let (number, logical) = reader.next() {
            var instruction = try Dockerfile.instruction(logical, number)
            if ["RUN", "COPY", "ADD"].contains(instruction.keyword) { instruction.heredocs = try reader.heredocs(of: instruction) }
            if instruction.keyword == "FROM" {
                stages.append(try Dockerfile.stage(instruction))
            } else if stages.isEmpty {
                guard instruction.keyword == "ARG" else {
                    throw BuildError(number, "no build stage in current context: \(instruction.keyword) before FROM")
                }
                globals.append(instruction)
            } else {
                stages[stages.count - 1].instructions.append(instruction)
            }
        }
        guard !stages.isEmpty else { throw BuildError(0, "file with no instructions") }
        self.globals = globals
        self.stages = stages
    }

    /// One instruction of a logical line; ONBUILD's argument is parsed again when it fires.
    static func instruction(_ line: String, _ number: Int) throws(BuildError) -> Instruction {
        let word = line.prefix { $0 != " " && $0 != "\t" }
        let keyword = word.uppercased()
        guard keywords.contains(keyword) else {
            throw BuildError(number, "dockerfile parse error on line \(number): unknown instruction: \(word)")
        }
        var rest = line.dropFirst(word.count).trimmed
        var flags: [String: [String]] = [:]
        while rest.hasPrefix("--"), keyword != "ENV", keyword != "LABEL", keyword != "ARG" {
            let flag = rest.prefix { $0 != " " && $0 != "\t" }
            let parts = flag.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard let name = parts.first, !name.isEmpty else { break }
            flags[name, default: []].append(parts.count > 1 ? parts[1] : "")
            rest = rest.dropFirst(flag.count).trimmed
        }
        guard !rest.isEmpty || keyword == "CMD" || keyword == "ENTRYPOINT" else {
            throw BuildError(number, "dockerfile parse error on line \(number): \(keyword) requires at least one argument")
        }
        return Instruction(line: number, keyword: keyword, flags: flags, text: String(rest), exec: Words.exec(rest))
    }

    private static func stage(_ instruction: Instruction) throws(BuildError) -> Stage {
        let words = instruction.text.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
        let named = words.count == 3 && words[1].uppercased() == "AS"
        guard words.count == 1 || named else { throw BuildError(instruction.line, "FROM requires either one or three arguments") }
        if named, words[2].first?.isLetter != true { throw BuildError(instruction.line, "invalid name for build stage: \"\(words[2])\"") }
        return Stage(
            line: instruction.line, base: words[0], name: named ? words[2].lowercased() : nil, platform: instruction.flag("platform"))
    }

    /// `# escape=\`` counts only in the comments before everything else.
    private static func directives(_ lines: [String]) throws(BuildError) -> Character {
        for (index, line) in lines.enumerated() {
            let text = line[...].trimmed
            guard text.hasPrefix("#") else { break }
            let parts = text.dropFirst().split(separator: "=", maxSplits: 1).map { $0.trimmed }
            guard parts.count == 2, parts[0].allSatisfy({ $0.isLetter }) else { break }
            if parts[0].lowercased() == "escape" {
                guard parts[1] == "\\" || parts[1] == "`", let character = parts[1].first else {
                    throw BuildError(index + 1, "invalid escape token '\(parts[1])' does not match ` or \\")
                }
                return character
            }
        }
        return "\\"
    }
}

/// Joins continued lines and drops comments between them.
private struct LineReader {
    let lines: [String]
    let escape: Character
    var at = 0

    mutating func next() -> (Int, String)? {
        while at < lines.count {
            let first = lines[at][...].trimmed
            if first.isEmpty || first.hasPrefix("#") {
                at += 1
                continue
            }
            let number = at + 1
            var joined = ""
            while at < lines.count {
                let line = lines[at]
                at += 1
                let text = line[...].trimmed
                if !joined.isEmpty, text.isEmpty || text.hasPrefix("#") { continue }
                let end = line.reversed().drop { $0 == " " || $0 == "\t" }
                if end.first == escape {
                    joined += String(end.dropFirst().reversed())
                    continue
                }
                joined += line
                break
            }
            return (number, String(joined[...].trimmed))
        }
        return nil
    }

    /// The bodies of the heredocs that the line announces, in order.
    mutating func heredocs(of instruction: Instruction) throws(BuildError) -> [Heredoc] {
        guard instruction.exec == nil else { return [] }
        var found: [Heredoc] = []
        for word in instruction.text.split(separator: " ") where word.hasPrefix("<<") && !word.hasPrefix("<<<") {
            var name = word.dropFirst(2)
            let chomps = name.hasPrefix("-")
            if chomps { name = name.dropFirst() }
            let quoted = name.count > 2 && (name.first == "\"" || name.first == "'") && name.first == name.last
            if quoted { name = name.dropFirst().dropLast() }
            guard let first = name.first, first.isLetter || first == "_" else { continue }
            var content = ""
            var closed = false
            while at < lines.count {
                let line = lines[at]
                at += 1
                let body = chomps ? String(line.drop { $0 == "\t" }) : line
                if body == name {
                    closed = true
                    break
                }
                content += body + "\n"
            }
            guard closed else { throw BuildError(instruction.line, "unterminated heredoc") }
            found.append(Heredoc(name: String(name), content: content, expands: !quoted))
        }
        return found
    }
}

extension Substring {
    var trimmed: Substring {
        var text = self
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }
}

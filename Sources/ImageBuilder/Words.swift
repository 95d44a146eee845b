import Tree

/// Splits and expands the words of an instruction, by the rules of Dockerfiles (which are a shell's, simplified).
struct Words {
    let escape: Character
    let variables: [String: String]
    let line: Int

    /// `["a", "b"]`; nil for anything else, which is then the shell form.
    static func exec(_ text: Substring) -> [String]? {
        guard text.hasPrefix("["), let node = try? JSONReader.read(Array(text.utf8)), case .list(let items) = node else { return nil }
        let words = items.compactMap(\.string)
        return words.count == items.count ? words : nil
    }

    /// Words apart, quotes taken off, variables replaced. A variable's value is never split.
    func split(_ text: String) throws(BuildError) -> [String] {
        var out: [String] = []
        var scanner = Scanner(text)
        while true {
            scanner.skipSpace()
            guard scanner.peek != nil else { return out }
            out.append(try word(&scanner, untilSpace: true))
        }
    }

    /// The whole text as one word.
    func expand(_ text: String) throws(BuildError) -> String {
        var scanner = Scanner(text)
        return try word(&scanner, untilSpace: false)
    }

    /// `a=b c="d e"`, or the old `a rest of line`.
    func pairs(_ text: String) throws(BuildError) -> [(String, String)] {
        let first = text.prefix { $0 != " " && $0 != "\t" }
        if !first.contains("=") {
            let rest = text.dropFirst(first.count).trimmed
            guard !rest.isEmpty else { throw BuildError(line, "\(first) must have two arguments") }
            return [(try expand(String(first)), try expand(String(rest)))]
        }
        return try split(text).map { word throws(BuildError) in
            guard let equals = word.firstIndex(of: "="), equals != word.startIndex else {
                throw BuildError(line, "syntax error: can't find = in \"\(word)\"")
            }
            return (String(word[..<equals]), String(word[word.index(after: equals)...]))
        }
    }

    private struct Scanner {
        let characters: [Character]
        var at = 0
        init(_ text: String) { characters = Array(text) }
        var peek: Character? { at < characters.count ? characters[at] : nil }
        mutating func next() -> Character? {
            guard at < characters.count else { return nil }
            at += 1
            return characters[at - 1]
        }
        mutating func skipSpace() { while let c = peek, c == " " || c == "\t" { at += 1 } }
    }

    private func word(_ scanner: inout Scanner, untilSpace: Bool) throws(BuildError) -> String {
        var out = ""
        while let c = scanner.peek {
            if untilSpace, c == " " || c == "\t" { break }
            scanner.at += 1
            switch c {
            case "'":
                while let inner = scanner.next(), inner != "'" { out.append(inner) }
            case "\"":
                while let inner = scanner.next(), inner != "\"" {
                    if inner == escape, let escaped = scanner.peek, escaped == "\"" || escaped == "$" || escaped == escape {
                        scanner.at += 1
                        out.append(escaped)
                    } else if inner == "$" {
                        out += try variable(&scanner)
                    } else {
                        out.append(inner)
                    }
                }
            case escape: if let escaped = scanner.next() { out.append(escaped) }
            case "$": out += try variable(&scanner)
            default: out.append(c)
            }
        }
        return out
    }

    private func variable(_ scanner: inout Scanner) throws(BuildError) -> String {
        guard scanner.peek == "{" else {
            let name = name(&scanner)
            return name.isEmpty ? "$" : variables[name] ?? ""
        }
        scanner.at += 1
        let name = name(&scanner)
        guard !name.isEmpty else { throw BuildError(line, "bad substitution") }
        var body = ""
        var depth = 1
        while let c = scanner.next() {
            if c == "{" { depth += 1 }
            if c == "}" { depth -= 1 }
            // Each level is read by a call within a call.
            guard depth <= 32 else { throw BuildError(line, "substitutions are nested too deeply") }
            if depth == 0 { return try substitute(name, body) }
            body.append(c)
        }
        throw BuildError(line, "unexpected end of statement while looking for matching }")
    }

    private func substitute(_ name: String, _ body: String) throws(BuildError) -> String {
        guard let first = body.first else { return variables[name] ?? "" }
        let colon = first == ":"
        let rest = colon ? body.dropFirst() : body[...]
        let value = variables[name].flatMap { colon && $0.isEmpty ? nil : $0 }
        let word = String(rest.dropFirst())
        switch rest.first {
        case "-": if let value { return value } else { return try expand(word) }
        case "+": return value == nil ? "" : try expand(word)
        case "?":
            if let value { return value }
            throw BuildError(line, "\(name): \(word.isEmpty ? "not allowed to be unset" : word)")
        default: throw BuildError(line, "unsupported modifier (\(body)) in substitution")
        }
    }

    private func name(_ scanner: inout Scanner) -> String {
        var out = ""
        while let c = scanner.peek, c == "_" || (c.isASCII && (c.isLetter || (!out.isEmpty && c.isNumber))) {
            out.append(c)
            scanner.at += 1
        }
        return out
    }
}

extension Words {
    /// A heredoc's text: variables are replaced, quotes are kept as they are.
    func expandDocument(_ text: String) throws(BuildError) -> String {
        var out = ""
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            out += rest[..<dollar]
            let tail = rest[dollar...]
            var end = tail.index(after: dollar)
            if end < tail.endIndex, tail[end] == "{" {
                guard let close = tail.firstIndex(of: "}") else { break }
                end = tail.index(after: close)
            } else {
                while end < tail.endIndex, tail[end] == "_" || (tail[end].isASCII && (tail[end].isLetter || tail[end].isNumber)) {
                    end = tail.index(after: end)
                }
            }
            out += try expand(String(tail[..<end]))
            rest = tail[end...]
        }
        return out + rest
    }
}

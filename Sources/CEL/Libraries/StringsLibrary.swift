/// The extended functions of strings. Positions count code points.
enum StringsLibrary: FunctionLibrary {
    private typealias Scalars = [Unicode.Scalar]

    static func declare(_ table: inout FunctionTable) {
        positions(&table)
        parts(&table)
        changes(&table)
        table.member("format", "string_format", [.string, .list(.dyn)], .string) { .string(try StringFormatter.format(try $0.string(0), try $0.list(1).values)) }
        table.global("strings.quote", "strings_quote", [.string], .string) { .string(quote(try $0.string(0))) }
        table.global("jsonpatch.escapeKey", "string_jsonpatch_escapeKey_string", [.string], .string) {
            var out = ""
            for character in try $0.string(0).unicodeScalars {
                switch character {
                case "~": out += "~0"
                case "/": out += "~1"
                default: out.unicodeScalars.append(character)
                }
            }
            return .string(out)
        }
    }

    private static func text(_ scalars: some Sequence<Unicode.Scalar>) -> String {
        var out = String.UnicodeScalarView()
        out.append(contentsOf: scalars)
        return String(out)
    }

    private static func positions(_ table: inout FunctionTable) {
        table.member("charAt", "string_char_at_int", [.string, .int], .string) {
            let scalars = Scalars(try $0.string(0).unicodeScalars)
            let index = try $0.int(1)
            guard index >= 0, index <= scalars.count else { throw EvaluationError("index out of range: \(index)") }
            return .string(index == scalars.count ? "" : String(scalars[Int(index)]))
        }
        let first: Overload.Body = { arguments in
            let scalars = Scalars(try arguments.string(0).unicodeScalars)
            let from = arguments.count > 2 ? try arguments.int(2) : 0
            let part = Scalars(try arguments.string(1).unicodeScalars)
            if arguments.count > 2, part.isEmpty { return .int(from) }
            guard from >= 0, from < max(scalars.count, 1) || (arguments.count == 2) else {
                if from == scalars.count { return .int(part.isEmpty ? from : -1) }
                throw EvaluationError("index out of range: \(from)")
            }
            return .int(Int64(Text.find(scalars, part, from: Int(from)) ?? -1))
        }
        table.member("indexOf", "string_index_of_string", [.string, .string], .int, first)
        table.member("indexOf", "string_index_of_string_int", [.string, .string, .int], .int, first)
        let last: Overload.Body = { arguments in
            let scalars = Scalars(try arguments.string(0).unicodeScalars)
            let part = Scalars(try arguments.string(1).unicodeScalars)
            var from = Int64(scalars.count)
            if arguments.count > 2 {
                from = try arguments.int(2)
                if part.isEmpty { return .int(from) }
                if from == scalars.count { return .int(-1) }
                guard from >= 0, from < scalars.count else { throw EvaluationError("index out of range: \(from)") }
            } else if part.isEmpty {
                return .int(from)
            }
            var start = min(Int(from), scalars.count - part.count)
            while start >= 0 {
                if scalars[start..<(start + part.count)].elementsEqual(part) { return .int(Int64(start)) }
                start -= 1
            }
            return .int(-1)
        }
        table.member("lastIndexOf", "string_last_index_of_string", [.string, .string], .int, last)
        table.member("lastIndexOf", "string_last_index_of_string_int", [.string, .string, .int], .int, last)
        let substring: Overload.Body = { arguments in
            let scalars = Scalars(try arguments.string(0).unicodeScalars)
            let start = try arguments.int(1)
            guard arguments.count > 2 else {
                guard start >= 0, start <= scalars.count else { throw EvaluationError("index out of range: \(start)") }
                return .string(text(scalars[Int(start)...]))
            }
            let end = try arguments.int(2)
            if start > end { throw EvaluationError("invalid substring range. start: \(start), end: \(end)") }
            guard start >= 0, start <= scalars.count else { throw EvaluationError("index out of range: \(start)") }
            guard end >= 0, end <= scalars.count else { throw EvaluationError("index out of range: \(end)") }
            return .string(text(scalars[Int(start)..<Int(end)]))
        }
        table.member("substring", "string_substring_int", [.string, .int], .string, substring)
        table.member("substring", "string_substring_int_int", [.string, .int, .int], .string, substring)
    }

    private static func parts(_ table: inout FunctionTable) {
        let split: Overload.Body = { arguments in
            let limit = arguments.count > 2 ? try arguments.int(2) : -1
            return .strings(pieces(try arguments.string(0), try arguments.string(1), limit: limit))
        }
        table.member("split", "string_split_string", [.string, .string], .list(.string), split)
        table.member("split", "string_split_string_int", [.string, .string, .int], .list(.string), split)
        let join: Overload.Body = { arguments in
            let separator = arguments.count > 1 ? try arguments.string(1) : ""
            var out = ""
            for (index, item) in try arguments.list(0).enumerated() {
                guard case .string(let part) = item else { throw EvaluationError("join: invalid input: \(Rendering.text(item))") }
                out += index == 0 ? part : separator + part
            }
            return .string(out)
        }
        table.member("join", "list_join", [.list(.string)], .string, join)
        table.member("join", "list_join_string", [.list(.string), .string], .string, join)
    }

    private static func pieces(_ text: String, _ separator: String, limit: Int64) -> [String] {
        if limit == 0 { return [] }
        if limit == 1 { return [text] }
        let most = limit < 0 ? Int.max : Int(limit)
        if separator.isEmpty {
            let scalars = Array(text.unicodeScalars)
            var out = scalars.prefix(min(most - 1, scalars.count)).map { String($0) }
            if out.count < scalars.count { out.append(self.text(scalars[out.count...])) }
            return out
        }
        var out: [String] = []
        let bytes = Array(text.utf8)
        let part = Array(separator.utf8)
        var start = 0
        while out.count < most - 1, let found = Text.find(bytes, part, from: start) {
            out.append(String(decoding: bytes[start..<found], as: UTF8.self))
            start = found + part.count
        }
        out.append(String(decoding: bytes[start...], as: UTF8.self))
        return out
    }

    private static func changes(_ table: inout FunctionTable) {
        table.member("lowerAscii", "string_lower_ascii", [.string], .string) {
            .string(text(try $0.string(0).unicodeScalars.map { ("A"..."Z").contains($0) ? Unicode.Scalar(UInt8($0.value) + 32) : $0 }))
        }
        table.member("upperAscii", "string_upper_ascii", [.string], .string) {
            .string(text(try $0.string(0).unicodeScalars.map { ("a"..."z").contains($0) ? Unicode.Scalar(UInt8($0.value) - 32) : $0 }))
        }
        table.member("trim", "string_trim", [.string], .string) {
            let scalars = Scalars(try $0.string(0).unicodeScalars)
            let head = scalars.drop { $0.properties.isWhitespace }
            guard let end = head.lastIndex(where: { !$0.properties.isWhitespace }) else { return .string("") }
            return .string(text(head[...end]))
        }
        let replace: Overload.Body = { arguments in
            let limit = arguments.count > 3 ? try arguments.int(3) : -1
            return .string(replaced(try arguments.string(0), try arguments.string(1), try arguments.string(2), limit))
        }
        table.member("replace", "string_replace_string_string", [.string, .string, .string], .string, replace)
        table.member("replace", "string_replace_string_string_int", [.string, .string, .string, .int], .string, replace)
    }

    private static func replaced(_ text: String, _ old: String, _ new: String, _ limit: Int64) -> String {
        if limit == 0 { return text }
        var left = limit < 0 ? Int64.max : limit
        guard !old.isEmpty else {
            var out = ""
            for scalar in text.unicodeScalars {
                if left > 0 {
                    out += new
                    left -= 1
                }
                out.unicodeScalars.append(scalar)
            }
            return left > 0 ? out + new : out
        }
        let pieces = pieces(text, old, limit: left == .max ? -1 : left + 1)
        return pieces.joined(separator: new)
    }

    static func quote(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\u{07}": out += "\\a"
            case "\u{08}": out += "\\b"
            case "\u{0C}": out += "\\f"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case "\u{0B}": out += "\\v"
            case "\\": out += "\\\\"
            case "\"": out += "\\\""
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}

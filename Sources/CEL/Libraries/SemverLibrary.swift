/// A semantic version.
final class VersionValue: OpaqueValue {
    let type = CELType.opaque("kubernetes.Semver", [])
    let numbers: [UInt64]
    private let preRelease: [Substring]

    func equals(_ other: any OpaqueValue) -> Bool { (other as? VersionValue).map { compare($0) == 0 } ?? false }

    /// Nil for what is no version of semver 2.0.0.
    init?(_ text: String) {
        var rest = text[...]
        if let plus = rest.firstIndex(of: "+") {
            let build = rest[rest.index(after: plus)...].split(separator: ".", omittingEmptySubsequences: false)
            guard build.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy(VersionValue.isIdentifierByte) }) else { return nil }
            rest = rest[..<plus]
        }
        var preRelease: [Substring] = []
        if let dash = rest.firstIndex(of: "-") {
            preRelease = rest[rest.index(after: dash)...].split(separator: ".", omittingEmptySubsequences: false)
            for part in preRelease {
                guard !part.isEmpty, part.utf8.allSatisfy(VersionValue.isIdentifierByte) else { return nil }
                if VersionValue.isNumeric(part), part.utf8.count > 1, part.hasPrefix("0") { return nil }
            }
            rest = rest[..<dash]
        }
        let parts = rest.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        var numbers: [UInt64] = []
        for part in parts {
            guard VersionValue.isNumeric(part), part.utf8.count == 1 || !part.hasPrefix("0"), let number = UInt64(part) else { return nil }
            numbers.append(number)
        }
        self.numbers = numbers
        self.preRelease = preRelease
    }

    private static func isNumeric(_ text: Substring) -> Bool { !text.isEmpty && text.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } }
    private static func isIdentifierByte(_ byte: UInt8) -> Bool {
        let lower = byte | 0x20
        return (lower >= 97 && lower <= 122) || (byte >= 48 && byte <= 57) || byte == 45
    }

    func compare(_ other: VersionValue) -> Int {
        for (a, b) in zip(numbers, other.numbers) where a != b { return a < b ? -1 : 1 }
        if preRelease.isEmpty || other.preRelease.isEmpty { return preRelease.isEmpty ? (other.preRelease.isEmpty ? 0 : 1) : -1 }
        for (a, b) in zip(preRelease, other.preRelease) where a != b {
            switch (UInt64(a), UInt64(b)) {
            case (let x?, let y?): return x < y ? -1 : 1
            case (_?, nil): return -1
            case (nil, _?): return 1
            default: return a.utf8.lexicographicallyPrecedes(b.utf8) ? -1 : 1
            }
        }
        let (a, b) = (preRelease.count, other.preRelease.count)
        return a == b ? 0 : (a < b ? -1 : 1)
    }

    /// `v1.2` as `1.2.0`, `01` as `1`.
    static func normalized(_ text: String) -> String {
        let plain = text.hasPrefix("v") ? text.dropFirst() : text[...]
        var parts = plain.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        for index in parts.indices where parts[index].utf8.count > 1 {
            let trimmed = parts[index].drop { $0 == "0" }
            parts[index] = trimmed.isEmpty || !"0123456789".contains(trimmed.first ?? "x") ? "0" + trimmed : String(trimmed)
        }
        if parts.count < 3 {
            // A suffix needs all three numbers.
            if let last = parts.last, last.contains(where: { "+-".contains($0) }) { return text }
            while parts.count < 3 { parts.append("0") }
        }
        return parts.joined(separator: ".")
    }
}

/// Functions of versions.
enum SemverLibrary: FunctionLibrary {
    static func declare(_ table: inout FunctionTable) {
        let version = CELType.opaque("kubernetes.Semver", [])
        let read: Overload.Body = {
            guard let value = try parse($0) else { throw EvaluationError("invalid semver: \(StringsLibrary.quote(try $0.string(0)))") }
            return .opaque(value)
        }
        let test: Overload.Body = { .bool(try parse($0) != nil) }
        table.global("semver", "string_to_semver", [.string], version, read)
        table.global("semver", "string_bool_to_semver", [.string, .bool], version, read)
        table.global("isSemver", "is_semver_string", [.string], .bool, test)
        table.global("isSemver", "is_semver_string_bool", [.string, .bool], .bool, test)
        table.member("isGreaterThan", "semver_is_greater_than", [version, version], .bool) { .bool(try compare($0) > 0) }
        table.member("isLessThan", "semver_is_less_than", [version, version], .bool) { .bool(try compare($0) < 0) }
        table.member("compareTo", "semver_compare_to", [version, version], .int) { .int(Int64(try compare($0))) }
        for (index, name) in ["major", "minor", "patch"].enumerated() {
            table.member(name, "semver_\(name)", [version], .int) {
                guard let number = Int64(exactly: try $0.opaque(0, VersionValue.self).numbers[index]) else { throw EvaluationError.intOverflow }
                return .int(number)
            }
        }
    }

    private static func parse(_ arguments: [Value]) throws(EvaluationError) -> VersionValue? {
        var text = try arguments.string(0)
        if arguments.count > 1, case .bool(true) = arguments[1] { text = VersionValue.normalized(text) }
        return VersionValue(text)
    }

    private static func compare(_ arguments: [Value]) throws(EvaluationError) -> Int {
        try arguments.opaque(0, VersionValue.self).compare(try arguments.opaque(1, VersionValue.self))
    }
}

extension Value {
    /// A semantic version; nil for text that is none.
    package static func version(_ text: String) -> Value? { VersionValue(text).map { .opaque($0) } }

    /// A map of values that no tree holds; of equal keys the first counts.
    package static func map(_ entries: [(String, Value)]) -> Value {
        var table = MapTable()
        for (key, value) in entries { _ = table.insert(.string(key), value) }
        return .map(MapValue(table))
    }
}

/// Header fields in the order they came or were added; names compare without regard to ASCII case.
/// A flat array: for the twenty fields of a usual message a scan is cheaper than any table.
package struct HTTPHeaders: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    package struct Field: Sendable, Equatable {
        package let name: String
        package let value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    package private(set) var fields: [Field]

    package init() { fields = [] }
    package init(_ fields: [(String, String)]) { self.fields = fields.map { Field($0.0, $0.1) } }
    package init(dictionaryLiteral elements: (String, String)...) { self.init(elements) }

    package var isEmpty: Bool { fields.isEmpty }
    package var count: Int { fields.count }

    /// The first value of a field; setting replaces every occurrence, nil removes them.
    package subscript(name: String) -> String? {
        get {
            for field in fields where HTTPHeaders.equal(field.name, name) { return field.value }
            return nil
        }
        set {
            fields.removeAll { HTTPHeaders.equal($0.name, name) }
            if let newValue { fields.append(Field(name, newValue)) }
        }
    }

    package func values(_ name: String) -> [String] { fields.filter { HTTPHeaders.equal($0.name, name) }.map(\.value) }
    package func contains(_ name: String) -> Bool { fields.contains { HTTPHeaders.equal($0.name, name) } }
    package mutating func append(_ name: String, _ value: String) { fields.append(Field(name, value)) }
    package mutating func remove(_ name: String) { fields.removeAll { HTTPHeaders.equal($0.name, name) } }
    package mutating func reserve(_ count: Int) { fields.reserveCapacity(count) }

    /// The members of a comma-separated list field over all its occurrences, trimmed, empty ones left out.
    package func list(_ name: String) -> [String] {
        values(name).flatMap { $0.split(separator: ",").map { String(HTTPHeaders.trimmed($0)) } }.filter { !$0.isEmpty }
    }

    /// Whether a list field (`Connection: keep-alive, Upgrade`) names the token, in any case.
    package func hasToken(_ name: String, _ token: String) -> Bool {
        for field in fields where HTTPHeaders.equal(field.name, name) {
            if HTTPHeaders.equal(field.value, token) { return true }
            for part in field.value.split(separator: ",") where HTTPHeaders.equal(String(HTTPHeaders.trimmed(part)), token) { return true }
        }
        return false
    }

    /// Equality of ASCII text without regard to case.
    package static func equal(_ a: String, _ b: String) -> Bool {
        let left = a.utf8
        let right = b.utf8
        guard left.count == right.count else { return false }
        if a == b { return true }
        for (x, y) in zip(left, right) where lower(x) != lower(y) { return false }
        return true
    }

    static func lower(_ byte: UInt8) -> UInt8 { byte >= 65 && byte <= 90 ? byte | 0x20 : byte }

    static func lowercased(_ name: String) -> String {
        name.utf8.contains { $0 >= 65 && $0 <= 90 } ? String(decoding: name.utf8.map(lower), as: UTF8.self) : name
    }

    static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let first = text.utf8.first, first == 0x20 || first == 0x09 { text.removeFirst() }
        while let last = text.utf8.last, last == 0x20 || last == 0x09 { text.removeLast() }
        return text
    }
}

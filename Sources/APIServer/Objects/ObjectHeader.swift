import Core
import Machinery
import Store
package import Tree

/// What selectors and the garbage collector ask of an object, in a few bytes beside its body, read without decoding the body.
///
/// Layout: entries of (kind byte, key length, key, value length, value); lengths as LEB128. Kinds: 1 label, 2 field.
package struct ObjectHeader: Sendable {
    private let bytes: [UInt8]

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    private static let label: UInt8 = 1
    private static let field: UInt8 = 2

    package static func encode(_ object: Node, fields: [SelectableField]) -> [UInt8] {
        var out: [UInt8] = []
        for (key, value) in object["metadata"]["labels"].fields { put(label, key, value.string ?? "", &out) }
        for field in fields {
            var node = object
            for step in field.path { node = node[step] }
            if !field.otherwise.isEmpty, node.isEmpty { node = field.otherwise.reduce(object) { $0[$1] } }
            put(Self.field, field.name, text(node) ?? field.absent, &out)
        }
        return out
    }

    static func text(_ node: Node) -> String? {
        switch node {
        case .string(let value): value
        case .bool(let value): value ? "true" : "false"
        case .int(let value): String(value)
        default: nil
        }
    }

    private static func put(_ kind: UInt8, _ key: String, _ value: String, _ out: inout [UInt8]) {
        out.append(kind)
        for text in [key, value] {
            var count = text.utf8.count
            while count >= 0x80 {
                out.append(UInt8(truncatingIfNeeded: count) | 0x80)
                count >>= 7
            }
            out.append(UInt8(count))
            out.append(contentsOf: text.utf8)
        }
    }

    package func label(_ key: String) -> String? { value(Self.label, key) }
    package func field(_ name: String) -> String? { value(Self.field, name) }

    private func value(_ kind: UInt8, _ key: String) -> String? {
        var at = 0
        let wanted = key.utf8
        while at < bytes.count {
            let entryKind = bytes[at]
            at += 1
            let keyRange = range(&at)
            let valueRange = range(&at)
            if entryKind == kind, keyRange.count == wanted.count, bytes[keyRange].elementsEqual(wanted) {
                return String(decoding: bytes[valueRange], as: UTF8.self)
            }
        }
        return nil
    }

    private func range(_ at: inout Int) -> Range<Int> {
        var count = 0
        var shift = 0
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            count |= Int(byte & 0x7F) << shift
            shift += 7
            if byte < 0x80 { break }
        }
        let start = at
        at = min(bytes.count, at + count)
        return start..<at
    }
}

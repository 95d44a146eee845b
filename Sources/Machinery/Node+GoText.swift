package import Tree

extension Node {
    /// Go's `%v` of decoded JSON, which some of upstream's messages show.
    package var goText: String {
        switch self {
        case .map(let fields): "map[" + fields.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 }.map { "\($0.0):\($0.1.goText)" }.joined(separator: " ") + "]"
        case .list(let items): "[" + items.map(\.goText).joined(separator: " ") + "]"
        case .null: "<nil>"
        case .string(let text): text
        default: jsonText
        }
    }
}

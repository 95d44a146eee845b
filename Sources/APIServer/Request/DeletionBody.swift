import Machinery
import Schema
import Tree

/// Reads the body of a deletion, which is a `DeleteOptions` of any group or of none.
struct DeletionBody: Sendable {
    private let canonical: Canonical

    init(_ canonical: Canonical) { self.canonical = canonical }

    /// The object that nothing but a `DeleteOptions` is converted from.
    private static let scheme = "pkg/apis/meta/internalversion/scheme/register.go:27"

    func decode(_ bytes: [UInt8], _ mediaType: String) throws(APIError) -> Node {
        let syntax = try RequestBody.syntax(mediaType, allowsProtobuf: true)
        let node: Node
        do throws(SyntaxError) {
            switch syntax {
            case .protobuf: return try ProtobufCodec(canonical).decodeObject(bytes)
            case .yaml: node = try YAMLReader.read(bytes)
            case .json: node = try JSONReader.read(bytes)
            }
        } catch { throw .badRequest("couldn't get version/kind; json parse error: \(error.message)") }
        switch node {
        case .map: break
        case .list: throw .badRequest(Self.noObject("array"))
        case .string: throw .badRequest(Self.noObject("string"))
        case .int, .double: throw .badRequest(Self.noObject("number"))
        case .bool: throw .badRequest(Self.noObject("bool"))
        case .null: return .emptyMap
        }
        let kind = node.kind.isEmpty ? "DeleteOptions" : node.kind
        guard kind == "DeleteOptions" else {
            throw .badRequest("no kind \(FieldError.quoted(kind)) is registered for version \(FieldError.quoted(node.apiVersion)) in scheme \(FieldError.quoted(Self.scheme))")
        }
        guard let message = canonical.graph.message(of: GroupVersionKind(group: "", version: "v1", kind: "DeleteOptions")) else { return node }
        do { return try canonical.decode(node, as: message).node } catch { throw .badRequest(error.description) }
    }

    private static func noObject(_ found: String) -> String {
        "couldn't get version/kind; json parse error: json: cannot unmarshal \(found) into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }"
    }
}

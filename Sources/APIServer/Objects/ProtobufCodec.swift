import Machinery
import Schema
import Tree

/// Kubernetes' protobuf form of whole objects, found by their kind.
struct ProtobufCodec: Sendable {
    private let graph: Graph
    private let transcode: Transcode

    init(_ canonical: Canonical) {
        graph = canonical.graph
        transcode = Transcode(canonical)
    }

    func encodeObject(_ node: Node) throws(APIError) -> [UInt8] {
        guard let gvk = GroupVersionKind(apiVersion: node.apiVersion, kind: node.kind), let id = graph.message(of: gvk) else {
            throw APIError.notAcceptable("\(node.kind) has no protobuf form")
        }
        return transcode.encode(node, as: id)
    }

    func decodeObject(_ bytes: [UInt8]) throws(SyntaxError) -> Node {
        let envelope = try Transcode.open(bytes)
        guard let gvk = GroupVersionKind(apiVersion: envelope.apiVersion, kind: envelope.kind), let id = graph.message(of: gvk) else {
            throw SyntaxError("no kind \"\(envelope.kind)\" is registered for version \"\(envelope.apiVersion)\"")
        }
        var node = try transcode.decode(envelope.raw, as: id, apiVersion: envelope.apiVersion, kind: envelope.kind)
        node["kind"] = .string(envelope.kind)
        node["apiVersion"] = .string(envelope.apiVersion)
        return node
    }

    /// One frame of a protobuf watch stream: a big-endian length, then `WatchEvent{1: type, 2: RawExtension{1: the object}}`.
    func encodeWatchEvent(_ type: String, _ node: Node) throws(APIError) -> [UInt8] {
        let object = try encodeObject(node)
        func varint(_ value: Int) -> [UInt8] {
            var out: [UInt8] = []
            var rest = value
            while rest >= 0x80 {
                out.append(UInt8(truncatingIfNeeded: rest) | 0x80)
                rest >>= 7
            }
            return out + [UInt8(rest)]
        }
        let raw = [0x0A] + varint(object.count)
        let name = Array(type.utf8)
        let head = [0x0A] + varint(name.count) + name + [0x12] + varint(raw.count + object.count) + raw
        let count = head.count + object.count
        var out: [UInt8] = [UInt8(truncatingIfNeeded: count >> 24), UInt8(truncatingIfNeeded: count >> 16), UInt8(truncatingIfNeeded: count >> 8), UInt8(truncatingIfNeeded: count)]
        out.reserveCapacity(count + 4)
        out += head
        out += object
        return out
    }
}

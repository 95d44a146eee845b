import Core
import Machinery
import Tree

/// Pods from the templates of those who make them.
enum PodTemplates {
    /// A pod that an owner controls; `name` is empty where the server shall generate one.
    static func pod(_ template: Node, owner: Node, _ reference: OwnerReference, name: String = "") -> Node {
        var metadata: Node = ["namespace": .string(owner.namespace)]
        if name.isEmpty { metadata["generateName"] = .string(prefix(owner.name)) } else { metadata["name"] = .string(name) }
        for field in ["labels", "annotations", "finalizers"] {
            let value = template["metadata"][field]
            if !value.isEmpty { metadata[field] = value }
        }
        metadata["ownerReferences"] = [reference.node]
        return ["apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]]
    }

    /// A dash after the name where that still makes a valid name.
    private static func prefix(_ name: String) -> String {
        name.utf8.count < 253 ? name + "-" : name
    }

    /// Stable across runs and versions: FNV-1a over the canonical text, then upstream's safe alphabet.
    static func hash(_ template: Node, collisions: Int64?) -> String {
        var hash: UInt32 = 2_166_136_261
        func add(_ byte: UInt8) { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        sorted(template) { JSONWriter.write($0).forEach(add) }
        if let collisions { "\(collisions)".utf8.forEach(add) }
        let alphabet = Array("bcdfghjklmnpqrstvwxz2456789".utf8)
        return String(decoding: "\(hash)".utf8.map { alphabet[Int($0) % alphabet.count] }, as: UTF8.self)
    }

    /// Keys in order, so that equal trees have equal hashes.
    private static func sorted(_ node: Node, _ body: (Node) -> Void) { body(ordered(node)) }

    static func ordered(_ node: Node) -> Node {
        switch node {
        case .map(let fields): .map(Fields(fields.sorted { $0.key < $1.key }.map { ($0.key, ordered($0.value)) }))
        case .list(let items): .list(items.map(ordered))
        default: node
        }
    }
}

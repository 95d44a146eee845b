import Core
import OCI
import Tree

/// What a step made, by everything that the step depends on: the steps before it, its words, the content it copies.
struct BuildCache: Sendable {
    struct Entry: Sendable {
        /// Nil where the step changed only the config.
        let layer: Descriptor?
        let diff: ContentDigest?
        let created: String
    }

    let root: String
    let content: ContentStore

    init(root: String, content: ContentStore) throws(SystemFailure) {
        self.root = root
        self.content = content
        try FileSystem.makeDirectories(root)
    }

    /// Nil where the step was not run yet, or its layer has been collected since.
    func find(_ key: ContentDigest) -> Entry? {
        guard let bytes = try? FileSystem.readFile("\(root)/\(key.hex).json"), let node = try? JSONReader.read(bytes),
            let created = node["created"].string
        else {
            return nil
        }
        guard node.has("layer") else { return Entry(layer: nil, diff: nil, created: created) }
        guard let layer = try? Descriptor(node["layer"], "layer"), let diff = node["diff"].string.flatMap({ ContentDigest($0) }),
            content.touch(layer.digest) != nil
        else { return nil }
        return Entry(layer: layer, diff: diff, created: created)
    }

    func keep(_ key: ContentDigest, _ entry: Entry) throws(SystemFailure) {
        var node: Node = ["created": .string(entry.created)]
        if let layer = entry.layer, let diff = entry.diff {
            node["layer"] = layer.node
            node["diff"] = .string(diff.description)
        }
        try FileSystem.writeAtomically("\(root)/\(key.hex).json", JSONWriter.write(node))
    }

    /// The layers that the newest `count` steps made, which a collection spares; older entries go.
    func live(newest count: Int) throws(SystemFailure) -> Set<ContentDigest> {
        var dated: [(name: String, modified: Timestamp)] = []
        for name in try FileSystem.list(root) where name.hasSuffix(".json") {
            if let status = try FileSystem.status("\(root)/\(name)") { dated.append((name, status.modified)) }
        }
        dated.sort { $0.modified > $1.modified }
        for old in dated.dropFirst(count) { try FileSystem.unlink("\(root)/\(old.name)") }
        return Set(dated.prefix(count).compactMap { ContentDigest("sha256:" + $0.name.dropLast(5)) }.compactMap { find($0)?.layer?.digest })
    }
}

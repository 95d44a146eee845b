package import Tree

/// An image's config: how to start it, and the digests of its unpacked layers. Fields it does not know are kept.
package struct ImageConfig: Sendable {
    package var node: Node

    package init(_ node: Node) { self.node = node }

    package init(_ bytes: [UInt8]) throws(ImageError) {
        guard bytes.count <= Manifest.limit * 2 else {
            throw ImageError(.limit, "invalid image config: larger than \(Manifest.limit * 2) bytes")
        }
        do { node = try JSONText.parse(bytes) } catch { throw error.prefixed("invalid image config: ") }
        guard case .map = node else { throw ImageError(.invalid, "invalid image config: not an object") }
        for text in node["rootfs"]["diff_ids"].list { _ = try ContentDigest(parsing: text.string ?? "") }
    }

    package var bytes: [UInt8] { JSONText.render(node) }

    package var diffIDs: [ContentDigest] { node["rootfs"]["diff_ids"].stringList.compactMap { ContentDigest($0) } }
    package var platform: Platform { Platform(node) }
    package var created: String? { node["created"].string }

    package var user: String { node["config"]["User"].string ?? "" }
    package var environment: [String] { node["config"]["Env"].stringList }
    package var entrypoint: [String] { node["config"]["Entrypoint"].stringList }
    package var command: [String] { node["config"]["Cmd"].stringList }
    package var workingDirectory: String { node["config"]["WorkingDir"].string ?? "" }
    package var labels: [String: String] { node["config"]["Labels"].stringMap }
    package var stopSignal: String? { node["config"]["StopSignal"].string }
    package var volumes: [String] { node["config"]["Volumes"].fields.keys.sorted() }
    package var exposedPorts: [String] { node["config"]["ExposedPorts"].fields.keys.sorted() }

    /// The chain id of stacked layers: names what they look like together (OCI image spec, "Layer ChainID").
    package static func chain(_ diffs: some Sequence<ContentDigest>) -> ContentDigest? { chains(diffs).last }

    /// The chain ids of the first layer, the first two, and so on.
    package static func chains(_ diffs: some Sequence<ContentDigest>) -> [ContentDigest] {
        var chains: [ContentDigest] = []
        for diff in diffs { chains.append(chains.last.map { ContentDigest(of: Array("\($0) \(diff)".utf8)) } ?? diff) }
        return chains
    }
}

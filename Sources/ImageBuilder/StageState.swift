import Core
import OCI
import Tree

/// An image while it is built: its config, its layers, and the key that stands for all that made it.
struct StageState: Sendable {
    var config: Node
    var layers: [Descriptor] = []
    var diffs: [ContentDigest] = []
    var history: [Node] = []
    var key: ContentDigest
    var created: String
    /// ARGs in force.
    var arguments: [String: String] = [:]
    var shell = ["/bin/sh", "-c"]
    /// CMD was given here, not inherited: a later ENTRYPOINT leaves it.
    var ownCommand = false
    /// Triggers of the base image, run first.
    var triggers: [String] = []

    static func scratch(_ platform: Platform) -> StageState {
        StageState(
            config: ["Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]],
            key: ContentDigest(of: Array("scratch \(platform)".utf8)), created: "1970-01-01T00:00:00Z")
    }

    init(config: Node, key: ContentDigest, created: String) {
        self.config = config
        self.key = key
        self.created = created
    }

    init(image: ImageManifest, _ imageConfig: ImageConfig) {
        config = imageConfig.node["config"]
        layers = image.layers
        diffs = imageConfig.diffIDs
        history = imageConfig.node["history"].list
        key = image.config.digest
        created = imageConfig.created ?? "1970-01-01T00:00:00Z"
        triggers = config["OnBuild"].stringList
        config.remove("OnBuild")
        let shell = config["Shell"].stringList
        if !shell.isEmpty { self.shell = shell }
    }

    /// ENV wins over ARG.
    var variables: [String: String] {
        var out = arguments
        for pair in config["Env"].stringList {
            guard let equals = pair.firstIndex(of: "=") else { continue }
            out[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
        }
        return out
    }

    var workingDirectory: String { config["WorkingDir"].string.flatMap { $0.isEmpty ? nil : $0 } ?? "/" }

    func absolute(_ path: String) -> String {
        let joined = path.hasPrefix("/") ? path : "\(workingDirectory)/\(path)"
        var parts: [Substring] = []
        for part in joined.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    mutating func setEnvironment(_ name: String, _ value: String) {
        var all = config["Env"].stringList
        let entry = "\(name)=\(value)"
        if let at = all.firstIndex(where: { $0.hasPrefix("\(name)=") }) { all[at] = entry } else { all.append(entry) }
        config["Env"] = Node(all)
    }

    mutating func add(_ entry: BuildCache.Entry, _ words: String) {
        if let layer = entry.layer, let diff = entry.diff {
            layers.append(layer)
            diffs.append(diff)
        }
        var item: Node = ["created": .string(entry.created), "created_by": .string(words), "comment": "jangada"]
        if entry.layer == nil { item["empty_layer"] = true }
        history.append(item)
        created = entry.created
    }

    func imageConfig(_ platform: Platform) -> ImageConfig {
        var node = platform.node
        node["created"] = .string(created)
        node["config"] = config
        node["rootfs"] = ["type": "layers", "diff_ids": Node(diffs.map(\.description))]
        node["history"] = .list(history)
        return ImageConfig(node)
    }
}

import Core
import Tree

/// What was chosen at the last `up`, so that the next one needs no options.
extension ClusterSettings {
    /// The kept settings; the defaults where none are.
    package init(_ directory: StateDirectory) throws {
        self.init()
        guard FileSystem.exists(directory.settings) else { return }
        let node = try JSONReader.read(try FileSystem.readFile(directory.settings))
        if let value = node["name"].string { name = value }
        if let value = node["port"].int { port = Int(value) }
        if let value = node["registryPort"].int { registryPort = Int(value) }
        if let value = node["nodes"].int { nodes = Int(value) }
        if let value = node["durability"].string.flatMap(Durability.init) { durability = value }
    }

    package func write(_ directory: StateDirectory) throws {
        let node: Node = [
            "name": .string(name), "port": .int(Int64(port)), "registryPort": .int(Int64(registryPort)), "nodes": .int(Int64(nodes)),
            "durability": .string(durability.rawValue),
        ]
        try FileSystem.makeDirectories(directory.root, mode: 0o711)
        try FileSystem.writeAtomically(directory.settings, JSONWriter.writePretty(node))
    }
}

import Core
import Linux
import Tree

/// What was chosen is kept, so that the next start needs no options.
extension ClusterSettings {
    /// What a command asks to be otherwise; nil leaves it as it is.
    package struct Changes: Sendable {
        package var name: String?
        package var port: Int?
        package var registryPort: Int?
        package var nodes: Int?
        package var durability: Durability?
        /// Of the API server, by upstream's name; an empty value is the default again.
        package var api: [String: String] = [:]
        package var controllerManager: Bool?
        package var scheduler: Bool?
        package init() {}
    }

    /// The kept settings; the defaults where none are. The number is also known where only its claim is left.
    package init(_ directory: StateDirectory) throws {
        self.init()
        index = ClusterIndex.of(directory.root)
        guard FileSystem.exists(directory.settings) else { return }
        let node: Node
        do { node = try JSONReader.read(try FileSystem.readFile(directory.settings)) } catch let error as SyntaxError {
            throw ControlFailure(500, "\(directory.settings) is damaged: \(error)", hint: "Delete that file and give the options again: sudo jangada up …")
        }
        if let value = node["name"].string { name = value }
        if let value = node["index"].int { index = Int(value) }
        if let value = node["port"].int { port = Int(value) }
        if let value = node["registryPort"].int { registryPort = Int(value) }
        if let value = node["nodes"].int { nodes = Int(value) }
        if let value = node["durability"].string.flatMap(Durability.init) { durability = value }
        api = APIServerOptions(node["apiServer"])
        if let value = node["controllerManager"].bool { controllerManager = value }
        if let value = node["scheduler"].bool { scheduler = value }
    }

    /// Of a cluster whose file cannot be read: what its directory and its claim tell.
    package init(claimedBy directory: StateDirectory) {
        self.init()
        index = ClusterIndex.of(directory.root)
        let prefix = "\(StateDirectory.defaultRoot)-"
        if directory.root.hasPrefix(prefix) { name = String(directory.root.dropFirst(prefix.count)) }
    }

    /// With what a command asks.
    package func changed(_ changes: Changes) -> ClusterSettings {
        var settings = self
        if let name = changes.name { settings.name = name }
        if let port = changes.port { settings.port = port }
        if let port = changes.registryPort { settings.registryPort = port }
        if let nodes = changes.nodes { settings.nodes = nodes }
        if let durability = changes.durability { settings.durability = durability }
        settings.api = settings.api.changed(changes.api)
        if let value = changes.controllerManager { settings.controllerManager = value }
        if let value = changes.scheduler { settings.scheduler = value }
        return settings
    }

    /// Whether nothing on the machine has this number: neither addresses, nor processes of a cluster whose directory is not to be seen from
    /// here, as in another mount namespace.
    private static func isFree(_ index: Int) throws -> Bool {
        guard try HostRoutes.areFree(index) else { return false }
        guard let hierarchy = try? CgroupHierarchy.detect() else { return true }
        return hierarchy.group(group(index)).processes().isEmpty
    }

    /// The settings to start with, kept from now on: those of the last time with the changes, and for a new cluster a number and ports
    /// that no other cluster has. A port of 0 becomes a free one. Only one process at a time may prepare a cluster.
    package static func prepare(_ directory: StateDirectory, _ changes: Changes) throws -> ClusterSettings {
        let isNew = !FileSystem.exists(directory.settings)
        let kept = try ClusterSettings(directory)
        if !isNew, let name = changes.name, name != kept.name {
            throw ControlFailure(409, "the cluster in \(directory.root) is named \(kept.name), not \(name)", hint: "A second cluster has a directory of its own.")
        }
        var settings = kept.changed(changes)
        // Before the claim, which counts for nothing without it.
        try FileSystem.makeDirectories(directory.root, mode: 0o711)
        settings.index = try ClusterIndex.claim(directory.root, kept: kept.index, isUsable: isFree)
        if isNew, directory.root != StateDirectory.defaultRoot, let index = settings.index {
            if changes.port == nil { settings.port = try freePort(defaultPort + index) }
            if changes.registryPort == nil { settings.registryPort = try freePort(defaultRegistryPort + index) }
        }
        // Chosen once: pods reach the API by the same port on another address.
        if settings.port == 0 { settings.port = try freePort(defaultPort + 100) }
        if settings.registryPort == 0 { settings.registryPort = try freePort(defaultRegistryPort + 100) }
        // What does not work is not kept. Of a daemon that runs the ports are in use, by itself.
        if !DaemonLock.holder(directory).isHeld { try settings.checkPorts() }
        if isNew || settings != kept { try settings.write(directory) }
        return settings
    }

    private func checkPorts() throws {
        for (flag, port) in [("--port", port), ("--registry-port", registryPort)] {
            guard let busy = PortInUse(port) else { continue }
            throw ControlFailure(409, busy.description, hint: "Choose another: \(flag) \(port < 65000 ? port + 1000 : port - 1000)")
        }
    }

    package func write(_ directory: StateDirectory) throws {
        var node: Node = [
            "name": .string(name), "port": .int(Int64(port)), "registryPort": .int(Int64(registryPort)), "nodes": .int(Int64(nodes)),
            "durability": .string(durability.rawValue), "controllerManager": .bool(controllerManager), "scheduler": .bool(scheduler),
        ]
        if !api.values.isEmpty { node["apiServer"] = api.node }
        if let index { node["index"] = .int(Int64(index)) }
        try FileSystem.makeDirectories(directory.root, mode: 0o711)
        try FileSystem.writeAtomically(directory.settings, JSONWriter.writePretty(node))
    }

    /// The first port from `wanted` on that nobody listens on and no other cluster has chosen.
    private static func freePort(_ wanted: Int) throws -> Int {
        let others = ClusterIndex.clusters().values.compactMap { try? ClusterSettings(StateDirectory(root: $0, run: "")) }
        let chosen = Set(others.flatMap { [$0.port, $0.registryPort] })
        let busy = try ListeningPorts.onLoopback()
        guard let port = (wanted..<65536).first(where: { !chosen.contains($0) && busy[$0] == nil }) else {
            throw ControlFailure(507, "no port from \(wanted) on is free")
        }
        return port
    }
}

/// The machine's own routes, as far as clusters' service ranges are concerned.
enum HostRoutes {
    static func areFree(_ index: Int) throws(SystemFailure) -> Bool {
        let range = ClusterSettings.serviceRange(index)
        // A wider route, as to a company's 10.0.0.0/8, is not in the way.
        return try !RouteNetlink().routes().contains { $0.table == 254 && $0.destination.length >= range.length && $0.destination.overlaps(range) }
    }
}

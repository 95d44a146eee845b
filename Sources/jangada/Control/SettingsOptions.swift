import ArgumentParser
import Platform

/// What can be chosen about a cluster; what is not given stays as it was last.
struct SettingsOptions: ParsableArguments {
    @Option(help: "How many nodes (default: as last time, at first 1); with 0 the kubelets are others' to run.")
    var nodes: Int?
    @Option(help: "Port of the API on 127.0.0.1 (default: as last time, at first \(ClusterSettings.defaultPort), and a free one for a further cluster).")
    var port: Int?
    @Option(help: "Port of the registry on 127.0.0.1 (default: as last time, at first \(ClusterSettings.defaultRegistryPort), and a free one for a further cluster).")
    var registryPort: Int?
    @Option(help: ArgumentHelp("Another registry's name that the built-in one answers to; may be given more than once, and is kept.", valueName: "host"))
    var registryAlias: [String] = []
    @Option(help: "How writes reach the disk: durable, relaxed or memory (default: as last time, at first durable).")
    var store: ClusterSettings.Durability?
    @OptionGroup(title: "API server options") var api: APIServerFlags
    @Flag(inversion: .prefixedEnableDisable, help: "The own controllers, or upstream's kube-controller-manager in their place (default: as last time, at first enabled).")
    var controllerManager: Bool?
    @Flag(inversion: .prefixedEnableDisable, help: "The own scheduler, or upstream's kube-scheduler in its place (default: as last time, at first enabled).")
    var scheduler: Bool?

    func validate() throws {
        if let nodes, !(0...100).contains(nodes) { throw ValidationError("--nodes takes 0 to 100.") }
        for (name, port) in [("--port", port), ("--registry-port", registryPort)] {
            if let port, !(0...65535).contains(port) { throw ValidationError("\(name) takes 1 to 65535, or 0 for a free one.") }
        }
        if let port, port == registryPort, port != 0 { throw ValidationError("The API and the registry need two ports.") }
    }

    func changes(named name: String?) -> ClusterSettings.Changes {
        var changes = ClusterSettings.Changes()
        changes.name = name
        changes.nodes = nodes
        changes.port = port
        changes.registryPort = registryPort
        changes.durability = store
        changes.api = api.changes
        changes.controllerManager = controllerManager
        changes.scheduler = scheduler
        return changes
    }
}

extension ClusterSettings.Durability: ExpressibleByArgument {}

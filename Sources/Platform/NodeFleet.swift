import APIServer
import Client
package import Containers
import Core
import HostNetwork
import Kubelet
import Linux
import Logging
import Machinery
import OCI
import Synchronization
import Tree

/// The nodes of a cluster: the network between them, the container runtime beneath them, and a kubelet for each.
package final class NodeFleet: Sendable {
    package struct Options: Sendable {
        package var clusterName = ClusterSettings.defaultName
        /// The cgroup that all of the cluster's are below.
        package var group = "jangada"
        package var nodes = 1
        package init() {}
    }

    private let options: Options
    let directory: StateDirectory
    let view: ClusterView
    package let runtime: ContainerRuntime
    private let network: NetworkBoot
    private let kubelets: [Kubelet]
    /// Where the commands of builds run.
    let builds: BuildSandbox
    let names: Set<String>
    let log = Logger(label: "nodes")
    var clusterName: String { options.clusterName }

    /// Makes or adopts the network and the nodes; kubelets declare what they read, so make it before the view runs.
    init(
        _ options: Options, _ directory: StateDirectory, network: NetworkBoot, view: ClusterView, client: any ClusterClient, images: ImageService,
        streams: NodeStreamsDirectory
    ) throws {
        self.options = options
        self.directory = directory
        self.view = view
        self.network = network
        runtime = try ContainerRuntime(stateDirectory: directory.containers, runtimeDirectory: "\(directory.run)/containers")
        let nodeImages = NodeImages(store: images.images, layers: images.layers, client: images.client)
        let machine = Machine.capacity(directory.root)
        var kubelets: [Kubelet] = []
        var first: NodeNetwork?
        // The first keeps its name when others come and go.
        let names = (0..<options.nodes).map { $0 == 0 ? options.clusterName : "\(options.clusterName)-\($0 + 1)" }
        self.names = Set(names)
        try NodeFleet.removeStrayNetworks(network, besides: self.names)
        for name in names {
            let node = try network.addNode(name)
            if first == nil { first = node }
            var configuration = NodeConfiguration(
                name: name, addresses: ["\(node.address)"], capacity: machine, podsDirectory: "\(directory.pods)/\(name)",
                runtimeDirectory: "\(directory.run)/nodes/\(name)", logsDirectory: "\(directory.logs)/\(name)",
                cgroup: "\(options.group)/\(name)")
            configuration.kubeletDirectory = "\(directory.kubelets)/\(name)"
            configuration.podCIDRs = ["\(node.podRange)"]
            configuration.clusterDNS = ["\(network.plan.dnsAddress)"]
            let kubelet = Kubelet(
                node: configuration, client: client, view: view, runtime: runtime, network: NodePodNetworking(node), images: nodeImages)
            streams.set(name, kubelet)
            kubelets.append(kubelet)
        }
        self.kubelets = kubelets
        builds = BuildSandbox(
            runtime: runtime, pods: first?.pods,
            .init(
                cgroup: BuildSandbox.cgroup(of: options.group), caches: directory.buildCaches, secrets: "\(directory.run)/builds",
                resolver: "\(network.plan.dnsAddress)"))
    }

    /// Takes over the containers that run, and ends the commands of an earlier daemon's builds. Before anything is started.
    func adopt() async throws {
        let adopted = try await runtime.adoptAll()
        log.info("containers adopted", metadata: ["sandboxes": "\(adopted.count)"])
        await builds.removeStray()
    }

    /// Works until cancelled.
    func run() async throws {
        try await retireStrays()
        await withTaskGroup(of: Void.self) { group in
            for kubelet in kubelets { group.addTask { await kubelet.run() } }
        }
    }

    /// Ends what `run` left: nothing when the next daemon is to find it, everything otherwise.
    func stop(keeping: Bool, grace: Duration) async throws {
        network.close()
        guard !keeping else { return }
        if grace > .zero { await endContainers(within: grace) }
        try await runtime.destroyAll()
        try network.destroy()
    }

    /// Tells every container to end, all at once, and waits as long as its pod gives it, but no longer than `limit`.
    private func endContainers(within limit: Duration) async {
        let graces = view.read { state in
            Dictionary(
                state[.pods].objects.values.map { ($0.uid, $0["spec"]["terminationGracePeriodSeconds"].int ?? 30) }, uniquingKeysWith: { first, _ in first })
        }
        await withDiscardingTaskGroup { group in
            for sandbox in runtime.all {
                let grace = min(limit, .seconds(sandbox.labels[Label.podUID].flatMap { graces[$0] } ?? 30))
                for container in sandbox.containers { group.addTask { _ = try? await container.stop(grace: grace) } }
            }
        }
    }
}

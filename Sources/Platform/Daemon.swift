import APIServer
package import Client
import Controllers
package import Core
package import Emulation
import HostNetwork
package import ImageBuilder
import Linux
import Logging
import Machinery
import OCI
import Scheduler
import Schema
import Store
import Transport
import Tree
import Volumes

/// One cluster, whole: its control plane, its nodes, its network and its registry, in one process.
package final class Daemon: Sendable {
    package let directory: StateDirectory
    package let settings: ClusterSettings
    package let plane: ControlPlane
    package let view: ClusterView
    private let controllers: ControllerSet
    let scheduler: SchedulerService?
    private let schedulerEvents: EventRecorder
    package let registry: RegistryService
    package let builder: ImageBuilder
    package let emulation: NodeEmulation
    package let started = Timestamp.now()
    private let nodes: NodeFleet
    private let boot: NetworkBoot
    /// Kept to the end: no other daemon starts on the same directory.
    private let lock: LockFile
    /// How the cluster was asked to end; the first word counts.
    private let ending: AsyncStream<Ending>
    private let end: AsyncStream<Ending>.Continuation
    private let log = Logger(label: "daemon")

    /// Loads what is there. Nothing listens and nothing runs before `run`.
    package init(_ settings: ClusterSettings, _ directory: StateDirectory) throws {
        self.settings = settings
        self.directory = directory
        guard let networkOptions = NetworkBoot.Options(directory, settings), let ranges = settings.ranges, let group = settings.group else {
            throw ControlFailure(500, "the cluster in \(directory.root) has no number on this machine")
        }
        try directory.prepare()
        lock = try DaemonLock.take(directory)
        // SQLite's own word for it is "disk I/O error".
        guard try FileSystem.space(directory.root).free > 1 << 20 else {
            throw ControlFailure(507, "no space is left on the disk of \(directory.root)", hint: "Free some there and start again; nothing is lost.")
        }
        let hostAddress = "\(try NetworkBoot.plan(networkOptions).hostAddress)"
        let pki = try ClusterPKI.load(directory.pki, names: .init(addresses: ["\(ranges.services.address(1))", hostAddress]))
        var options = ControlPlane.Options(location: settings.location(directory))
        options.port = settings.port
        options.api = settings.api
        options.directory = directory
        options.serviceCIDR = "\(ranges.services)"
        // Pods come in by the cluster's own link; with port 0 the two would differ.
        if settings.port != 0 { options.furtherHosts = [hostAddress] }
        options.advertisedAddress = hostAddress
        options.isControllerManager = settings.controllerManager
        plane = try ControlPlane(options, pki: pki)
        view = ClusterView(client: plane.client(as: "system:kube-controller-manager"))
        controllers = ControllerSet(view: view, Daemon.controllerOptions(plane, pki, directory, settings))
        schedulerEvents = EventRecorder(client: plane.client(as: "system:kube-scheduler"), component: "default-scheduler")
        scheduler = settings.scheduler
            ? SchedulerService(view: view, recorder: schedulerEvents, configuration: try Daemon.schedulerConfiguration(directory)) : nil
        emulation = NodeEmulation(view: view)
        // Before their layers are cleared away: they outlive a daemon that was killed.
        try CgroupHierarchy.detect().group(BuildSandbox.cgroup(of: group)).killAllAndWait()
        registry = try RegistryService(directory, port: settings.registryPort, authority: pki.authority)
        for resource in ClusterStatus.resources { view.declare(resource) }
        boot = try NetworkBoot(networkOptions, view: view)
        var fleet = NodeFleet.Options()
        fleet.clusterName = settings.name
        fleet.group = group
        fleet.nodes = settings.nodes
        nodes = try NodeFleet(
            fleet, directory, network: boot, view: view, client: plane.client(as: "system:node"), images: registry.images, streams: plane.streams)
        builder = try ImageBuilder(images: registry.images.images, layers: registry.images.layers, sandbox: nodes.builds)
        registry.images.keepAlive { [builder] in try builder.live() }
        (ending, end) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1))
        self.pki = pki
    }

    private let pki: ClusterPKI

    /// What the owner of the cluster wrote about scheduling, if anything: a `KubeSchedulerConfiguration`.
    private static func schedulerConfiguration(_ directory: StateDirectory) throws -> SchedulerConfiguration {
        guard FileSystem.exists(directory.scheduler) else { return SchedulerConfiguration() }
        return try SchedulerConfiguration(try YAMLReader.read(try FileSystem.readFile(directory.scheduler)))
    }

    private static func controllerOptions(
        _ plane: ControlPlane, _ pki: ClusterPKI, _ directory: StateDirectory, _ settings: ClusterSettings
    ) -> ControllerSet.Options {
        var options = ControllerSet.Options()
        options.isControllerManager = settings.controllerManager
        options.caPEM = String(decoding: pki.authority.identity.certificatePEM, as: UTF8.self)
        options.volumeProviders = [LocalVolumes(root: directory.volumes)]
        options.scaling = plane.scaling
        options.issuer = plane.issuer
        let catalog = plane.catalog
        options.deletable = {
            var seen: Set<String> = []
            // One version of each: the objects are the same.
            return catalog.all.filter { $0.resource.allows("delete") && $0.resource.allows("list") && $0.resource.allows("watch") }
                .filter { $0.isStorageVersion && seen.insert($0.collection).inserted }
                .map { GarbageCollector.Served($0.gvr, isNamespaced: $0.isNamespaced) }
        }
        options.served = { gvk in
            catalog.resource(of: gvk).map { GarbageCollector.Served($0.gvr, isNamespaced: $0.isNamespaced) }
        }
        return options
    }

    /// Ends `run` soon. `keeping`: containers and their network go on for the next daemon.
    package func shutdown(keeping: Bool, grace: Duration = .zero) { end.yield(Ending(keeping: keeping, grace: grace)) }

    /// How a daemon ends: whether its containers go on, and if not, how long they have.
    private struct Ending: Sendable {
        var keeping: Bool
        var grace: Duration
    }

    /// Works until `shutdown`.
    package func run() async throws {
        _ = try await plane.start()
        let server = "https://127.0.0.1:\(plane.port)"
        let config = Kubeconfig.make(name: settings.context, server: server, authorityPEM: pki.authority.identity.certificatePEM, client: pki.admin)
        // A full disk does not keep a cluster from starting: written only where it says something new.
        if (try? Kubeconfig(path: directory.adminKubeconfig))?.node != config.node { try config.write(directory.adminKubeconfig) }
        try registry.dropTransferCredentials()
        _ = try await registry.start()
        try registry.applyAliases()
        try await nodes.adopt()
        let control = ControlAPI.server(self)
        let ending = try await withThrowingTaskGroup(of: Ending?.self) { group in
            for work in [view.run, controllers.run, schedulerEvents.run, scheduler?.run, emulation.run].compactMap(\.self) as [@Sendable () async -> Void] {
                group.addTask {
                    await work()
                    return nil
                }
            }
            group.addTask {
                try await self.nodes.run()
                return nil
            }
            group.addTask {
                await self.boot.run()
                return nil
            }
            try await StandardClass.ensure(view.client)
            _ = try await control.start()
            group.addTask {
                for await ending in self.ending { return ending }
                return Ending(keeping: true, grace: .zero)
            }
            defer { group.cancelAll() }
            while let done = try await group.next() { if let done { return done } }
            return Ending(keeping: true, grace: .zero)
        }
        await control.shutdown()
        await registry.stop()
        try await nodes.stop(keeping: ending.keeping, grace: ending.grace)
        await plane.stop()
        if !ending.keeping { try await Teardown.run(directory, settings) }
        log.info("stopped", metadata: ["keeping": "\(ending.keeping)"])
    }
}

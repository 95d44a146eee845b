import APIServer
package import Client
import Controllers
import Core
import HostNetwork
import Linux
import Logging
import Machinery
import Scheduler
import Schema
import Store
import Transport

/// One cluster, whole: its control plane, its nodes, its network and its registry, in one process.
package final class Daemon: Sendable {
    package let directory: StateDirectory
    package let settings: ClusterSettings
    package let plane: ControlPlane
    package let view: ClusterView
    private let controllers: ControllerSet
    private let scheduler: SchedulerService
    private let schedulerEvents: EventRecorder
    package let registry: RegistryService
    private let nodes: NodeFleet
    private let log = Logger(label: "daemon")

    /// Loads what is there. Nothing listens and nothing runs before `run`.
    package init(_ settings: ClusterSettings, _ directory: StateDirectory) throws {
        self.settings = settings
        self.directory = directory
        try directory.prepare()
        let pki = try ClusterPKI.load(directory.pki, names: .init(addresses: ["10.96.0.1"]))
        var options = ControlPlane.Options(location: settings.location(directory))
        options.port = settings.port
        plane = try ControlPlane(options, pki: pki)
        view = ClusterView(client: plane.client(as: "system:kube-controller-manager"))
        controllers = ControllerSet(view: view, Daemon.controllerOptions(plane, pki))
        schedulerEvents = EventRecorder(client: plane.client(as: "system:kube-scheduler"), component: "default-scheduler")
        scheduler = SchedulerService(view: view, recorder: schedulerEvents)
        registry = try RegistryService(directory, port: settings.registryPort, authority: pki.authority)
        var fleet = NodeFleet.Options()
        fleet.clusterName = settings.name
        fleet.nodes = settings.nodes
        nodes = try NodeFleet(
            fleet, directory, plan: try Daemon.plan(directory), view: view, client: plane.client(as: "system:node"), images: registry.images)
        self.pki = pki
    }

    /// Address ranges that no route of the machine's own uses.
    private static func plan(_ directory: StateDirectory) throws -> NetworkPlan {
        let wanted = NetworkPlan(directory: "\(directory.run)/network")
        guard let plan = try wanted.adapted(to: RouteNetlink()) else {
            throw SystemFailure("route", "10.89.0.0/24", errno: 17, hint: "every address range for nodes is in use on this machine")
        }
        return plan
    }

    private let pki: ClusterPKI

    private static func controllerOptions(_ plane: ControlPlane, _ pki: ClusterPKI) -> ControllerSet.Options {
        var options = ControllerSet.Options()
        options.caPEM = String(decoding: pki.authority.identity.certificatePEM, as: UTF8.self)
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

    /// Works until cancelled; `isReady` is called when the API answers.
    package func run(isReady: @escaping @Sendable () async throws -> Void) async throws {
        _ = try await plane.start()
        let server = "https://127.0.0.1:\(plane.port)"
        try Kubeconfig.make(name: settings.name, server: server, authorityPEM: pki.authority.identity.certificatePEM, client: pki.admin)
            .write(directory.adminKubeconfig)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.view.run() }
            group.addTask { await self.controllers.run() }
            group.addTask { await self.schedulerEvents.run() }
            group.addTask { await self.scheduler.run() }
            _ = try await registry.start()
            group.addTask { try await self.nodes.run() }
            try await isReady()
            try await group.waitForAll()
        }
    }
}

package import Client
package import Containers
import Core
package import Logging
import Machinery
import Schema
import Synchronization
import Tree

/// The agent of one node: keeps the node's object true, and runs the pods that are bound to it. Many of them live in one process.
///
/// Containers outlive it. Before the first kubelet runs, somebody calls `ContainerRuntime.adoptAll()` once; each kubelet then
/// takes over what carries its node's name.
package final class Kubelet: Sendable {
    private struct State {
        var workers: [String: PodWorker] = [:]
        var dirty: Set<ObjectKey> = []
        var pods: Set<ObjectKey> = []
    }

    let parts: KubeletParts
    let view: ClusterView
    private let state = Mutex(State())
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    /// Declares what it reads in the view; make kubelets before the view runs.
    package init(
        node: NodeConfiguration, client: any ClusterClient, view: ClusterView, runtime: ContainerRuntime, network: any PodNetworking, images: NodeImages,
        log: Logger = Logger(label: "kubelet")
    ) {
        var log = log
        log[metadataKey: "node"] = "\(node.name)"
        self.view = view
        let drivers = DriverPlugins(node: node.name, client: client, log: log)
        parts = KubeletParts(
            node: node, client: client, objects: ObjectSource(view: view, client: client), runtime: runtime, network: network, images: images,
            recorder: EventRecorder(client: client, component: "kubelet", host: node.name), drivers: drivers,
            claims: ClaimPreparation(plugins: drivers, client: client, file: "\(node.kubeletDirectory)/dra_manager_state", log: log), log: log)
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        Kubelet.declare(in: view)
        listen()
    }

    static let dependencies: [GroupVersionResource] = [.configMaps, .secrets, .persistentVolumeClaims, .persistentVolumes]

    package static func declare(in view: ClusterView) {
        view.declare(.pods, indexes: [.node])
        for resource in dependencies + [.services, .nodes] { view.declare(resource) }
    }

    var workers: [PodWorker] { state.withLock { Array($0.workers.values) } }
    func worker(uid: String) -> PodWorker? { state.withLock { $0.workers[uid] } }

    func worker(_ key: ObjectKey) -> PodWorker? {
        state.withLock { state in state.workers.values.filter { $0.key == key }.max { $0.pod.node.revision < $1.pod.node.revision } }
    }

    private func listen() {
        let name = parts.node.name
        view.listen(.pods) { [weak self] change in
            guard [change.old, change.new].contains(where: { $0?["spec"]["nodeName"].string == name }) else { return }
            self?.touch(change.key)
            if let new = change.new, PodView(new).isTerminal, change.old.map({ !PodView($0).isTerminal }) ?? false { self?.capacityFreed() }
        }
        for resource in Kubelet.dependencies {
            view.listen(resource) { [weak self] change in
                guard let self else { return }
                for worker in self.workers where change.key.namespace.isEmpty || worker.key.namespace == change.key.namespace {
                    if Kubelet.reads(worker.pod, resource, change.key.name) { worker.send(.dependenciesChanged) }
                }
            }
        }
    }

    private func touch(_ key: ObjectKey) {
        state.withLock { _ = $0.dirty.insert(key) }
        wake.yield()
    }

    /// Whether a change of that object may matter to the pod. Says yes rather too often.
    private static func reads(_ pod: PodView, _ resource: GroupVersionResource, _ name: String) -> Bool {
        let isClaim = resource == .persistentVolumeClaims || resource == .persistentVolumes
        for volume in pod.spec["volumes"].list {
            if isClaim, volume.has("persistentVolumeClaim") || volume.has("ephemeral") { return true }
            for source in [volume] + volume["projected"]["sources"].list {
                if resource == .configMaps, source["configMap"]["name"].string == name { return true }
                if resource == .secrets, source["secret"]["name"].string == name || source["secret"]["secretName"].string == name { return true }
            }
        }
        guard !isClaim else { return false }
        let (bulk, single) = resource == .secrets ? ("secretRef", "secretKeyRef") : ("configMapRef", "configMapKeyRef")
        return pod.all.contains { _, container in
            container["envFrom"].list.contains { $0[bulk]["name"].string == name }
                || container["env"].list.contains { $0["valueFrom"][single]["name"].string == name }
        }
    }

    /// Until cancelled. Containers go on running then.
    package func run() async {
        // Its own resources only: the view may also follow some that are not served just now.
        for resource in [.pods, .services, .nodes] + Kubelet.dependencies { await view.reached(1, resource) }
        await withDiscardingTaskGroup { group in
            group.addTask { await self.parts.recorder.run() }
            group.addTask { await NodeAgent(self).run() }
            group.addTask { await self.followRuntime() }
            group.addTask { await self.parts.drivers.run() }
            group.addTask {
                for await driver in self.parts.drivers.healthChanges {
                    let users = self.parts.claims.users(of: driver)
                    for worker in self.workers where users.contains(worker.uid) { worker.send(.healthChanged) }
                }
            }
            group.addTask {
                let node = self.parts.node
                let registry = PluginRegistry(
                    directory: "\(node.kubeletDirectory)/plugins_registry", handlers: [self.parts.drivers], log: self.parts.log,
                    machinePath: node.machinePath)
                await registry.run()
            }
            let found = await adopt()
            let keys = view.read { $0[.pods].keys("node", self.parts.node.name) }
            for key in keys { reconcile(key, found, &group) }
            state.withLock { $0.dirty.subtract(keys) }
            await removeOrphans(found)
            let live = Set(workers.map(\.uid))
            group.addTask { await self.parts.claims.removeOrphans(besides: live) }
            wake.yield()
            for await _ in wakes {
                let dirty = state.withLock { state in
                    defer { state.dirty = [] }
                    return state.dirty
                }
                for key in dirty { reconcile(key, [:], &group) }
            }
            group.cancelAll()
        }
    }

    /// Brings the worker of a pod in line with what the view has under its name.
    private func reconcile(_ key: ObjectKey, _ found: [String: (AdoptedPod, Sandbox)], _ group: inout DiscardingTaskGroup) {
        let pod = view.get(.pods, key).flatMap { $0["spec"]["nodeName"].string == parts.node.name ? $0 : nil }
        for worker in workers where worker.key == key && worker.uid != pod?.uid { worker.send(.vanished) }
        guard let pod else { return }
        if let worker = worker(uid: pod.uid) { return worker.send(.changed(pod)) }
        let known = found[pod.uid]
        let rejection = known == nil && pod["status"]["startTime"].isNull ? admit(PodView(pod)) : nil
        let worker = PodWorker(pod, parts: parts, adopted: known, rejection: rejection) { [weak self] in self?.resizeVerdict($0) ?? .granted }
        state.withLock { $0.workers[pod.uid] = worker }
        if known?.1.isRunning == false { worker.send(.sandboxLost) }
        group.addTask {
            await worker.run()
            guard !Task.isCancelled else { return }
            self.state.withLock { _ = $0.workers.removeValue(forKey: worker.uid) }
            self.capacityFreed()
        }
    }

    private func resizeVerdict(_ pod: PodView) -> ResizeVerdict {
        Admission.resize(pod, node: parts.node, others: workers.map(\.pod).filter { $0.uid != pod.uid && !$0.isTerminal })
    }

    /// Pods that wait for resources may get them now.
    private func capacityFreed() { for worker in workers { worker.send(.capacityFreed) } }

    private func admit(_ pod: PodView) -> PodRejection? {
        let labels = view.get(.nodes, ObjectKey("", parts.node.name))?.labels ?? NodeObject.labels(parts.node)
        let others = workers.map(\.pod).filter { $0.uid != pod.uid && !$0.isTerminal }
        return Admission.check(pod, node: parts.node, labels: labels, others: others)
    }

    private func followRuntime() async {
        for await event in parts.runtime.subscribe() {
            guard case .lost(let sandbox) = event else { continue }
            for worker in workers where worker.state.withLock({ $0.sandbox?.id }) == sandbox { worker.send(.sandboxLost) }
        }
    }
}

@testable import APIServer
import Client
import Core
import Kinds
import Machinery
import Scheduler
import Schema
import Store
import Synchronization
import Testing
import Tree

@testable import Controllers

/// An API over a store in memory with all controllers and the scheduler on it, and pods that become ready as soon as they have a node.
final class LiveCluster: Sendable {
    let store: Store
    let client: InProcessClient
    let view: ClusterView
    private let scheduling = Mutex<SchedulerService?>(nil)

    private init() throws {
        store = try Store(.memory)
        let catalog = ResourceCatalog(graph: Graph.builtIn)
        let writer = ObjectWriter(store: store, admission: AdmissionChain([EndingNamespaces(store: store)]), conversion: BuiltInConversion(), checks: ObjectChecks())
        client = InProcessClient(
            store: store, catalog: catalog, writer: writer, posts: ["pods/binding": BindingAction(writer: writer)],
            user: UserInfo(name: "system:kube-controller-manager"))
        view = ClusterView(client: client)
    }

    static func run(_ body: @escaping @Sendable (LiveCluster) async throws -> Void) async throws {
        let cluster = try LiveCluster()
        var options = ControllerSet.Options()
        options.caPEM = "-----BEGIN CERTIFICATE-----"
        // Nobody sends heartbeats here, however long a test takes.
        options.nodeGrace = .seconds(86400)
        options.serveBuiltIns()
        let controllers = ControllerSet(view: cluster.view, options)
        let recorder = EventRecorder(client: cluster.client, component: "default-scheduler")
        let scheduler = SchedulerService(view: cluster.view, recorder: recorder)
        cluster.scheduling.withLock { $0 = scheduler }
        let agent = NodeAgent(view: cluster.view)
        _ = try await cluster.client.create(.namespaces, namespace: "", ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "default"]])
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await cluster.view.run() }
            group.addTask { await controllers.run() }
            group.addTask { await recorder.run() }
            group.addTask { await scheduler.run() }
            group.addTask { await agent.run() }
            do { try await body(cluster) } catch {
                group.cancelAll()
                throw error
            }
            group.cancelAll()
        }
        cluster.store.close()
    }

    func addNode(_ name: String) async throws {
        let node: Node = ["apiVersion": "v1", "kind": "Node", "metadata": ["name": .string(name), "labels": ["kubernetes.io/hostname": .string(name)]], "spec": [:]]
        var made = try await client.create(.nodes, namespace: "", node)
        made["status"] = [
            "allocatable": ["cpu": "4", "memory": "8Gi", "pods": "110"], "capacity": ["cpu": "4", "memory": "8Gi", "pods": "110"],
            "conditions": [["type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready", "lastHeartbeatTime": .string(Timestamp.now().rfc3339)]],
        ]
        _ = try await client.update(.nodes, made, subresource: "status")
    }

    /// What the scheduler says of the first pod without a node, if any.
    private func unplaced() async -> String {
        let pods = view.read { $0[.pods].objects.values.filter { $0["spec"]["nodeName"].isEmpty } }
        guard let pod = pods.first, let scheduler = scheduling.withLock({ $0 }) else { return "all pods have a node" }
        return "\(pods.count) pods without a node, of one \(await scheduler.explain(ObjectKey(pod.namespace, pod.name))?.jsonText ?? "nothing is known")"
    }

    func until(_ what: String, _ condition: @Sendable () -> Bool) async throws {
        // Far beyond what a busy machine needs: only a defect reaches the end.
        for _ in 0..<60_000 {
            if condition() { return }
            try await Task.sleep(for: .milliseconds(5))
        }
        Issue.record("never: \(what); \(await unplaced())")
        throw CancellationError()
    }
}

/// Makes bound pods ready, and lets deleted ones go at once.
final class NodeAgent: Sendable {
    private let runner: ControllerRunner

    init(view: ClusterView) {
        runner = ControllerRunner(Playing(), view: view, recorder: EventRecorder(client: view.client, component: "kubelet"))
    }

    func run() async { await runner.run() }

    private struct Playing: Controller {
        var name: String { "kubelet" }
        var triggers: [Trigger] { [.own(.pods)] }

        func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
            guard let pod = state.get(.pods, key), !PodView(pod).nodeName.isEmpty else { return .nothing }
            if pod.isBeingDeleted { return Plan([.delete(.pods, key, DeleteOptions(gracePeriodSeconds: 0))]) }
            guard !PodView(pod).isReady, !PodView(pod).isTerminal else { return .nothing }
            var running = pod
            running["status"]["phase"] = "Running"
            // Long ago, so that what it uses counts for autoscalers at once.
            running["status"]["startTime"] = .string((now + .seconds(-3600)).rfc3339)
            let address = "10.0.\(abs(key.hashValue) % 250).\(abs(key.hashValue / 250) % 250)"
            running["status"]["podIP"] = .string(address)
            running["status"]["podIPs"] = [["ip": .string(address)]]
            PodConditions.set(&running, type: "Ready", status: "True", now: now)
            return Plan([.updateStatus(.pods, running)])
        }
    }
}

/// What ends takes nothing new, as the API server's own NamespaceLifecycle has it.
struct EndingNamespaces: AdmissionPlugin {
    let store: Store
    var name: String { "NamespaceLifecycle" }

    func validate(_ request: AdmissionRequest) async throws(APIError) {
        guard request.operation == .create, !request.namespace.isEmpty else { return }
        // Stands for a quota that is used up.
        if request.object["spec"]["containers"][0]["image"].string == "forbidden" { throw request.forbidden("exceeded quota") }
        guard let namespace = try? store.get(Key("namespaces", name: request.namespace))?.node(), namespace.isBeingDeleted else { return }
        var error = request.forbidden("unable to create new content in namespace \(request.namespace) because it is being terminated")
        error.details?.causes = [.init(reason: "NamespaceTerminating", message: "namespace \(request.namespace) is being terminated", field: "metadata.namespace")]
        throw error
    }
}

extension ControllerSet.Options {
    /// All that the built-in kinds serve.
    mutating func serveBuiltIns() {
        let resources = Graph.builtIn.resources
        deletable = {
            var seen: Set<String> = []
            return resources.filter { ["list", "watch", "delete"].allSatisfy($0.verbs.contains) && seen.insert("\($0.group)/\($0.name)").inserted }
                .map { GarbageCollector.Served($0.gvr, isNamespaced: $0.isNamespaced) }
        }
        served = { kind in
            resources.first { $0.gvk == kind && !$0.verbs.isEmpty }.map { GarbageCollector.Served($0.gvr, isNamespaced: $0.isNamespaced) }
        }
    }
}

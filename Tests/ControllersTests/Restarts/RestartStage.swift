import APIServer
import Client
import Core
import Glibc
import Kinds
import Machinery
import Scheduler
import Schema
import Store
import Synchronization
import Testing
import Tree

@testable import Controllers

/// What is done to a cluster, and when it has come to its end.
struct RestartScenario: Sendable {
    struct Step: Sendable {
        let when: @Sendable (ClusterView) -> Bool
        let act: @Sendable (any ClusterClient) async throws -> Void
    }

    var nodes = 1
    /// How long a node may be silent: for ever, where that is not what it is about.
    var nodeGrace: Duration = .seconds(86400 * 365)
    /// Nil has no autoscalers.
    var scaling: (@Sendable (any ClusterClient) -> any ScalingSource)?
    /// Each is done once, when the one before is.
    let steps: [Step]
    let isOver: @Sendable (ClusterView) -> Bool
}

/// A cluster whose controllers are stopped right after a commit and started anew; the store, the scheduler and the nodes stay.
final class RestartStage: Sendable {
    struct Outcome: Sendable {
        let commits: Int
        let state: [String]
        /// What the last life wrote.
        let log: [String]
    }

    private let store: Store
    private let catalog = ResourceCatalog(graph: Graph.builtIn)
    private let client: InProcessClient
    private let view: ClusterView
    private let time = SkippingTime()
    private let directory: String

    private init() throws {
        var template = Array("/tmp/restarts-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemFailure("mkdtemp") }
        directory = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        store = try Store(.file(directory + "/store", .relaxed))
        let writer = ObjectWriter(
            store: store, admission: AdmissionChain([EndingNamespaces(store: store)]), charge: ResourceQuotaAdmission(store, catalog: catalog),
            conversion: BuiltInConversion(), checks: ObjectChecks())
        client = InProcessClient(
            store: store, catalog: catalog, writer: writer,
            posts: ["pods/binding": BindingAction(writer: writer), "pods/eviction": EvictionAction(writer: writer, catalog: catalog, store: store)],
            user: UserInfo(name: "system:kube-controller-manager"))
        view = ClusterView(client: client)
    }

    private func close() {
        store.close()
        for ending in ["", "-wal", "-shm", "-journal", ".lock"] { unlink("\(directory)/store\(ending)") }
        rmdir(directory)
    }

    /// Runs a scenario to its end. The controllers die after the `limit`-th commit and are replaced by new ones, which live on.
    /// `isGood` judges the final state: what is not good is looked at until nothing has happened for long.
    static func run(_ scenario: RestartScenario, dyingAfter limit: Int?, until isGood: ([String]) -> Bool = { _ in true }) async throws -> Outcome {
        let stage = try RestartStage()
        defer { stage.close() }
        let recorder = EventRecorder(client: stage.client, component: "default-scheduler")
        let scheduler = SchedulerService(view: stage.view, recorder: recorder, time: stage.time)
        let agent = PlayedNodes(view: stage.view, time: stage.time)
        try await stage.prepare(nodes: scenario.nodes)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await stage.view.run() }
            group.addTask { await scheduler.run() }
            group.addTask { await agent.run() }
            defer { group.cancelAll() }
            await stage.view.synced()
            return try await stage.play(scenario, limit, agent, isGood)
        }
    }

    private func prepare(nodes: Int) async throws {
        _ = try await client.create(.namespaces, namespace: "", ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "default"]])
        for index in 0..<nodes {
            let name = Node.string("n\(index)")
            var node = try await client.create(
                .nodes, namespace: "", ["apiVersion": "v1", "kind": "Node", "metadata": ["name": name, "labels": ["kubernetes.io/hostname": name]], "spec": [:]])
            node["status"] = [
                "allocatable": ["cpu": "4", "memory": "8Gi", "pods": "110"], "capacity": ["cpu": "4", "memory": "8Gi", "pods": "110"],
                "conditions": [["type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"]],
            ]
            _ = try await client.update(.nodes, node, subresource: "status")
        }
        for resource in [GroupVersionResource.pods, .deployments, .replicaSets, .statefulSets, .daemonSets, .jobs, .cronJobs, .namespaces, .persistentVolumeClaims,
            .persistentVolumes, .podDisruptionBudgets, .resourceQuotas, .horizontalPodAutoscalers, .endpointSlices, .nodes, .configMaps, .serviceAccounts]
        {
            view.declare(resource, indexes: [.namespace])
        }
    }

    // MARK: - One life after the other

    private final class Life: Sendable {
        let client: MortalClient
        let set: ControllerSet
        private let task: Task<Void, Never>

        init(_ stage: RestartStage, _ scenario: RestartScenario, dyingAfter limit: Int?) {
            let client = MortalClient(stage.client, dyingAfter: limit)
            let view = ClusterView(client: client)
            var options = ControllerSet.Options()
            options.caPEM = "-----BEGIN CERTIFICATE-----"
            options.nodeGrace = scenario.nodeGrace
            options.time = stage.time
            options.scaling = scenario.scaling?(client)
            options.serveBuiltIns()
            let set = ControllerSet(view: view, options)
            self.client = client
            self.set = set
            task = Task {
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { await view.run() }
                    group.addTask { await set.run() }
                    await group.waitForAll()
                }
            }
        }

        func end() async {
            task.cancel()
            await task.value
        }
    }

    private func play(_ scenario: RestartScenario, _ limit: Int?, _ agent: PlayedNodes, _ isGood: ([String]) -> Bool) async throws -> Outcome {
        var life = Life(self, scenario, dyingAfter: limit)
        var commits = 0
        var steps = scenario.steps[...]
        var (revision, quiet, total) = (Int64(0), 0, 0)
        // A reference must be the end for sure; others are compared with it, so that a good state is known at once.
        let patience = limit == nil ? 60 : 3
        do {
            while true {
                if life.client.isDead {
                    commits += life.client.commits
                    await life.end()
                    life = Life(self, scenario, dyingAfter: nil)
                }
                if let step = steps.first, step.when(view) {
                    try await step.act(client)
                    steps = steps.dropFirst()
                }
                time.tick()
                let isQuiet = store.currentRevision == revision && life.set.isIdle && agent.isIdle
                (revision, quiet) = (store.currentRevision, isQuiet ? quiet + 1 : 0)
                let isOver = steps.isEmpty && scenario.isOver(view)
                if isOver, quiet >= patience {
                    let state = try FinalState.of(store, catalog)
                    // What is not good yet may only be late on a busy machine.
                    if isGood(state) || quiet > 600 {
                        commits += life.client.commits
                        await life.end()
                        return Outcome(commits: commits, state: state, log: life.client.log)
                    }
                }
                if !isOver, quiet > 3, quiet.isMultiple(of: 4) { time.skip(atMost: .seconds(900)) }
                total += 1
                guard total < 20_000 else { throw Stuck(left: steps.count, state: try FinalState.of(store, catalog), log: life.client.log) }
                try await Task.sleep(for: .milliseconds(5))
            }
        } catch {
            await life.end()
            throw error
        }
    }

    struct Stuck: Error {
        let left: Int
        let state: [String]
        let log: [String]
    }
}

/// Nodes whose pods run as their annotation `play` says: `run` (or nothing) stays ready, `succeed` ends well, `stumble` ends badly the
/// first time that an index has a pod, and well after it.
final class PlayedNodes: Sendable {
    private let runner: ControllerRunner

    init(view: ClusterView, time: any TimeSource) {
        runner = ControllerRunner(Playing(), view: view, recorder: EventRecorder(client: view.client, component: "kubelet"), time: time)
    }

    var isIdle: Bool { runner.isIdle }
    func run() async { await runner.run() }

    private struct Playing: Controller {
        var name: String { "kubelet" }
        var triggers: [Trigger] { [.own(.pods)] }
        var reads: [(GroupVersionResource, [ObjectTable.Index])] { [(.nodes, [])] }

        func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
            guard let pod = state.get(.pods, key), !PodView(pod).nodeName.isEmpty else { return .nothing }
            if pod.isBeingDeleted { return PodView(pod).isTerminal && !pod.finalizers.isEmpty ? .nothing : Plan([.delete(.pods, key, DeleteOptions(gracePeriodSeconds: 0, uid: pod.uid))]) }
            let node = state.get(.nodes, "", PodView(pod).nodeName)
            guard !PodView(pod).isTerminal, node?["status"].condition("Ready")?["status"].string == "True" else { return .nothing }
            let play = pod.annotations["play"] ?? "run"
            if play != "run", PodView(pod).isReady { return Plan([.updateStatus(.pods, ended(pod, play, now))]) }
            guard !PodView(pod).isReady else { return .nothing }
            var running = pod
            running["status"]["phase"] = "Running"
            running["status"]["startTime"] = .string((now + .seconds(-3600)).rfc3339)
            running["status"]["podIP"] = .string("10.0.\(abs(key.hashValue) % 250).\(abs(key.hashValue / 250) % 250)")
            running["status"]["podIPs"] = [["ip": running["status"]["podIP"]]]
            PodConditions.set(&running, type: "Ready", status: "True", now: now)
            return Plan([.updateStatus(.pods, running)])
        }

        private func ended(_ pod: Node, _ play: String, _ now: Timestamp) -> Node {
            let fails = play == "stumble" && pod.annotations["batch.kubernetes.io/job-completion-index"] == "1"
                && (pod.annotations["batch.kubernetes.io/job-index-failure-count"] ?? "0") == "0"
            var ended = pod
            ended["status"]["phase"] = fails ? "Failed" : "Succeeded"
            PodConditions.set(&ended, type: "Ready", status: "False", now: now)
            ended["status"]["containerStatuses"] = [
                [
                    "name": "c", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
                    "state": ["terminated": ["exitCode": fails ? 1 : 0, "finishedAt": .string(now.rfc3339), "startedAt": .string(now.rfc3339)]],
                ]
            ]
            return ended
        }
    }
}

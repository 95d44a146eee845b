import Client
import Containers
import Core
import Linux
import Logging
import Machinery
import Schema
import Synchronization
import Tree

/// Runs one pod: feeds its machine with what happens and does what the machine says. It owns the pod's sandbox, containers,
/// volumes and status, and ends when the pod is gone from the API and from the node.
final class PodWorker: Sendable {
    /// What those who ask about the pod may see at any time.
    struct State: Sendable {
        var pod: PodView
        var status: Node = .null
        var sandbox: Sandbox?
        var addresses: [String] = []
        var containers: [String: Running] = [:]
        /// What the pod's own cgroup is set to, where that was done here.
        var podLimits: CgroupLimits?
    }
    struct Running: Sendable {
        let container: Container
        let attempt: Int
        var isProbed = false
    }

    let parts: KubeletParts
    let key: ObjectKey
    let uid: String
    let paths: PodPaths
    let volumes: PodVolumes
    let state: Mutex<State>
    private let adopted: AdoptedPod?
    /// What the node says to a pod that wants other resources.
    private let verdict: @Sendable (PodView) -> ResizeVerdict
    private let rejection: PodRejection?
    private let events: AsyncStream<PodEvent>
    private let inbox: AsyncStream<PodEvent>.Continuation
    private let statuses: AsyncStream<Node>
    private let statusInput: AsyncStream<Node>.Continuation
    private let refreshes: AsyncStream<Void>
    private let refreshInput: AsyncStream<Void>.Continuation

    init(
        _ pod: Node, parts: KubeletParts, adopted: (AdoptedPod, Sandbox)? = nil, rejection: PodRejection? = nil,
        verdict: @escaping @Sendable (PodView) -> ResizeVerdict = { _ in .granted }
    ) {
        let view = PodView(pod)
        self.parts = parts
        self.rejection = rejection
        self.verdict = verdict
        self.adopted = adopted?.0
        key = ObjectKey(view.namespace, view.name)
        uid = view.uid
        paths = PodPaths(view, parts.node)
        var about = pod
        about["kind"] = "Pod"
        about["apiVersion"] = "v1"
        let subject = about
        volumes = PodVolumes(paths: paths, node: parts.node, objects: parts.objects, threads: parts.threads, images: parts.images) { type, reason, message in
            parts.recorder.record(Event(subject, Event.Kind(rawValue: type) ?? .normal, reason: reason, message: message))
        }
        var state = State(pod: view)
        if let (found, sandbox) = adopted {
            state.sandbox = sandbox
            state.addresses = found.addresses
            for container in sandbox.containers {
                guard let name = container.labels[Label.container], let attempt = container.labels[Label.attempt].flatMap({ Int($0) }) else { continue }
                if state.containers[name].map({ $0.attempt < attempt }) ?? true { state.containers[name] = Running(container: container, attempt: attempt) }
            }
        }
        self.state = Mutex(state)
        // Events are few for a pod, and none may be lost.
        (events, inbox) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
        (statuses, statusInput) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (refreshes, refreshInput) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    var pod: PodView { state.withLock { $0.pod } }

    func send(_ event: PodEvent) { inbox.yield(event) }

    /// Until the pod is gone, or the kubelet is cancelled; containers stay as they are then.
    func run() async {
        var machine = PodMachine(pod: pod.node, adopted: adopted, rejection: rejection, now: .now())
        await withDiscardingTaskGroup { group in
            group.addTask { await self.writeStatuses() }
            group.addTask { await self.refreshVolumes() }
            for action in machine.begin(now: .now()) { perform(action, &group) }
            publish(&machine)
            for await event in events {
                let actions = machine.handle(event, now: .now())
                switch event {
                case .changed, .resizeAnswered: state.withLock { $0.pod = machine.grantedPod }
                default: break
                }
                for action in actions { perform(action, &group) }
                if machine.isFinished { break }
                publish(&machine)
                switch event {
                case .changed, .dependenciesChanged: refreshInput.yield()
                default: break
                }
            }
            group.cancelAll()
        }
        if machine.isFinished { try? FileSystem.removeTree(paths.logs) }
    }

    private func publish(_ machine: inout PodMachine) {
        if machine.isSwapping(.now()) { return }
        var status = machine.status(hostAddresses: parts.node.addresses, now: .now())
        addHealth(to: &status)
        let isNew = state.withLock { state in
            defer { state.status = status }
            return state.status != status
        }
        if isNew { statusInput.yield(status) }
    }

    /// Of devices, for containers that use some.
    private func addHealth(to status: inout Node) {
        for (index, shown) in status["containerStatuses"].list.enumerated() {
            guard let (_, container) = pod.container(shown["name"].string ?? ""), !container["resources"]["claims"].list.isEmpty else { continue }
            let health = parts.claims.health(pod, container)
            if !health.isEmpty { status["containerStatuses"][index]["allocatedResourcesStatus"] = .list(health) }
        }
    }

    private func perform(_ action: PodAction, _ group: inout DiscardingTaskGroup) {
        switch action {
        case .prepareVolumes: group.addTask { await self.prepareVolumes() }
        case .createSandbox(let attempt): group.addTask { await self.createSandbox(attempt) }
        case .removeSandbox: group.addTask { await self.removeSandbox() }
        case .start(let name, let attempt): group.addTask { await self.start(name, attempt) }
        case .watch(let name, let attempt): group.addTask { await self.watch(name, attempt) }
        case .stop(let name, let attempt, let grace, let runsHook): group.addTask { await self.stop(name, attempt, grace, runsHook) }
        case .askResize(let pod): send(.resizeAnswered(verdict(pod)))
        case .applyResources(let containers, let own): group.addTask { await self.applyResources(containers, own) }
        case .startProbes(let name, let attempt):
            state.withLock { $0.containers[name]?.isProbed = true }
            let isSlow = pod.container(name)?.container.has(ProbeKind.startup.field) ?? false
            for kind in isSlow ? [.startup] : [ProbeKind.liveness, .readiness] { group.addTask { await self.probe(name, attempt, kind) } }
        case .continueProbes(let name, let attempt):
            state.withLock { $0.containers[name]?.isProbed = true }
            for kind in [ProbeKind.liveness, .readiness] { group.addTask { await self.probe(name, attempt, kind) } }
        case .stopProbes(let name): state.withLock { $0.containers[name]?.isProbed = false }
        case .event(let type, let reason, let message, let container): record(type, reason, message, container)
        case .clean: group.addTask { await self.clean() }
        case .delete: group.addTask { await self.delete() }
        case .wake(let time):
            group.addTask {
                try? await Task.sleep(for: max(.zero, time - .now()) + .milliseconds(1))
                self.send(.woke)
            }
        case .finish: break
        }
    }

    func record(_ type: String, _ reason: String, _ message: String, _ container: String? = nil) {
        let pod = pod
        var about = pod.node
        about["kind"] = "Pod"
        about["apiVersion"] = "v1"
        parts.recorder.record(
            Event(about, Event.Kind(rawValue: type) ?? .normal, reason: reason, message: message, fieldPath: container.map(pod.fieldPath) ?? ""))
    }

    // MARK: - Status

    private func writeStatuses() async {
        var known = pod.node
        for await status in statuses {
            var backoff = Backoff(base: .milliseconds(50), limit: .seconds(5))
            while !Task.isCancelled {
                let seen = pod.node
                if seen.revision > known.revision { known = seen }
                guard let patch = StatusPatch.make(uid: uid, old: known["status"], new: status) else { break }
                do {
                    known = try await parts.client.patch(.pods, key, .strategic, patch, subresource: "status")
                    break
                } catch let error as APIError where error.code == 404 || error.code == 422 {
                    // Gone, which the view will say; or refused, and the next status may be taken.
                    if error.code == 422 { parts.log.error("pod status refused", metadata: ["pod": "\(key)", "error": "\(error)"]) }
                    break
                } catch {
                    parts.log.debug("pod status not written", metadata: ["pod": "\(key)", "error": "\(error)"])
                    try? await Task.sleep(for: backoff.next())
                }
            }
            send(.statusWritten(phase: known["status"]["phase"].string ?? ""))
        }
    }

    private func delete() async {
        var backoff = Backoff(base: .milliseconds(50), limit: .seconds(10))
        while !Task.isCancelled {
            do {
                _ = try await parts.client.delete(.pods, key, DeleteOptions(gracePeriodSeconds: 0, uid: uid))
                // Finalizers may keep the object; then the view will say when it goes.
                guard let now = try? await parts.client.get(.pods, key), now.uid == uid else { return send(.deleted) }
                return
            } catch let error as APIError where error.code == 404 || error.code == 409 {
                return send(.deleted)
            } catch {
                try? await Task.sleep(for: backoff.next())
            }
        }
    }

    // MARK: - Volumes

    private func prepareVolumes() async {
        guard await prepareDevices() else { return }
        do {
            try await volumes.prepare(pod)
            send(.volumesReady)
        } catch {
            if !Task.isCancelled { send(.volumesFailed(message: "\(error)")) }
        }
    }

    /// False where the pod is to end meanwhile.
    private func prepareDevices() async -> Bool {
        var backoff = Backoff(base: .milliseconds(500), limit: .seconds(10))
        while !Task.isCancelled {
            let pod = pod
            do {
                try await parts.claims.prepare(pod)
                return true
            } catch {
                guard !Task.isCancelled else { return false }
                record("Warning", "FailedPrepareDynamicResources", "Failed to prepare dynamic resources: \(error)")
            }
            if pod.node.isBeingDeleted {
                send(.volumesFailed(message: "the pod ends before its devices are ready"))
                return false
            }
            try? await Task.sleep(for: backoff.next())
        }
        return false
    }

    private func refreshVolumes() async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                // Tokens are renewed when their time comes; sixty seconds is how finely that is kept.
                while !Task.isCancelled {
                    guard let renewal = self.volumes.nextRenewal else {
                        try? await Task.sleep(for: .seconds(600))
                        continue
                    }
                    try? await Task.sleep(for: max(.seconds(60), renewal - .now()))
                    self.refreshInput.yield()
                }
            }
            for await _ in refreshes { await volumes.refresh(pod) }
            group.cancelAll()
        }
    }

    private func clean() async {
        var backoff = Backoff(base: .milliseconds(100), limit: .seconds(10))
        while !Task.isCancelled {
            do {
                try await parts.claims.unprepare(pod)
                try await volumes.remove(pod)
                return send(.cleaned)
            } catch {
                parts.log.warning("volumes not removed", metadata: ["pod": "\(key)", "error": "\(error)"])
                try? await Task.sleep(for: backoff.next())
            }
        }
    }
}

import Containers
import Core
import Logging
import Machinery
import Synchronization
import Tree

extension PodWorker {
    /// One probe of one run of a container, as long as that runs.
    func probe(_ name: String, _ attempt: Int, _ kind: ProbeKind) async {
        guard let container = pod.container(name)?.container, container.has(kind.field),
            let running = state.withLock({ $0.containers[name] }), running.attempt == attempt
        else { return }
        let probe = container[kind.field]
        let period = Duration.seconds(max(1, probe["periodSeconds"].int ?? 10))
        let timeout = Duration.seconds(max(1, probe["timeoutSeconds"].int ?? 1))
        let began = running.container.startTime ?? .now()
        let delay = began + .seconds(probe["initialDelaySeconds"].int ?? 0) - .now()
        if delay > .zero { try? await Task.sleep(for: delay) }
        var tally = ProbeTally(probe, initial: initialVerdict(name, kind))
        while isProbed(name, attempt) {
            if kind != .readiness, pod.node.isBeingDeleted { return }
            let prober = Prober(
                namespace: parts.network.node, threads: parts.dialing, container: running.container, spec: container, address: probeAddress)
            let outcome = await prober.run(probe, timeout: timeout)
            guard isProbed(name, attempt), !Task.isCancelled else { return }
            if case .failure(let output) = outcome { record("Warning", "Unhealthy", "\(kind.title) probe failed: \(output)", name) }
            if let verdict = tally.add(outcome == .success) { send(.probed(name: name, attempt: attempt, kind, succeeded: verdict)) }
            // A container that has started stays so, and one that is to be restarted is not asked again.
            if kind == .startup, tally.verdict != nil { return }
            if kind == .liveness, tally.verdict == false { return }
            try? await Task.sleep(for: period)
        }
    }

    private var probeAddress: String {
        let (pod, addresses) = state.withLock { ($0.pod, $0.addresses) }
        return (pod.usesHostNetwork ? parts.node.addresses.first : addresses.first) ?? "127.0.0.1"
    }

    private func initialVerdict(_ name: String, _ kind: ProbeKind) -> Bool? {
        switch kind {
        case .startup: nil
        case .liveness: true
        case .readiness: reported(name)?["ready"].bool ?? false
        }
    }

    private func reported(_ name: String) -> Node? {
        let status = state.withLock { $0.status.isNull ? $0.pod.status : $0.status }
        return (status["containerStatuses"].list + status["initContainerStatuses"].list).first { $0["name"].string == name }
    }

    private func isProbed(_ name: String, _ attempt: Int) -> Bool {
        guard !Task.isCancelled else { return false }
        return state.withLock { $0.containers[name].map { $0.attempt == attempt && $0.isProbed } ?? false }
    }
}

extension Container {
    var startTime: Timestamp? {
        switch state {
        case .created: nil
        case .running(_, let time): time
        case .exited(let exit): exit.startedAt
        }
    }
}

/// Runs what `lifecycle` says.
struct Hooks: Sendable {
    private let worker: PodWorker
    init(_ worker: PodWorker) { self.worker = worker }

    /// Nil where it succeeded; else why not.
    func run(_ hook: Node, _ container: Container, limit: Duration?) async -> String? {
        await withTaskGroup(of: String??.self) { group in
            group.addTask { .some(await once(hook, container)) }
            if let limit {
                group.addTask {
                    try? await Task.sleep(for: limit)
                    return nil
                }
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first ?? "the hook did not end in time"
        }
    }

    private func once(_ hook: Node, _ container: Container) async -> String? {
        if hook.has("sleep") {
            try? await Task.sleep(for: .seconds(hook["sleep"]["seconds"].int ?? 0))
            return nil
        }
        let spec = container.labels[Label.container].flatMap { worker.pod.container($0)?.container } ?? .null
        let address = worker.state.withLock { $0.addresses.first } ?? "127.0.0.1"
        var prober = Prober(
            namespace: worker.parts.network.node, threads: worker.parts.dialing, container: container, spec: spec, address: address)
        prober.agent = "kube-lifecycle/1.36"
        if hook.has("exec") {
            switch await Prober.exec(hook["exec"]["command"].stringList, in: container, timeout: nil) {
            case .success: return nil
            case .failure(let text): return text
            }
        }
        if case .failure(let text) = await prober.run(hook, timeout: .seconds(30)) { return text }
        return nil
    }
}

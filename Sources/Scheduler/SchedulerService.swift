package import Client
package import Core
import Kinds
import Logging
import Machinery
import Schema
import Synchronization
package import Tree

/// Gives pods their nodes: one pod is decided at a time, bindings and reports run beside the decisions.
package final class SchedulerService: Sendable {
    private enum News: Sendable {
        case change(ClusterView.Change)
        case unbound(PodInfo)
        case lost(PodInfo)
        case question(ObjectKey, CheckedContinuation<Node?, Never>)
        case rang
    }

    let view: ClusterView
    let recorder: EventRecorder
    let time: any TimeSource
    let log = Logger(label: "scheduler")
    private let configuration: SchedulerConfiguration
    private let inbox = Mutex<[News]>([])
    /// Bindings and reports that are being written.
    private let underWay = Atomic<Int>(0)
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    /// Declares and listens; nothing runs before `run`. `recorder` has the component `default-scheduler` and is run by the caller.
    package init(
        view: ClusterView, recorder: EventRecorder, configuration: SchedulerConfiguration = SchedulerConfiguration(),
        time: any TimeSource = SystemTime()
    ) {
        self.view = view
        self.recorder = recorder
        self.time = time
        self.configuration = configuration
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        for resource in SchedulerCore.resources {
            view.listen(resource) { [self] change in tell(.change(change)) }
            view.declare(resource)
        }
    }

    private func tell(_ news: News) {
        inbox.withLock { $0.append(news) }
        wake.yield()
    }

    /// Why the pod is where it is, or nowhere; nil where there is no such pod. Answers while `run` works.
    package func explain(_ key: ObjectKey) async -> Node? {
        await withCheckedContinuation { tell(.question(key, $0)) }
    }

    /// Schedules until cancelled.
    package func run() async {
        await view.synced()
        await withDiscardingTaskGroup { group in
            var core = SchedulerCore(configuration)
            var signals = wakes.makeAsyncIterator()
            var alarm: Timestamp?
            while !Task.isCancelled {
                if hear(&core) { alarm = nil }
                let now = time.now()
                // As many as may be committed together; more would only wait, and pile up.
                let decision = underWay.load(ordering: .relaxed) < SchedulerService.mostUnderWay ? core.next(now: now) : nil
                if let decision {
                    await carryOut(decision, &core, &group)
                } else {
                    if let next = core.nextTime, alarm.map({ $0 > next }) ?? true {
                        alarm = next
                        group.addTask { await self.ring(after: next - now) }
                    }
                    guard await signals.next() != nil else { break }
                }
                // Bindings run on the same threads: let them begin before the next thousand decisions are made.
                await Task.yield()
            }
            group.cancelAll()
        }
    }

    private static let mostUnderWay = 256

    private func carryOut(_ decision: SchedulerCore.Decision, _ core: inout SchedulerCore, _ group: inout DiscardingTaskGroup) async {
        switch decision {
        case .bind(let binding): start(&group) { await self.bind(binding) }
        case .refuse(let refused): start(&group) { await self.report(refused) }
        case .consult(let attempt):
            if let next = await consult(attempt, &core) { await carryOut(next, &core, &group) }
        case .consultVictims(let attempt, let candidates):
            await carryOut(core.resume(attempt, preempting: await permitted(attempt, candidates), now: time.now()), &core, &group)
        }
    }

    private func start(_ group: inout DiscardingTaskGroup, _ work: @escaping @Sendable () async -> Void) {
        underWay.add(1, ordering: .relaxed)
        group.addTask {
            await work()
            if self.underWay.subtract(1, ordering: .relaxed).oldValue == SchedulerService.mostUnderWay { self.wake.yield() }
        }
    }

    private func ring(after delay: Duration) async {
        try? await time.sleep(for: max(delay, .milliseconds(1)))
        // It says so itself: by the clock of the day the time may not have come yet.
        tell(.rang)
    }

    /// Whether an alarm rang.
    private func hear(_ core: inout SchedulerCore) -> Bool {
        let news = inbox.withLock { inbox in
            let news = inbox
            inbox.removeAll()
            return news
        }
        let now = time.now()
        var hasRung = false
        for item in news {
            switch item {
            case .rang: hasRung = true
            case .change(let change): core.observe(change.resource, change.key, old: change.old, new: change.new, now: now)
            case .unbound(let pod): core.unbind(pod, now: now)
            case .lost(let pod): core.forget(pod, now: now)
            case .question(let key, let answer):
                answer.resume(returning: view.get(.pods, key).map { core.explain(PodInfo($0), now: now) })
            }
        }
        return hasRung
    }

    // MARK: - Binding

    private func bind(_ binding: SchedulerCore.Binding) async {
        let pod = binding.pod
        do {
            try await bindDevices(binding)
            try await bindVolumes(binding)
            if try await bindOutside(binding) { return }
            let target: Node = [
                "apiVersion": "v1", "kind": "Binding",
                "metadata": ["name": .string(pod.key.name), "namespace": .string(pod.key.namespace), "uid": .string(pod.uid)],
                "target": ["apiVersion": "v1", "kind": "Node", "name": .string(binding.node)],
            ]
            _ = try await view.client.post(.pods, pod.key, subresource: "binding", target)
            recordScheduled(binding)
        } catch let error as APIError where error.code == 404 || error.code == 409 {
            // Gone, or bound by another: the watch tells what became of it.
            await unbindDevices(binding)
            log.debug("binding refused", metadata: ["pod": "\(pod.key)", "error": "\(error)"])
            let current = try? await view.client.get(.pods, pod.key)
            let isPending = current?.uid == pod.uid && current?["spec"]["nodeName"].isEmpty == true && current?.isBeingDeleted == false
            tell(isPending ? .unbound(pod) : .lost(pod))
        } catch {
            if Task.isCancelled { return }
            await unbindDevices(binding)
            log.warning("binding failed", metadata: ["pod": "\(pod.key)", "error": "\(error)"])
            await tellPod(pod, "\(error)", reason: "SchedulerError")
            tell(.unbound(pod))
        }
    }

    // MARK: - Refusing

    private func report(_ refused: SchedulerCore.Refused) async {
        let pod = refused.pod
        if let preemption = refused.preemption { await preempt(pod, preemption) }
        if let claim = refused.deallocates { await deallocate(claim) }
        var status = Node.emptyMap
        if let node = refused.preemption?.node { status["nominatedNodeName"] = .string(node) }
        if refused.dropsNomination { status.setNull("nominatedNodeName") }
        await tellPod(pod, refused.message, reason: refused.isFailure ? "SchedulerError" : "Unschedulable", status)
        for other in refused.outdone {
            var status = Node.emptyMap
            status.setNull("nominatedNodeName")
            _ = try? await view.client.patch(
                .pods, other.key, .strategic, ["metadata": ["uid": .string(other.uid)], "status": status], subresource: "status")
        }
    }

    /// The event and the PodScheduled condition, which is written only when it says something else than before.
    func tellPod(_ pod: PodInfo, _ message: String, reason: String, _ more: Node = .emptyMap) async {
        recorder.record(Event(pod.node, .warning, reason: "FailedScheduling", message: message))
        guard let current = view.get(.pods, pod.key), current.uid == pod.uid else { return }
        var changed = current
        let isNew = PodConditions.set(&changed, type: "PodScheduled", status: "False", reason: reason, message: message, now: time.now())
        guard isNew || !more.isEmpty else { return }
        var status = more
        if isNew, let condition = PodConditions.get(changed, "PodScheduled") { status["conditions"] = [condition] }
        do {
            _ = try await view.client.patch(
                .pods, pod.key, .strategic, ["metadata": ["uid": .string(pod.uid)], "status": status], subresource: "status")
        } catch {
            log.debug("condition not written", metadata: ["pod": "\(pod.key)", "error": "\(error)"])
        }
    }

    private func preempt(_ pod: PodInfo, _ preemption: Preemption) async {
        for victim in preemption.victims {
            do {
                guard var current = view.get(.pods, victim.key), current.uid == victim.uid, !current.isBeingDeleted else { continue }
                PodConditions.set(
                    &current, type: "DisruptionTarget", status: "True", reason: "PreemptionByScheduler",
                    message: "\(pod.schedulerName): preempting to accommodate a higher priority pod", now: time.now())
                if let condition = PodConditions.get(current, "DisruptionTarget") {
                    _ = try await view.client.patch(.pods, victim.key, .strategic, ["status": ["conditions": [condition]]], subresource: "status")
                }
                _ = try await view.client.delete(.pods, victim.key, DeleteOptions(uid: victim.uid))
                recorder.record(Event(victim.node, reason: "Preempted", message: "Preempted by pod \(pod.uid) on node \(preemption.node)"))
            } catch let error as APIError where error.code == 404 {
            } catch {
                log.warning("victim not removed", metadata: ["pod": "\(victim.key)", "error": "\(error)"])
            }
        }
    }
}

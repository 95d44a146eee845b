package import Client
package import Core
import Logging
import Machinery
import Schema
import Synchronization
import Tree

/// Runs one controller over a live view: wakes it on changes, performs its plans, and plans a key again only when the view
/// holds what the last plan wrote.
package final class ControllerRunner: Sendable {
    private enum Work { case plans(any Controller), reconciles(any Reconciler) }

    private let work: Work
    let view: ClusterView
    private let time: any TimeSource
    let recorder: EventRecorder
    private let queue = Mutex(KeyQueue<ObjectKey>())
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation
    private let alarm = Alarm()
    private let parallelism: Int
    private let log: Logger

    /// Declares and listens; nothing runs before `run`.
    package convenience init(
        _ controller: any Controller, view: ClusterView, recorder: EventRecorder, time: any TimeSource = SystemTime(), parallelism: Int = 8
    ) {
        self.init(
            .plans(controller), controller.name, controller.triggers, controller.reads, view: view, recorder: recorder, time: time, parallelism: parallelism)
    }

    package convenience init(
        _ reconciler: any Reconciler, view: ClusterView, recorder: EventRecorder, time: any TimeSource = SystemTime(), parallelism: Int = 8
    ) {
        self.init(
            .reconciles(reconciler), reconciler.name, reconciler.triggers, reconciler.reads, view: view, recorder: recorder, time: time,
            parallelism: parallelism)
        reconciler.attach { [weak self] key in self?.enqueue(key) }
    }

    private init(
        _ work: Work, _ name: String, _ triggers: [Trigger], _ reads: [(GroupVersionResource, [ObjectTable.Index])], view: ClusterView,
        recorder: EventRecorder, time: any TimeSource, parallelism: Int
    ) {
        self.work = work
        self.view = view
        self.time = time
        self.recorder = recorder
        self.parallelism = parallelism
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        var log = Logger(label: "controller")
        log[metadataKey: "controller"] = "\(name)"
        self.log = log
        for (resource, indexes) in reads { view.declare(resource, indexes: indexes) }
        for trigger in triggers {
            view.declare(trigger.resource, indexes: trigger.indexes)
            view.listen(trigger.resource) { [self] change in
                let keys = trigger.keys(change, self.view)
                guard !keys.isEmpty else { return }
                queue.withLock { queue in for key in keys { queue.add(key) } }
                wake.yield()
            }
        }
    }

    /// Works until cancelled. Waits first for the view's first lists, so that no plan sees half a cluster.
    package func run() async {
        await view.synced()
        await withDiscardingTaskGroup { group in
            var signals = wakes.makeAsyncIterator()
            group.addTask { await self.keepTime() }
            while !Task.isCancelled {
                while let key = queue.withLock({ $0.runningCount < parallelism ? $0.take(now: time.now()) : nil }) {
                    group.addTask {
                        await self.reconcile(key)
                        self.wake.yield()
                    }
                }
                guard await signals.next() != nil else { break }
            }
            group.cancelAll()
        }
    }

    /// Nothing due, nothing running; what waits for its time does not count.
    package var isIdle: Bool { queue.withLock { $0.isIdle } }

    /// Asks for a plan of a key that no trigger names.
    package func enqueue(_ key: ObjectKey) {
        queue.withLock { $0.add(key) }
        wake.yield()
    }

    /// Wakes the loop when the earliest waiting key is due; re-armed whenever an earlier one may have come.
    private func keepTime() async {
        while !Task.isCancelled {
            // Moved here, so that what is due but has no worker yet is not asked for again and again.
            let next = queue.withLock { queue in
                queue.wake(time.now())
                return queue.nextTime()
            }
            wake.yield()
            await alarm.sleep(for: next.map { max($0 - time.now(), .milliseconds(1)) } ?? .seconds(3600), time: time)
        }
    }

    private func reconcile(_ key: ObjectKey) async {
        do {
            switch work {
            case .plans(let controller): await plan(key, try await controller.informed(of: key, view))
            case .reconciles(let reconciler): done(key, try await reconciler.reconcile(key, view, recorder, now: time.now()))
            }
        } catch {
            if (error as? APIError).map(ControllerRunner.isRace) != true, !(error is CancellationError) {
                log.warning("not reconciled", metadata: ["key": "\(key)", "error": "\(error)"])
            }
            failed(key)
        }
    }

    private func done(_ key: ObjectKey, _ again: Duration?) {
        queue.withLock { queue in
            queue.done(key)
            if let again { queue.add(key, at: time.now() + again) }
        }
        if again != nil { alarm.rearm() }
    }

    private func failed(_ key: ObjectKey) {
        queue.withLock { $0.failed(key, now: time.now()) }
        alarm.rearm()
    }

    private func plan(_ key: ObjectKey, _ controller: any Controller) async {
        let now = time.now()
        let plan = view.read { controller.plan(key, $0, now: now) }
        let failure = await perform(plan.actions)
        guard let failure else {
            done(key, plan.requeueAfter)
            return
        }
        if let error = failure.error as? APIError, !ControllerRunner.isRace(error) {
            log.warning("plan not performed", metadata: ["key": "\(key)", "error": "\(error)"])
            let later = time.now()
            let more = view.read { controller.plan(afterRefusal: failure.action, error, key, $0, now: later) }
            _ = await perform(more)
        }
        failed(key)
    }

    /// A lost race is normal life: the next plan sees the winner's state.
    private static func isRace(_ error: APIError) -> Bool {
        error.reason == "Conflict" || error.reason == "NotFound"
    }
}

/// A sleep that can be cut short from outside; a call before the sleep counts.
final class Alarm: Sendable {
    private struct State {
        var sleeper: Task<Void, Never>?
        var isRung = false
    }
    private let state = Mutex(State())

    func sleep(for delay: Duration, time: any TimeSource) async {
        let task = state.withLock { state -> Task<Void, Never>? in
            if state.isRung {
                state.isRung = false
                return nil
            }
            let task = Task { _ = try? await time.sleep(for: delay) }
            state.sleeper = task
            return task
        }
        guard let task else { return }
        await withTaskCancellationHandler { await task.value } onCancel: { task.cancel() }
        state.withLock {
            $0.sleeper = nil
            $0.isRung = false
        }
    }

    func rearm() {
        state.withLock { state in
            if let sleeper = state.sleeper { sleeper.cancel() } else { state.isRung = true }
        }
    }
}

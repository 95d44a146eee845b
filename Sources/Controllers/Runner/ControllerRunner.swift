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
    private let controller: any Controller
    private let view: ClusterView
    private let time: any TimeSource
    private let recorder: EventRecorder
    private let queue = Mutex(KeyQueue())
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation
    private let alarm = Alarm()
    private let parallelism: Int
    private let log: Logger

    /// Declares and listens; nothing runs before `run`.
    package init(_ controller: any Controller, view: ClusterView, recorder: EventRecorder, time: any TimeSource = SystemTime(), parallelism: Int = 8) {
        self.controller = controller
        self.view = view
        self.time = time
        self.recorder = recorder
        self.parallelism = parallelism
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        var log = Logger(label: "controller")
        log[metadataKey: "controller"] = "\(controller.name)"
        self.log = log
        for (resource, indexes) in controller.reads { view.declare(resource, indexes: indexes) }
        for trigger in controller.triggers {
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
        await withTaskGroup(of: Void.self) { group in
            var running = 0
            var signals = wakes.makeAsyncIterator()
            group.addTask { await self.keepTime() }
            while !Task.isCancelled {
                while running < parallelism, let key = queue.withLock({ $0.take(now: time.now()) }) {
                    running += 1
                    group.addTask {
                        await self.reconcile(key)
                        self.wake.yield()
                    }
                }
                guard await signals.next() != nil else { break }
                running = queue.withLock { $0.runningCount }
            }
            group.cancelAll()
        }
    }

    /// Wakes the loop when the earliest waiting key is due; re-armed whenever an earlier one may have come.
    private func keepTime() async {
        while !Task.isCancelled {
            let next = queue.withLock { $0.nextTime }
            let delay = next.map { max($0 - time.now(), .milliseconds(1)) } ?? .seconds(3600)
            await alarm.sleep(for: delay, time: time)
            wake.yield()
        }
    }

        private func reconcile(_ key: ObjectKey) async {
        let now = time.now()
        let plan = view.read { controller.plan(key, $0, now: now) }
        do {
            try await perform(plan.actions)
            queue.withLock { queue in
                queue.done(key)
                if let delay = plan.requeueAfter { queue.add(key, at: time.now() + delay) }
            }
            if plan.requeueAfter != nil { alarm.rearm() }
        } catch {
            if !ControllerRunner.isRace(error) {
                log.warning("plan not performed", metadata: ["key": "\(key)", "error": "\(error)"])
            }
            queue.withLock { $0.failed(key, now: time.now()) }
            alarm.rearm()
        }
    }

    /// A lost race is normal life: the next plan sees the winner's state.
    private static func isRace(_ error: any Error) -> Bool {
        guard let error = error as? APIError else { return error is CancellationError }
        return error.code == 409 || error.code == 404
    }

    // MARK: - Actions

    private func perform(_ actions: [Action]) async throws {
        var reached: [GroupVersionResource: Int64] = [:]
        // What was written before a failure counts too: the next plan must see it.
        func wait() async { for (resource, revision) in reached { await view.reached(revision, resource) } }
        var rest = actions[...]
        do {
            while let first = rest.first {
                let batch = [first] + rest.dropFirst().prefix { $0.runs(with: first) }
                rest = rest.dropFirst(batch.count)
                let written = try await perform(batch: batch)
                for (resource, revision) in written { reached[resource] = max(reached[resource] ?? 0, revision) }
            }
        } catch {
            await wait()
            throw error
        }
        await wait()
    }

    private func perform(batch: [Action]) async throws -> [(GroupVersionResource, Int64)] {
        if batch.count == 1 { return try await perform(batch[0]).map { [$0] } ?? [] }
        return try await withThrowingTaskGroup(of: (GroupVersionResource, Int64)?.self) { group in
            for action in batch { group.addTask { try await self.perform(action) } }
            var written: [(GroupVersionResource, Int64)] = []
            for try await one in group { if let one { written.append(one) } }
            return written
        }
    }

    private func perform(_ action: Action) async throws -> (GroupVersionResource, Int64)? {
        let client = view.client
        switch action {
        case .create(let resource, let object):
            return (resource, try await client.create(resource, namespace: object.namespace, object).revision)
        case .update(let resource, let object):
            return (resource, try await client.update(resource, object, subresource: nil).revision)
        case .updateStatus(let resource, let object):
            return (resource, try await client.update(resource, object, subresource: "status").revision)
        case .patch(let resource, let key, let type, let patch, let subresource):
            return (resource, try await client.patch(resource, key, type, patch, subresource: subresource).revision)
        case .delete(let resource, let key, let options):
            do {
                return (resource, try await client.delete(resource, key, options).revision)
            } catch let error as APIError where error.code == 404 {
                return nil
            }
        case .event(let event):
            recorder.record(event)
            return nil
        }
    }
}

extension Action {
    fileprivate func runs(with first: Action) -> Bool {
        switch (first, self) {
        case (.create, .create), (.delete, .delete): true
        default: false
        }
    }
}

/// A sleep that can be cut short from outside.
private final class Alarm: Sendable {
    private let sleeper = Mutex<Task<Void, Never>?>(nil)

    func sleep(for delay: Duration, time: any TimeSource) async {
        let task = Task { _ = try? await time.sleep(for: delay) }
        sleeper.withLock { $0 = task }
        await withTaskCancellationHandler { await task.value } onCancel: { task.cancel() }
    }

    func rearm() { sleeper.withLock { $0?.cancel() } }
}

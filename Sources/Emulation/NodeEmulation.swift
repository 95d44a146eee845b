package import Client
package import Core
import Kinds
import Logging
import Machinery
import Schema
import Synchronization
import Tree

/// Plays the agents of all emulated nodes: one task for all of them, which sleeps until the next heartbeat or pod is due. It knows
/// nothing that the objects do not say, so the next daemon goes on where this one ended.
package final class NodeEmulation: Sendable {
    package struct Options: Sendable {
        package var leaseSeconds: Int64 = 40
        /// How often a lease is renewed; spread over the nodes, those of a tick in one go.
        package var leaseInterval: Duration = .seconds(15)
        package var statusInterval: Duration = .seconds(600)
        package var tick: Duration = .milliseconds(500)
        /// Writes under way at once.
        package var parallelism = 32
        package init() {}
    }

    private enum Item: Hashable, Sendable {
        case lease(String)
        case status(String)
        case pod(ObjectKey)
    }

    private struct State {
        var nodes: [String: String] = [:]
        var agenda = Agenda<Item>()
        var addresses = FakeAddresses()
        var underWay = 0
        var hasRung = false
        /// What was due again while it was being done.
        var busy: Set<Item> = []
        var again: Set<Item> = []
    }

    package let view: ClusterView
    private let options: Options
    private let time: any TimeSource
    private let state = Mutex(State())
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation
    private let log = Logger(label: "emulation")

    /// Declares and listens; nothing runs before `run`.
    package init(view: ClusterView, _ options: Options = Options(), time: any TimeSource = SystemTime()) {
        self.view = view
        self.options = options
        self.time = time
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        view.listen(.nodes) { [self] change in observeNode(change) }
        view.listen(.pods) { [self] change in observePod(change) }
        view.declare(.nodes)
        view.declare(.pods, indexes: [.node])
    }

    /// An address for one more node.
    func nodeAddress() -> String { state.withLock { $0.addresses.give() } }

    // MARK: - What happens in the cluster

    private func observeNode(_ change: ClusterView.Change) {
        let name = change.key.name
        guard let node = change.new, EmulatedNode.isOne(node) else {
            state.withLock { state in
                guard let address = state.nodes.removeValue(forKey: name) else { return }
                state.addresses.release(address)
                state.agenda.remove(.lease(name))
                state.agenda.remove(.status(name))
            }
            return
        }
        let isNew = state.withLock { state in
            let now = time.now()
            let address = EmulatedNode.address(node)
            let isNew = state.nodes.updateValue(address, forKey: name) == nil
            state.addresses.take(address)
            if isNew {
                state.agenda.set(.lease(name), at: spread(name, over: options.leaseInterval, now))
                state.agenda.set(.status(name), at: spread(name, over: options.statusInterval, now))
            }
            // Somebody took it for dead, as after a long sleep of the machine.
            if !EmulatedNode.isReady(node) { state.agenda.set(.status(name), at: now) }
            return isNew
        }
        // Their node may come after them.
        if isNew { for key in view.read({ $0[.pods].keys("node", name) }) { schedule(.pod(key), at: time.now()) } }
        wake.yield()
    }

    private func observePod(_ change: ClusterView.Change) {
        let node = (change.new ?? change.old)?["spec"]["nodeName"].string ?? ""
        guard !node.isEmpty else { return }
        state.withLock { state in
            guard state.nodes[node] != nil else { return }
            let address = (change.new ?? change.old)?["status"]["podIP"].string ?? ""
            if change.new == nil { state.addresses.release(address) } else { state.addresses.take(address) }
            guard let pod = change.new else { return state.agenda.remove(.pod(change.key)) }
            // A pod that runs and stays asks for nothing.
            if pod["status"]["phase"].string == "Running", !pod.isBeingDeleted, case .nothing = EmulatedPod.next(pod, nodeAddress: "", now: time.now(), address: { "" }) { return }
            add(&state, .pod(change.key), at: time.now())
        }
        wake.yield()
    }

    private func schedule(_ item: Item, at due: Timestamp) { state.withLock { add(&$0, item, at: due) } }

    private func add(_ state: inout State, _ item: Item, at due: Timestamp) {
        if state.busy.contains(item) { state.again.insert(item) } else { state.agenda.set(item, at: due) }
    }

    /// Some time within an interval, always the same for a name, at the end of a tick.
    private func spread(_ name: String, over interval: Duration, _ now: Timestamp) -> Timestamp {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let ticks = max(1, Int64(interval / options.tick))
        return tickEnd(now + options.tick * Int((hash >> 16) % UInt64(ticks)))
    }

    /// What is due within a tick is done together, so that it is committed together.
    private func tickEnd(_ due: Timestamp) -> Timestamp {
        let step = options.tick.components.seconds * 1_000_000_000 + options.tick.components.attoseconds / 1_000_000_000
        guard step > 0 else { return due }
        let nanoseconds = due.seconds * 1_000_000_000 + Int64(due.nanoseconds)
        let end = (nanoseconds / step + 1) * step
        return Timestamp(seconds: end / 1_000_000_000, nanoseconds: Int32(end % 1_000_000_000))
    }

    // MARK: - Working

    /// Plays until cancelled.
    package func run() async {
        await view.synced()
        await withDiscardingTaskGroup { group in
            var signals = wakes.makeAsyncIterator()
            var alarm: Timestamp?
            while !Task.isCancelled {
                let now = time.now()
                let (due, next, hasRung) = state.withLock { state -> ([Item], Timestamp?, Bool) in
                    defer { state.hasRung = false }
                    let due = state.agenda.take(options.parallelism - state.underWay, now: now)
                    state.underWay += due.count
                    state.busy.formUnion(due)
                    return (due, state.underWay < options.parallelism ? state.agenda.nextTime() : nil, state.hasRung)
                }
                if hasRung { alarm = nil }
                for item in due { group.addTask { await self.work(item) } }
                if let next, alarm.map({ $0 > next }) ?? true {
                    alarm = next
                    group.addTask {
                        try? await self.time.sleep(for: max(next - now, .milliseconds(1)))
                        // By the clock of the day the time may not have come yet.
                        self.state.withLock { $0.hasRung = true }
                        self.wake.yield()
                    }
                }
                guard await signals.next() != nil else { break }
            }
            group.cancelAll()
        }
    }

    private func work(_ item: Item) async {
        let next: Timestamp?
        do {
            switch item {
            case .lease(let name): next = try await renew(name)
            case .status(let name): next = try await report(name)
            case .pod(let key): next = try await step(key)
            }
        } catch {
            log.debug("emulation is tried again", metadata: ["item": "\(item)", "error": "\(error)"])
            next = Task.isCancelled ? nil : time.now() + .seconds(1)
        }
        state.withLock { state in
            state.underWay -= 1
            state.busy.remove(item)
            if state.again.remove(item) != nil { state.agenda.set(item, at: time.now()) } else if let next { state.agenda.set(item, at: next) }
        }
        wake.yield()
    }

    private func renew(_ name: String) async throws -> Timestamp? {
        guard let node = view.get(.nodes, ObjectKey("", name)), EmulatedNode.isOne(node) else { return nil }
        let now = time.now()
        let lease = EmulatedNode.lease(node, seconds: options.leaseSeconds, now: now)
        do {
            _ = try await view.client.patch(.leases, ObjectKey(lease.namespace, name), .merge, ["spec": lease["spec"]], subresource: nil)
        } catch let error as APIError where error.code == 404 {
            _ = try await view.client.create(.leases, namespace: lease.namespace, lease)
        }
        return tickEnd(now + (options.leaseInterval - options.tick))
    }

    private func report(_ name: String) async throws -> Timestamp? {
        guard let node = view.get(.nodes, ObjectKey("", name)), EmulatedNode.isOne(node) else { return nil }
        let now = time.now()
        var status: Node = ["conditions": .list(EmulatedNode.conditions(old: node["status"]["conditions"].list, now: now))]
        if node["status"]["allocatable"].isEmpty {
            // Made by hand, with no more than the label.
            let made = EmulatedNode.make(name, .standard, address: nodeAddress(), now: now)["status"]
            for key in ["capacity", "allocatable", "addresses", "nodeInfo"] { status[key] = made[key] }
        }
        _ = try await view.client.patch(.nodes, ObjectKey("", name), .strategic, ["status": status], subresource: "status")
        return tickEnd(now + options.statusInterval)
    }

    private func step(_ key: ObjectKey) async throws -> Timestamp? {
        guard let pod = view.get(.pods, key), let nodeAddress = state.withLock({ $0.nodes[PodView(pod).nodeName] }) else { return nil }
        let next = EmulatedPod.next(pod, nodeAddress: nodeAddress, now: time.now()) { state.withLock { $0.addresses.give() } }
        do {
            switch next {
            case .nothing: return nil
            case .wait(let until): return until
            case .report(let status):
                _ = try await view.client.patch(
                    .pods, key, .merge, ["metadata": ["uid": .string(pod.uid)], "status": status], subresource: "status")
            case .remove:
                _ = try await view.client.delete(.pods, key, DeleteOptions(gracePeriodSeconds: 0, uid: pod.uid))
            }
        } catch let error as APIError where error.code == 404 || error.code == 409 {
            // Another pod by now, or none: its own event comes.
        }
        return nil
    }
}

import Client
import Core
import Logging
import Machinery
import Schema
import Synchronization
import Transport
import Tree

/// The drivers of devices that serve this node now, and what becomes of their slices when one does not come back.
final class DriverPlugins: PluginHandler {
    let type = "DRAPlugin"

    /// One instance of a driver; during an update there are two.
    struct Plugin: Sendable {
        let socket: String
        /// `v1` or `v1beta1`: the package of the service.
        let version: String
        let client: GRPCClient
        /// Ended with the registration.
        fileprivate let stay: AsyncStream<Void>.Continuation

        func call(_ method: String, _ message: [UInt8]) async throws -> [UInt8] {
            try await client.call("/k8s.io.kubelet.pkg.apis.dra.\(version).DRAPlugin/\(method)", message)
        }
    }

    private struct State {
        var plugins: [String: [Plugin]] = [:]
        var health = DeviceHealthTable()
        /// Counts the changes of a driver, so that a wipe that was called off does not happen.
        var generations: [String: Int] = [:]

        mutating func remove(_ driver: String, _ socket: String) {
            for plugin in plugins[driver] ?? [] where plugin.socket == socket { plugin.stay.finish() }
            plugins[driver]?.removeAll { $0.socket == socket }
        }
    }

    private let state = Mutex(State())
    private let node: String
    private let client: any ClusterClient
    private let log: Logger
    /// How long a driver may be away, for an update, before its slices go.
    private let patience: Duration
    private enum Happening: Sendable {
        case departed(driver: String, generation: Int)
        case arrived(driver: String, Plugin, stay: AsyncStream<Void>)
    }
    private let happenings: AsyncStream<Happening>
    private let happening: AsyncStream<Happening>.Continuation
    /// Drivers whose devices are in another state.
    let healthChanges: AsyncStream<String>
    private let healthChange: AsyncStream<String>.Continuation

    init(node: String, client: any ClusterClient, patience: Duration = .seconds(30), log: Logger) {
        self.node = node
        self.client = client
        self.patience = patience
        self.log = log
        (happenings, happening) = AsyncStream.makeStream()
        (healthChanges, healthChange) = AsyncStream.makeStream()
    }

    /// The newest instance of a driver.
    func plugin(_ driver: String) -> Plugin? { state.withLock { $0.plugins[driver]?.last } }

    func register(_ plugin: PluginInfo, socket: String) async throws {
        guard let version = ["v1", "v1beta1"].first(where: { plugin.versions.contains("\($0).DRAPlugin") }) else {
            throw PluginRefusal("the required gRPC service was not advertised: \(plugin.versions.joined(separator: ", "))")
        }
        let (stay, leave) = AsyncStream<Void>.makeStream()
        let made = Plugin(socket: socket, version: version, client: GRPCClient(unixPath: plugin.endpoint), stay: leave)
        state.withLock { state in
            state.remove(plugin.name, socket)
            state.plugins[plugin.name, default: []].append(made)
            state.generations[plugin.name, default: 0] += 1
        }
        happening.yield(.arrived(driver: plugin.name, made, stay: stay))
    }

    func deregister(_ plugin: PluginInfo, socket: String) async {
        let generation = state.withLock { state -> Int? in
            state.remove(plugin.name, socket)
            guard state.plugins[plugin.name]?.isEmpty ?? true else { return nil }
            state.plugins[plugin.name] = nil
            state.generations[plugin.name, default: 0] += 1
            return state.generations[plugin.name]
        }
        if let generation { happening.yield(.departed(driver: plugin.name, generation: generation)) }
    }

    /// Until cancelled. At first it looks after drivers that did not come back with this kubelet.
    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                try? await Task.sleep(for: self.patience)
                if !Task.isCancelled { await self.wipe(driver: nil) }
            }
            for await happening in happenings {
                group.addTask {
                    switch happening {
                    case .arrived(let driver, let plugin, let stay):
                        await withTaskGroup(of: Void.self) { race in
                            race.addTask { await self.followHealth(driver, plugin) }
                            race.addTask { for await _ in stay {} }
                            await race.next()
                            race.cancelAll()
                        }
                    case .departed(let driver, let generation):
                        try? await Task.sleep(for: self.patience)
                        guard !Task.isCancelled, self.state.withLock({ $0.generations[driver] == generation }) else { return }
                        await self.wipe(driver: driver)
                    }
                }
            }
        }
    }

    /// Removes the node's slices of a driver, or of all that are not there, until it is done.
    private func wipe(driver: String?) async {
        var backoff = Backoff(base: .milliseconds(200), limit: .seconds(30))
        while !Task.isCancelled {
            do {
                let options = ListOptions(fieldSelector: "spec.nodeName=\(node)" + (driver.map { ",spec.driver=\($0)" } ?? ""))
                for slice in try await client.list(.resourceSlices, options).items where plugin(slice["spec"]["driver"].string ?? "") == nil {
                    do { _ = try await client.delete(.resourceSlices, ObjectKey("", slice.name), DeleteOptions(uid: slice.uid)) } catch let error as APIError where error.code == 404 {}
                }
                return
            } catch {
                log.debug("slices not removed", metadata: ["driver": "\(driver ?? "")", "error": "\(error)"])
                try? await Task.sleep(for: backoff.next())
            }
        }
    }

    // MARK: - Health

    func health(_ driver: String, _ device: PreparedDevice) -> DeviceHealth {
        state.withLock { $0.health.health(driver, device.pool, device.device, now: .now) }
    }

    /// Until cancelled. A driver that knows nothing of its devices' health does not have the method.
    private func followHealth(_ driver: String, _ plugin: Plugin) async {
        while !Task.isCancelled {
            do {
                try await withThrowingDiscardingTaskGroup { timers in
                    try await plugin.client.follow("/v1alpha1.DRAResourceHealth/NodeWatchResources", []) { message in
                        guard let report = try? DeviceHealth.read(message) else { return }
                        let changed = self.state.withLock { $0.health.take(report, of: driver, now: .now) }
                        if changed { self.healthChange.yield(driver) }
                        // What is not told again in time is not known any more.
                        for patience in Set(report.values.map(\.patience)) {
                            timers.addTask {
                                try await Task.sleep(for: patience + .milliseconds(10))
                                if self.state.withLock({ $0.health.expire(driver, now: .now) }) { self.healthChange.yield(driver) }
                            }
                        }
                    }
                    throw CancellationError()
                }
            } catch {
                if self.state.withLock({ $0.health.forget(driver) }) { healthChange.yield(driver) }
                if (error as? GRPCFailure)?.isUnimplemented == true { return }
            }
            try? await Task.sleep(for: .seconds(5))
        }
    }
}

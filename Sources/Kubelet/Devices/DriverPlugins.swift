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

        func call(_ method: String, _ message: [UInt8]) async throws -> [UInt8] {
            try await client.call("/k8s.io.kubelet.pkg.apis.dra.\(version).DRAPlugin/\(method)", message)
        }
    }

    private struct State {
        var plugins: [String: [Plugin]] = [:]
        /// Counts the changes of a driver, so that a wipe that was called off does not happen.
        var generations: [String: Int] = [:]
    }

    private let state = Mutex(State())
    private let node: String
    private let client: any ClusterClient
    private let log: Logger
    /// How long a driver may be away, for an update, before its slices go.
    private let patience: Duration
    private let departures: AsyncStream<(driver: String, generation: Int)>
    private let departure: AsyncStream<(driver: String, generation: Int)>.Continuation

    init(node: String, client: any ClusterClient, patience: Duration = .seconds(30), log: Logger) {
        self.node = node
        self.client = client
        self.patience = patience
        self.log = log
        (departures, departure) = AsyncStream.makeStream()
    }

    /// The newest instance of a driver.
    func plugin(_ driver: String) -> Plugin? { state.withLock { $0.plugins[driver]?.last } }

    func register(_ plugin: PluginInfo, socket: String) async throws {
        guard let version = ["v1", "v1beta1"].first(where: { plugin.versions.contains("\($0).DRAPlugin") }) else {
            throw PluginRefusal("the required gRPC service was not advertised: \(plugin.versions.joined(separator: ", "))")
        }
        let made = Plugin(socket: socket, version: version, client: GRPCClient(unixPath: plugin.endpoint))
        state.withLock { state in
            state.plugins[plugin.name]?.removeAll { $0.socket == socket }
            state.plugins[plugin.name, default: []].append(made)
            state.generations[plugin.name, default: 0] += 1
        }
    }

    func deregister(_ plugin: PluginInfo, socket: String) async {
        let generation = state.withLock { state -> Int? in
            state.plugins[plugin.name]?.removeAll { $0.socket == socket }
            guard state.plugins[plugin.name]?.isEmpty ?? true else { return nil }
            state.plugins[plugin.name] = nil
            state.generations[plugin.name, default: 0] += 1
            return state.generations[plugin.name]
        }
        if let generation { departure.yield((plugin.name, generation)) }
    }

    /// Until cancelled. At first it looks after drivers that did not come back with this kubelet.
    func run() async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                try? await Task.sleep(for: self.patience)
                if !Task.isCancelled { await self.wipe(driver: nil) }
            }
            for await (driver, generation) in departures {
                group.addTask {
                    try? await Task.sleep(for: self.patience)
                    guard !Task.isCancelled, self.state.withLock({ $0.generations[driver] == generation }) else { return }
                    await self.wipe(driver: driver)
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
}

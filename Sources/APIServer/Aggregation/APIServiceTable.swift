import Machinery
import Schema
package import Store
import Synchronization
import Tree

/// Which group versions other servers serve. It follows the store commit by commit: a request after the write of an APIService finds it.
package final class APIServiceTable: WatchSink {
    static let collection = "apiregistration.k8s.io/apiservices"

    /// An APIService with a service behind it.
    struct Entry: Sendable, Equatable {
        let name: String
        let group: String
        let version: String
        let namespace: String
        let service: String
        let port: Int
        /// PEM; nil trusts the machine's roots.
        let authorities: [UInt8]?
        let isInsecure: Bool
        let groupPriority: Int64
        let versionPriority: Int64
        let isAvailable: Bool

        /// Nil for a group version of this server.
        init?(_ node: Node) {
            let spec = node["spec"]
            guard case .map = spec["service"] else { return nil }
            name = node.name
            group = spec["group"].string ?? ""
            version = spec["version"].string ?? ""
            namespace = spec["service"]["namespace"].string ?? ""
            service = spec["service"]["name"].string ?? ""
            port = Int(spec["service"]["port"].int ?? 443)
            authorities = spec["caBundle"].string.flatMap { Base64.decode($0) }.flatMap { $0.isEmpty ? nil : $0 }
            isInsecure = spec["insecureSkipTLSVerify"].bool ?? false
            groupPriority = spec["groupPriorityMinimum"].int ?? 0
            versionPriority = spec["versionPriority"].int ?? 0
            isAvailable = node["status"]["conditions"].list.contains { $0["type"].string == "Available" && $0["status"].string == "True" }
        }

        var groupVersion: GroupVersion { GroupVersion(group: group, version: version) }
    }

    private struct State {
        var entries: [GroupVersion: Entry] = [:]
        var generation = 0
        var subscription: WatchSubscription?
    }

    private let state = Mutex(State())

    package init(_ store: Store) throws(StoreError) {
        let subscription = try store.watch(WatchInterest(APIServiceTable.collection), after: nil, sink: self)
        state.withLock { $0.subscription = subscription }
        for record in try store.list(APIServiceTable.collection).records { put(record) }
    }

    deinit { state.withLock { $0.subscription }?.cancel() }

    /// Changes with every change of an entry.
    var generation: Int { state.withLock { $0.generation } }
    var entries: [Entry] { state.withLock { Array($0.entries.values) } }
    func entry(_ groupVersion: GroupVersion) -> Entry? { state.withLock { $0.entries.isEmpty ? nil : $0.entries[groupVersion] } }

    private func put(_ record: Record) {
        guard let node = try? record.node() else { return }
        let key = GroupVersion(group: node["spec"]["group"].string ?? "", version: node["spec"]["version"].string ?? "")
        let entry = record.isDeletion ? nil : Entry(node)
        state.withLock { state in
            guard state.entries[key] != entry else { return }
            state.entries[key] = entry
            state.generation += 1
        }
    }

    package func deliver(_ batch: WatchBatch) {
        for event in batch.events { put(event.record) }
        state.withLock { $0.subscription }?.consumed(batch.events.count)
    }

    package func ended(_ reason: WatchEnd) {}
}

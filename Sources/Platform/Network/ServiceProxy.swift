package import Client
package import Core
package import HostNetwork
import Synchronization

/// Programs the cluster's Services into every node and the machine, as kube-proxy does on each node: always the state of the view, a
/// few milliseconds late, by differences alone.
package final class ServiceProxy: Sendable {
    private let follower: ServiceFollower

    /// Declares what it reads, so make it before the view runs.
    package init(_ network: ClusterNetwork, view: ClusterView, time: any TimeSource = SystemTime()) {
        follower = ServiceFollower(Rules(network), view: view, time: time)
    }

    /// Works until cancelled.
    package func run() async { await follower.run() }

    private final class Rules: ServiceSink {
        let name = "rules"
        private let network: ClusterNetwork
        /// As last given to the network.
        private let programmed = Mutex<[ObjectKey: [ServicePort]]>([:])

        init(_ network: ClusterNetwork) { self.network = network }

        func replace(with all: [ServiceSnapshot]) throws(SystemFailure) {
            var ports: [ObjectKey: [ServicePort]] = [:]
            for snapshot in all {
                let found = snapshot.ports
                if !found.isEmpty { ports[snapshot.key] = found }
            }
            // In a stable order: of two that claim one external address the first has it.
            let ordered = ports.sorted { ($0.key.namespace, $0.key.name) < ($1.key.namespace, $1.key.name) }
            try network.replaceServices(ordered.flatMap(\.value))
            programmed.withLock { $0 = ports }
        }

        func apply(_ changes: [ServiceSnapshot]) throws(SystemFailure) {
            var known = programmed.withLock { $0 }
            var changed: [ServicePort] = []
            var removed: [ServicePort.ID] = []
            for snapshot in changes {
                let old = known[snapshot.key] ?? []
                let new = snapshot.ports
                changed += new.filter { !old.contains($0) }
                removed += old.map(\.id).filter { id in !new.contains { $0.id == id } }
                known[snapshot.key] = new.isEmpty ? nil : new
            }
            guard !changed.isEmpty || !removed.isEmpty else { return }
            try network.updateServices(changed, removed: removed)
            programmed.withLock { $0 = known }
        }
    }
}

package import Client
package import Core
package import HostNetwork
import Synchronization

/// Keeps the cluster's DNS true to its Services: their addresses, the ready endpoints of headless ones, and external names.
package final class ServiceDNS: Sendable {
    private let follower: ServiceFollower

    /// Declares what it reads, so make it before the view runs.
    package init(_ server: DNSServer, view: ClusterView, time: any TimeSource = SystemTime()) {
        follower = ServiceFollower(Names(server), view: view, time: time)
    }

    /// Works until cancelled.
    package func run() async { await follower.run() }

    private final class Names: ServiceSink {
        let name = "names"
        private let server: DNSServer
        private let told = Mutex<[ObjectKey: DNSService]>([:])

        init(_ server: DNSServer) { self.server = server }

        func replace(with all: [ServiceSnapshot]) throws(SystemFailure) {
            let names = all.compactMap { snapshot in snapshot.names.map { (snapshot.key, $0) } }
            server.update { $0.replaceAll(names.map(\.1)) }
            told.withLock { $0 = Dictionary(names, uniquingKeysWith: { _, last in last }) }
        }

        func apply(_ changes: [ServiceSnapshot]) throws(SystemFailure) {
            for snapshot in changes {
                let new = snapshot.names
                let isSame = told.withLock { told in
                    defer { told[snapshot.key] = new }
                    return told[snapshot.key] == new
                }
                // Endpoints of ordinary Services come and go; their names do not.
                if isSame { continue }
                server.update { table in
                    if let new { table.set(new) } else { table.remove(namespace: snapshot.key.namespace, name: snapshot.key.name) }
                }
            }
        }
    }
}

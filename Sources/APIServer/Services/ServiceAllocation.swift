package import Machinery
package import Store
import Synchronization
package import Tree

/// Cluster addresses and node ports of services: none given twice, each given back when its service goes or changes type.
/// What is taken is read from the services in the store at the start; nothing else is kept. An address for which somebody has made an
/// IPAddress of his own is not given out.
package final class ServiceAllocation: CommitStage {
    struct State: Sendable {
        var addresses: NumberPool
        var ports: NumberPool
    }

    private let range: ServiceRange
    private let state: Mutex<State>
    private let store: Store

    package static let nodePorts: ClosedRange<UInt32> = 30000...32767

    /// Nil for a range that is no IPv4 prefix of 8 to 30 bits.
    package init?(cidr: String, store: Store) {
        guard let range = ServiceRange(cidr) else { return nil }
        self.range = range
        self.store = store
        // Upstream's formula for ports: min(max(16, range/32), 128).
        var initial = State(addresses: range.pool, ports: NumberPool(ServiceAllocation.nodePorts, staticCount: 86))
        for record in (try? store.list("services").records) ?? [] {
            guard let service = try? record.node() else { continue }
            let held = Held(service)
            for address in held.addresses { try? initial.addresses.take(address) }
            for port in held.ports { try? initial.ports.take(port) }
        }
        state = Mutex(initial)
    }

    /// The address of the `kubernetes` service.
    package var firstAddress: String { range.first }
    package var cidr: String { range.text }

    /// What a service holds.
    struct Held: Sendable {
        var addresses: Set<UInt32> = []
        var ports: Set<UInt32> = []

        init() {}
        init(_ service: Node) {
            let spec = service["spec"]
            let type = spec["type"].string ?? "ClusterIP"
            if type != "ExternalName" {
                for text in spec["clusterIPs"].stringList + [spec["clusterIP"].string ?? ""] {
                    if let address = ServiceAddress(text) { addresses.insert(address.value) }
                }
            }
            if type == "NodePort" || type == "LoadBalancer" {
                for port in spec["ports"].list { if let number = port["nodePort"].int, number > 0 { ports.insert(UInt32(truncatingIfNeeded: number)) } }
            }
            if ServiceAllocation.needsHealthPort(service), let number = spec["healthCheckNodePort"].int, number > 0 {
                ports.insert(UInt32(truncatingIfNeeded: number))
            }
        }
    }

    /// The objects that follow Services are only their shadow: the Services themselves say what is taken.
    private func isKept(_ address: UInt32) -> Bool {
        guard let record = store.get(Key("networking.k8s.io/ipaddresses", name: ServiceAddress(address).text)), let object = try? record.node() else { return false }
        return object["metadata"]["labels"]["ipaddress.kubernetes.io/managed-by"].string != "ipallocator.k8s.io"
    }

    static func needsHealthPort(_ service: Node) -> Bool {
        service["spec"]["type"].string == "LoadBalancer" && service["spec"]["externalTrafficPolicy"].string == "Local"
    }

    // MARK: - The stage

    package func reserve(_ object: inout Node, old: Node?, dryRun: Bool) throws(APIError) -> any CommitReservation {
        ServiceFields.prepare(&object, old: old)
        var service = object
        try ServiceFields.setFamilies(&service, old: old)
        let before = old.map { Held($0) } ?? Held()
        let outcome: Result<(Node, Held), APIError> = state.withLock { state in
            let saved = state
            do throws(APIError) {
                var work = ServiceAllocationWork(service: service, old: old, before: before, range: range.text, isKept: isKept)
                if dryRun {
                    try work.rehearse(state, range)
                } else {
                    try work.run(&state)
                }
                return .success((work.service, work.taken))
            } catch {
                state = saved
                return .failure(error)
            }
        }
        let (done, taken) = try outcome.get()
        object = done
        let after = Held(done)
        let dropped = dryRun || old == nil ? Held() : before.subtracting(after)
        return Reservation(owner: self, taken: dryRun ? Held() : taken, dropped: dropped)
    }

    package func released(_ object: Node) { release(Held(object)) }

    fileprivate func release(_ held: Held) {
        guard !held.addresses.isEmpty || !held.ports.isEmpty else { return }
        state.withLock { state in
            for address in held.addresses { state.addresses.release(address) }
            for port in held.ports { state.ports.release(port) }
        }
    }

    private struct Reservation: CommitReservation {
        let owner: ServiceAllocation
        let taken: Held
        let dropped: Held
        func keep() { owner.release(dropped) }
        func cancel() { owner.release(taken) }
    }
}

extension ServiceAllocation.Held {
    func subtracting(_ other: Self) -> Self {
        var out = self
        out.addresses.subtract(other.addresses)
        out.ports.subtract(other.ports)
        return out
    }
}

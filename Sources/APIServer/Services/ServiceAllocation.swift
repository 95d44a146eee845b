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
                try work.run(&state)
                if dryRun { state = saved }
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

/// One service's way through the pools, under their lock.
struct ServiceAllocationWork {
    var service: Node
    let old: Node?
    let before: ServiceAllocation.Held
    let range: String
    /// Whether somebody keeps an address that no Service has.
    let isKept: (UInt32) -> Bool
    var taken = ServiceAllocation.Held()

    init(service: Node, old: Node?, before: ServiceAllocation.Held, range: String, isKept: @escaping (UInt32) -> Bool) {
        self.service = service
        self.old = old
        self.before = before
        self.range = range
        self.isKept = isKept
    }

    mutating func run(_ state: inout ServiceAllocation.State) throws(APIError) {
        try takeAddress(&state)
        let type = service["spec"]["type"].string ?? "ClusterIP"
        if type == "NodePort" || type == "LoadBalancer" { try takePorts(&state) }
        if ServiceAllocation.needsHealthPort(service) { try takeHealthPort(&state) }
    }

    private func invalid(_ error: FieldError) -> APIError { .invalid(kind: "Service", name: service.name, errors: [error]) }

    private mutating func takeAddress(_ state: inout ServiceAllocation.State) throws(APIError) {
        let spec = service["spec"]
        guard spec["type"].string != "ExternalName", spec["clusterIP"].string != "None", spec["clusterIPs"][0].string != "None" else { return }
        let asked = spec["clusterIPs"][0].string ?? spec["clusterIP"].string ?? ""
        let list = "[" + spec["clusterIPs"].stringList.map(FieldError.quoted).joined(separator: ",") + "]"
        if asked.isEmpty {
            do {
                let number = try takeAnyAddress(&state.addresses)
                taken.addresses.insert(number)
                let text = ServiceAddress(number).text
                service["spec"]["clusterIP"] = .string(text)
                service["spec"]["clusterIPs"] = [.string(text)]
            } catch {
                throw .internalError("failed to allocate a serviceIP for Service \(FieldError.quoted(service.name)): range is full")
            }
            return
        }
        // Well-formedness is validation's to tell.
        guard let address = ServiceAddress(asked), !before.addresses.contains(address.value) else { return }
        do throws(NumberPool.Failure) {
            try state.addresses.take(address.value)
            if isKept(address.value) {
                state.addresses.release(address.value)
                throw .taken
            }
            taken.addresses.insert(address.value)
        } catch {
            let why: String
            switch error {
            case .taken: why = "provided IP is already allocated"
            case .outside: why = "the provided IP (\(asked)) is not in the valid range. The range of valid IPs is \(range)"
            case .full: why = "range is full"
            }
            throw invalid(.invalid("spec.clusterIPs", list, "failed to allocate IP \(asked): \(why)"))
        }
    }

    private func takeAnyAddress(_ pool: inout NumberPool) throws(NumberPool.Failure) -> UInt32 {
        var kept: [UInt32] = []
        defer { for number in kept { pool.release(number) } }
        while true {
            let number = try pool.takeAny()
            if !isKept(number) { return number }
            kept.append(number)
        }
    }

    private mutating func takePorts(_ state: inout ServiceAllocation.State) throws(APIError) {
        let allocates = service["spec"]["type"].string == "NodePort" || service["spec"]["allocateLoadBalancerNodePorts"].bool ?? true
        var ports = service["spec"]["ports"].list
        // The same port number under two protocols shares one node port.
        var byPort: [Int64: Int64] = [:]
        for port in ports where (port["nodePort"].int ?? 0) != 0 { byPort[port["port"].int ?? 0] = byPort[port["port"].int ?? 0] ?? port["nodePort"].int }
        for index in ports.indices {
            let number = ports[index]["nodePort"].int ?? 0
            if number != 0 {
                let wanted = UInt32(truncatingIfNeeded: number)
                if before.ports.contains(wanted) || taken.ports.contains(wanted) { continue }
                do {
                    try state.ports.take(wanted)
                    taken.ports.insert(wanted)
                } catch {
                    let why = error == .outside ? "provided port is not in the valid range. The range of valid ports is 30000-32767" : "provided port is already allocated"
                    throw invalid(.invalid("spec.ports[\(index)].nodePort", String(number), why))
                }
                continue
            }
            guard allocates else { continue }
            let port = ports[index]["port"].int ?? 0
            if old == nil, let shared = byPort[port] {
                ports[index]["nodePort"] = .int(shared)
                continue
            }
            do {
                let made = try state.ports.takeAny()
                taken.ports.insert(made)
                byPort[port] = Int64(made)
                ports[index]["nodePort"] = .int(Int64(made))
            } catch {
                throw .internalError("failed to allocate a nodePort: range is full")
            }
        }
        if !ports.isEmpty { service["spec"]["ports"] = .list(ports) }
    }

    private mutating func takeHealthPort(_ state: inout ServiceAllocation.State) throws(APIError) {
        let number = service["spec"]["healthCheckNodePort"].int ?? 0
        do {
            if number == 0 {
                let made = try state.ports.takeAny()
                taken.ports.insert(made)
                service["spec"]["healthCheckNodePort"] = .int(Int64(made))
            } else {
                let wanted = UInt32(truncatingIfNeeded: number)
                if before.ports.contains(wanted) { return }
                try state.ports.take(wanted)
                taken.ports.insert(wanted)
            }
        } catch {
            let why =
                switch error {
                case .full: "range is full"
                case .taken: "provided port is already allocated"
                case .outside: "provided port is not in the valid range. The range of valid ports is 30000-32767"
                }
            throw .internalError("failed to allocate requested HealthCheck NodePort \(number): \(why)")
        }
    }
}

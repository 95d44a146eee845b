import Core
import Machinery
import Tree

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
        try takeAllPorts(&state.ports)
    }

    /// The node ports that it wants, and that of its health.
    mutating func takeAllPorts(_ source: inout some NumberSource) throws(APIError) {
        let type = service["spec"]["type"].string ?? "ClusterIP"
        if type == "NodePort" || type == "LoadBalancer" { try takePorts(&source) }
        if ServiceAllocation.needsHealthPort(service) { try takeHealthPort(&source) }
    }

    func invalid(_ error: FieldError) -> APIError { .invalid(kind: "Service", name: service.name, errors: [error]) }

    func refusal(of asked: String, _ why: String) -> APIError {
        let list = "[" + service["spec"]["clusterIPs"].stringList.map(FieldError.quoted).joined(separator: ",") + "]"
        return invalid(.invalid("spec.clusterIPs", list, "failed to allocate IP \(asked): \(why)"))
    }

    private mutating func takeAddress(_ state: inout ServiceAllocation.State) throws(APIError) {
        let spec = service["spec"]
        guard spec["type"].string != "ExternalName", spec["clusterIP"].string != "None", spec["clusterIPs"][0].string != "None" else { return }
        let asked = spec["clusterIPs"][0].string ?? spec["clusterIP"].string ?? ""
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
            throw refusal(of: asked, why)
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

    private mutating func takePorts(_ source: inout some NumberSource) throws(APIError) {
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
                    try source.take(wanted)
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
                let made = try source.takeAny()
                taken.ports.insert(made)
                byPort[port] = Int64(made)
                ports[index]["nodePort"] = .int(Int64(made))
            } catch {
                throw .internalError("failed to allocate a nodePort: range is full")
            }
        }
        if !ports.isEmpty { service["spec"]["ports"] = .list(ports) }
    }

    private mutating func takeHealthPort(_ source: inout some NumberSource) throws(APIError) {
        let number = service["spec"]["healthCheckNodePort"].int ?? 0
        do {
            if number == 0 {
                let made = try source.takeAny()
                taken.ports.insert(made)
                service["spec"]["healthCheckNodePort"] = .int(Int64(made))
            } else {
                let wanted = UInt32(truncatingIfNeeded: number)
                if before.ports.contains(wanted) { return }
                try source.take(wanted)
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

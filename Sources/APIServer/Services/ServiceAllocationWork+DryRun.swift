import Core
import Machinery
import Tree

extension ServiceAllocationWork {
    /// What a dry run answers. Nothing is taken, so nothing is looked for either: the address is the range's own, whatever is
    /// asked for in the range may be had, and ports are numbered from above all that there are.
    mutating func rehearse(_ state: ServiceAllocation.State, _ range: ServiceRange) throws(APIError) {
        try rehearseAddress(range)
        let type = service["spec"]["type"].string ?? "ClusterIP"
        if type == "NodePort" || type == "LoadBalancer" { try rehearsePorts(state.ports) }
        if ServiceAllocation.needsHealthPort(service) { try rehearseHealthPort(state.ports) }
    }

    private mutating func rehearseAddress(_ range: ServiceRange) throws(APIError) {
        let spec = service["spec"]
        guard spec["type"].string != "ExternalName", spec["clusterIP"].string != "None", spec["clusterIPs"][0].string != "None" else { return }
        let asked = spec["clusterIPs"][0].string ?? spec["clusterIP"].string ?? ""
        guard asked.isEmpty else {
            if let address = ServiceAddress(asked), !before.addresses.contains(address.value), !range.pool.range.contains(address.value) {
                throw refusal(of: asked, "the provided IP (\(asked)) is not in the valid range. The range of valid IPs is \(range.text)")
            }
            return
        }
        service["spec"]["clusterIP"] = .string(range.network)
        service["spec"]["clusterIPs"] = [.string(range.network)]
    }

    private mutating func rehearsePorts(_ pool: NumberPool) throws(APIError) {
        let allocates = service["spec"]["type"].string == "NodePort" || service["spec"]["allocateLoadBalancerNodePorts"].bool ?? true
        var ports = service["spec"]["ports"].list
        var byPort: [Int64: Int64] = [:]
        for port in ports where (port["nodePort"].int ?? 0) != 0 { byPort[port["port"].int ?? 0] = byPort[port["port"].int ?? 0] ?? port["nodePort"].int }
        for index in ports.indices {
            let number = ports[index]["nodePort"].int ?? 0
            if number != 0 {
                let wanted = UInt32(truncatingIfNeeded: number)
                if before.ports.contains(wanted) || taken.ports.contains(wanted) { continue }
                if pool.taken.contains(wanted) { throw invalid(.invalid("spec.ports[\(index)].nodePort", String(number), "provided port is already allocated")) }
                taken.ports.insert(wanted)
                continue
            }
            guard allocates else { continue }
            let port = ports[index]["port"].int ?? 0
            if old == nil, let shared = byPort[port] {
                ports[index]["nodePort"] = .int(shared)
                continue
            }
            let made = nextPort()
            byPort[port] = Int64(made)
            ports[index]["nodePort"] = .int(Int64(made))
        }
        if !ports.isEmpty { service["spec"]["ports"] = .list(ports) }
    }

    private mutating func rehearseHealthPort(_ pool: NumberPool) throws(APIError) {
        let number = service["spec"]["healthCheckNodePort"].int ?? 0
        if number == 0 { return service["spec"]["healthCheckNodePort"] = .int(Int64(nextPort())) }
        let wanted = UInt32(truncatingIfNeeded: number)
        if before.ports.contains(wanted) { return }
        if pool.taken.contains(wanted) { throw .internalError("failed to allocate requested HealthCheck NodePort \(number): provided port is already allocated") }
        taken.ports.insert(wanted)
    }

    /// A number that no service has: above the ports that nodes have for them.
    private mutating func nextPort() -> UInt32 {
        let made = (taken.ports.max() ?? ServiceAllocation.nodePorts.upperBound + 1) + 1
        taken.ports.insert(made)
        return made
    }
}

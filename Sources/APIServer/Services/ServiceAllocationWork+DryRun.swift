import Core
import Machinery
import Tree

extension ServiceAllocationWork {
    /// What a dry run answers. Nothing is taken, so nothing is looked for either: the address is the range's own, whatever is
    /// asked for in the range may be had, and ports are numbered from above all that there are.
    mutating func rehearse(_ state: ServiceAllocation.State, _ range: ServiceRange) throws(APIError) {
        try rehearseAddress(range)
        var ports = RehearsedPorts(state.ports)
        try takeAllPorts(&ports)
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
}

/// Ports of a dry run: those that services have are taken, and nothing else is.
private struct RehearsedPorts: NumberSource {
    let pool: NumberPool
    private var own: Set<UInt32> = []

    init(_ pool: NumberPool) { self.pool = pool }

    mutating func take(_ number: UInt32) throws(NumberPool.Failure) {
        if pool.taken.contains(number) { throw .taken }
        own.insert(number)
    }

    /// One more than the largest of this service: where it has none, above the ports that nodes have for services.
    mutating func takeAny() throws(NumberPool.Failure) -> UInt32 {
        let made = (own.max() ?? ServiceAllocation.nodePorts.upperBound + 1) + 1
        own.insert(made)
        return made
    }
}

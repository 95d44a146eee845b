package import Core
package import Linux
import Synchronization

/// Keeps the Services of one namespace programmed: each call makes one transaction that holds the difference alone.
/// After a start the difference is taken from what the kernel has, so a crash at any moment heals by itself.
package final class ServiceRules: Sendable {
    private struct State {
        var services: [ServicePort.ID: CompiledService] = [:]
        /// Who claims an element, first come first; two services may ask for one external address.
        var claims: [ElementID: Claim] = [:]
        /// Who waits for an element that another one has.
        var rivals: [ElementID: [Claim]] = [:]
        /// What the kernel has; nil until read, or after a refused transaction.
        var programmed: [ElementID: Nftables.Value]?
        var chains: Set<String> = []
    }

    private struct Claim {
        var service: ServicePort.ID
        var value: Nftables.Value
    }

    private let nftables: Nftables
    private let compiler: ServiceCompiler
    private let state = Mutex(State())

    /// The table must be installed. `node` is nil for the host.
    package init(_ nftables: Nftables, node: String?) {
        self.nftables = nftables
        compiler = ServiceCompiler(node: node)
    }

    /// Makes the given service ports all there are.
    package func replaceAll(_ services: [ServicePort]) throws(SystemFailure) {
        try change { state in
            let kept = Set(services.map(\.id))
            return (services, state.services.keys.filter { !kept.contains($0) })
        }
    }

    /// Adds or replaces some service ports and removes others.
    package func update(_ changed: [ServicePort], removed: [ServicePort.ID] = []) throws(SystemFailure) {
        try change { _ in (changed, removed) }
    }

    /// Forgets what it believes of the kernel; the next change compares with the truth.
    package func invalidate() { state.withLock { $0.programmed = nil } }

    private func change(_ plan: (State) -> ([ServicePort], [ServicePort.ID])) throws(SystemFailure) {
        let result = state.withLock { state -> Result<Void, SystemFailure> in
            do throws(SystemFailure) {
                let (changed, removed) = plan(state)
                try apply(changed, removed, &state)
                return .success(())
            } catch {
                state.programmed = nil
                return .failure(error)
            }
        }
        try result.get()
    }

    private func apply(_ changed: [ServicePort], _ removed: [ServicePort.ID], _ state: inout State) throws(SystemFailure) {
        var touched: Set<ElementID> = []
        let comparesAll = state.programmed == nil
        var chains: Set<BalanceChain> = []
        var stale = StaleDatagrams()
        for id in removed {
            guard let old = state.services.removeValue(forKey: id) else { continue }
            ServiceRules.release(old, of: id, &state, &touched)
            stale.note(old: old, new: nil)
        }
        for service in changed {
            let old = state.services[service.id]
            let new = compiler.compile(service, after: old)
            if let old {
                // What stays keeps its place before rivals.
                let kept = Set(new.elements.map(\.id))
                ServiceRules.release(old, of: service.id, keeping: kept, &state, &touched)
            }
            for (id, value) in new.elements {
                ServiceRules.claim(id, Claim(service: service.id, value: value), &state)
                if !comparesAll { touched.insert(id) }
            }
            chains.formUnion(new.chains)
            stale.note(old: old, new: new)
            state.services[service.id] = new
        }
        if comparesAll {
            try read(&state)
            // Everything is compared, what nobody claims included.
            touched = Set(state.claims.keys)
            if let programmed = state.programmed { touched.formUnion(programmed.keys) }
            chains = state.services.values.reduce(into: []) { $0.formUnion($1.chains) }
        }
        try commit(touched, chains, &state)
        try stale.flush(nftables.conntrack)
    }

    private static func claim(_ id: ElementID, _ claim: Claim, _ state: inout State) {
        guard let holder = state.claims[id], holder.service != claim.service else { return state.claims[id] = claim }
        var rivals = state.rivals[id] ?? []
        if let index = rivals.firstIndex(where: { $0.service == claim.service }) { rivals[index] = claim } else { rivals.append(claim) }
        state.rivals[id] = rivals
    }

    private static func release(
        _ old: CompiledService, of id: ServicePort.ID, keeping kept: Set<ElementID> = [], _ state: inout State,
        _ touched: inout Set<ElementID>
    ) {
        for (element, _) in old.elements where !kept.contains(element) {
            touched.insert(element)
            if var rivals = state.rivals[element] {
                rivals.removeAll { $0.service == id }
                if state.claims[element]?.service == id, !rivals.isEmpty { state.claims[element] = rivals.removeFirst() }
                state.rivals[element] = rivals.isEmpty ? nil : rivals
            }
            if state.claims[element]?.service == id { state.claims[element] = nil }
        }
    }

    private func read(_ state: inout State) throws(SystemFailure) {
        var programmed: [ElementID: Nftables.Value] = [:]
        for map in ServiceMap.allCases {
            for element in try nftables.elements(of: map.name) {
                programmed[ElementID(map: map, key: element.key)] = element.value
            }
        }
        state.programmed = programmed
        state.chains = try nftables.chains()
    }

    private func commit(_ touched: Set<ElementID>, _ chains: Set<BalanceChain>, _ state: inout State) throws(SystemFailure) {
        var deleted: [ServiceMap: [Nftables.Element]] = [:]
        var added: [ServiceMap: [Nftables.Element]] = [:]
        for id in touched {
            let want = state.claims[id]?.value
            let have = state.programmed?[id]
            guard want != have else { continue }
            if have != nil { deleted[id.map, default: []].append(Nftables.Element(key: id.key, value: .none)) }
            if let want { added[id.map, default: []].append(Nftables.Element(key: id.key, value: want)) }
            state.programmed?[id] = want
        }
        var batch = nftables.transaction()
        for chain in chains where state.chains.insert(chain.name).inserted { chain.add(to: &batch) }
        for (map, elements) in deleted { batch.delete(elements, from: map.name) }
        for (map, elements) in added { batch.add(elements, to: map.name) }
        try nftables.commit(batch)
    }
}

/// UDP flows outlive what they were made for, since nobody closes them: a client that goes on sending keeps hitting an endpoint
/// that is gone, or goes past a service that has come.
struct StaleDatagrams {
    private var endpoints: Set<[UInt8]> = []
    private var frontends: Set<[UInt8]> = []

    mutating func note(old: CompiledService?, new: CompiledService?) {
        if let old { endpoints.formUnion(old.datagramEndpoints.subtracting(new?.datagramEndpoints ?? [])) }
        if let new, old?.datagramEndpoints.isEmpty ?? true, !new.datagramEndpoints.isEmpty { frontends.formUnion(new.datagramFrontends) }
    }

    func flush(_ conntrack: Conntrack) throws(SystemFailure) {
        guard !endpoints.isEmpty || !frontends.isEmpty else { return }
        let stale = try conntrack.flows(transport: TransportProtocol.udp.rawValue).filter { flow in
            let source = ServiceCompiler.value(Endpoint(flow.replySource, port: flow.replySourcePort))
            if flow.replySource != flow.destination || flow.replySourcePort != flow.destinationPort { return endpoints.contains(source) }
            return frontends.contains(ServiceCompiler.key(flow.destination, .udp, flow.destinationPort))
        }
        try conntrack.delete(stale)
    }
}

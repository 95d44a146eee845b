package import Core
package import Linux
import Synchronization

/// The pod networks of one node. Each is a pinned namespace with an `eth0` whose other end stands in the node's namespace;
/// the node routes to it by a host route, without a bridge. The kernel is the record: a link's alias says whose it is.
///
/// Networks are made ahead, address, routes and all; giving one to a pod is one message that writes the alias.
package final class PodNetwork: Sendable {
    package struct Attachment: Sendable, Equatable {
        package var podID: String
        package var addresses: [IPAddress]
        /// Path of the pinned namespace.
        package var path: String
        /// The node's end of the pod's link, where network policy hooks in.
        package var link: String
    }

    package struct HostPort: Sendable, Hashable {
        package var transport: TransportProtocol
        package var hostPort: UInt16
        package var containerPort: UInt16
        /// The one address of the node that it is for; nil: all of them.
        package var address: IPAddress?

        package init(transport: TransportProtocol = .tcp, hostPort: UInt16, containerPort: UInt16, address: IPAddress? = nil) {
            self.address = address
            self.transport = transport
            self.hostPort = hostPort
            self.containerPort = containerPort
        }
    }

    private struct Slot {
        var name: String
        var link: Int32
        var address: IPAddress
    }

    private struct State {
        var attached: [String: Slot] = [:]
        var warm: [Slot] = []
        var used: Set<UInt64> = []
        var cursor: UInt64 = 0
    }

    private let node: IPAddress
    private let range: IPPrefix
    private let mtu: UInt32
    private let namespace: NetworkNamespace
    private let routes: RouteNetlink
    private let nftables: Nftables
    private let directory: NamespaceDirectory
    private let warmCount: Int
    private let state = Mutex(State())
    private let removals: Rounds<Slot>

    private static let warmAlias = "warm"
    private static let podAlias = "pod:"
    private static let linkPrefix = "pod"

    init(
        node: IPAddress, range: IPPrefix, mtu: UInt32, namespace: NetworkNamespace, routes: RouteNetlink, nftables: Nftables,
        directory: NamespaceDirectory, warm: Int
    ) throws(SystemFailure) {
        self.node = node
        self.range = range
        self.mtu = mtu
        self.namespace = namespace
        self.routes = routes
        self.nftables = nftables
        self.directory = directory
        warmCount = warm
        removals = Rounds { slots throws(SystemFailure) in try PodNetwork.remove(slots, routes, nftables, directory) }
        try adopt()
        try refill()
    }

    /// Links are named after the address, and files after the link and the node: no list to keep beside the kernel's.
    private func linkName(_ address: IPAddress) -> String { "\(PodNetwork.linkPrefix)\(String(address.v4, radix: 16))" }

    private func attachment(_ podID: String, _ slot: Slot) -> Attachment {
        Attachment(podID: podID, addresses: [slot.address], path: directory.file(slot.name), link: slot.name)
    }

    /// Takes over what the kernel has; what was left half made is removed.
    private func adopt() throws(SystemFailure) {
        let routed = Dictionary(
            try routes.routes().compactMap { route in
                route.destination.length == 32 ? route.link.map { ($0, route.destination.base) } : nil
            }, uniquingKeysWith: { first, _ in first })
        let hairpins = Set(try nftables.elements(of: RuleTable.hairpin).map(\.key))
        var state = State()
        var halves: [Int32] = []
        for link in try routes.links() where link.name.hasPrefix(PodNetwork.linkPrefix) && link.kind == "veth" {
            guard let address = routed[link.index], let index = range.index(of: address), link.name == linkName(address),
                let alias = link.alias,
                directory.isPinned(link.name), hairpins.contains(address.bytes + address.bytes)
            else {
                halves.append(link.index)
                continue
            }
            let slot = Slot(name: link.name, link: link.index, address: address)
            state.used.insert(index)
            state.cursor = max(state.cursor, index)
            if alias.hasPrefix(PodNetwork.podAlias) {
                state.attached[String(alias.dropFirst(PodNetwork.podAlias.count))] = slot
            } else {
                state.warm.append(slot)
            }
        }
        try routes.apply { $0.deleteLinks(halves) }
        let kept = Set(state.attached.values.map(\.name) + state.warm.map(\.name))
        for name in try directory.names() where name.hasPrefix(PodNetwork.linkPrefix) && !kept.contains(name) {
            guard let value = UInt32(name.dropFirst(PodNetwork.linkPrefix.count), radix: 16), range.contains(IPAddress(v4: value)) else {
                continue
            }
            try directory.remove(name)
        }
        let addresses = Set((state.attached.values.map(\.address) + state.warm.map(\.address)).map { $0.bytes + $0.bytes })
        var batch = nftables.transaction()
        batch.delete(hairpins.subtracting(addresses).map { Nftables.Element(key: $0, value: .none) }, from: RuleTable.hairpin)
        try nftables.commit(batch)
        self.state.withLock { $0 = state }
    }

    // MARK: - Making networks

    /// Makes pod networks until as many stand ready as were asked for. Call it when there is time, as after an attach.
    package func refill() throws(SystemFailure) {
        while state.withLock({ $0.warm.count < warmCount }) {
            let slot = try make()
            state.withLock { $0.warm.append(slot) }
        }
    }

    private func reserve() throws(SystemFailure) -> IPAddress {
        let index = state.withLock { state -> UInt64? in
            // Round and round, so that an address rests as long as can be. The first is left to gateways, the last is the broadcast.
            let last = range.count - 2
            for step in 1...last {
                let index = (state.cursor + step - 1) % last + 1
                if index > 1, state.used.insert(index).inserted {
                    state.cursor = index
                    return index
                }
            }
            return nil
        }
        guard let index else { throw SystemFailure("allocate address", "\(range)", errno: 28, hint: "the node's pod range is used up") }
        return range.address(index)
    }

    private func release(_ address: IPAddress) {
        guard let index = range.index(of: address) else { return }
        state.withLock { _ = $0.used.remove(index) }
    }

    private func make() throws(SystemFailure) -> Slot {
        let address = try reserve()
        let name = linkName(address)
        do throws(SystemFailure) {
            return try make(name, address)
        } catch {
            // Best effort: the failure that counts is the one above.
            try? routes.apply { $0.deleteLink(.name(name)) }
            try? directory.remove(name)
            release(address)
            throw error
        }
    }

    private func make(_ name: String, _ address: IPAddress) throws(SystemFailure) -> Slot {
        try directory.remove(name)
        let pod = try NetworkNamespace.create()
        try directory.pin(pod, as: name)
        let podRoutes = try pod.run { () throws(SystemFailure) in
            // On `default` alone: programs keep ::1 on the loopback, and eth0 comes up without duplicate address detection.
            try Sysctl.setPresent([("net/ipv6/conf/default/disable_ipv6", "1")])
            return try RouteNetlink()
        }
        try routes.apply {
            $0.addVeth(
                .init(name: name, mac: HardwareAddress.gateway),
                peer: .init(name: "eth0", namespace: pod.descriptor, mac: HardwareAddress.of(address)), mtu: mtu)
            $0.setLink(.name(name), up: true)
        }
        guard let near = try routes.link(named: name), let far = near.peer else { throw SystemFailure("add veth", name, errno: 19) }
        try podRoutes.apply {
            $0.setLink(.name("lo"), up: true)
            $0.setLink(.index(far), up: true)
            $0.addAddress(address, length: 32, link: far)
            $0.addNeighbor(node, mac: HardwareAddress.gateway, link: far)
            $0.replaceRoute(.init(IPPrefix(IPAddress(v4: 0), length: 0), gateway: node, link: far, onLink: true))
        }
        try routes.awaitOperation(of: name)
        var batch = nftables.transaction()
        batch.add([Nftables.Element(key: address.bytes + address.bytes, value: .none)], to: RuleTable.hairpin)
        try nftables.commit(batch)
        try routes.apply {
            $0.addNeighbor(address, mac: HardwareAddress.of(address), link: near.index)
            $0.replaceRoute(.init(IPPrefix(address, length: 32), link: near.index, source: node))
            // Last: a link without alias is half made.
            $0.setLink(.index(near.index), alias: PodNetwork.warmAlias)
        }
        return Slot(name: name, link: near.index, address: address)
    }

    // MARK: - Pods

    /// Gives a pod its network; the same pod gets the same one again.
    package func attach(_ podID: String, hostPorts: [HostPort] = []) throws(SystemFailure) -> Attachment {
        precondition(podID.utf8.count <= 240, "a pod id must fit in a link's alias")
        let (present, ready) = state.withLock { state -> (Slot?, Slot?) in
            if let slot = state.attached[podID] { return (slot, nil) }
            return (nil, state.warm.isEmpty ? nil : state.warm.removeFirst())
        }
        if let present { return attachment(podID, present) }
        let slot: Slot
        if let ready { slot = ready } else { slot = try make() }
        do throws(SystemFailure) {
            try routes.apply { $0.setLink(.index(slot.link), alias: PodNetwork.podAlias + podID) }
            if !hostPorts.isEmpty { try add(hostPorts, to: slot.address) }
        } catch {
            try? remove(slot)
            throw error
        }
        state.withLock { $0.attached[podID] = slot }
        return attachment(podID, slot)
    }

    /// Takes the pod's network away; a pod that has none is fine.
    package func detach(_ podID: String) throws(SystemFailure) {
        guard let slot = state.withLock({ $0.attached.removeValue(forKey: podID) }) else { return }
        do throws(SystemFailure) {
            try remove(slot)
        } catch {
            state.withLock { $0.attached[podID] = slot }
            throw error
        }
    }

    package func attachment(of podID: String) -> Attachment? {
        state.withLock { $0.attached[podID] }.map { attachment(podID, $0) }
    }

    /// All pods that have a network, for the one who knows which of them still live.
    package func attachments() -> [Attachment] {
        state.withLock { $0.attached }.map { attachment($0.key, $0.value) }.sorted { $0.podID < $1.podID }
    }

    /// What the kernel knows of slots goes all at once: of one veth pair as of many it waits once until nobody looks at them any more.
    private static func remove(_ slots: [Slot], _ routes: RouteNetlink, _ nftables: Nftables, _ directory: NamespaceDirectory) throws(SystemFailure) {
        let addresses = Set(slots.map(\.address.bytes))
        var batch = nftables.transaction()
        for map in [RuleTable.hostPorts, RuleTable.boundHostPorts] {
            let ports = try nftables.elements(of: map).filter {
                if case .data(let target) = $0.value { addresses.contains(Array(target.prefix(4))) } else { false }
            }
            batch.delete(ports, from: map)
        }
        let hairpins = try nftables.elements(of: RuleTable.hairpin).filter { addresses.contains(Array($0.key.prefix(4))) }
        batch.delete(hairpins, from: RuleTable.hairpin)
        try nftables.commit(batch)
        try routes.apply { $0.deleteLinks(slots.map(\.link)) }
        for slot in slots { try directory.remove(slot.name) }
    }

    private func remove(_ slot: Slot) throws(SystemFailure) {
        try removals.perform(slot)
        release(slot.address)
    }

    private func add(_ ports: [HostPort], to address: IPAddress) throws(SystemFailure) {
        var batch = nftables.transaction()
        for (map, isBound) in [(RuleTable.hostPorts, false), (RuleTable.boundHostPorts, true)] {
            let wanted = ports.filter { ($0.address != nil) == isBound }.map { port in
                let key = ServiceCompiler.key(port.address ?? address, port.transport, port.hostPort)
                return Nftables.Element(
                    key: isBound ? key : Array(key[4...]), value: .data(ServiceCompiler.value(Endpoint(address, port: port.containerPort))))
            }
            if !wanted.isEmpty { batch.add(wanted, to: map) }
        }
        try nftables.commit(batch)
    }

    func destroy() throws(SystemFailure) {
        let slots = state.withLock { state in
            defer { state = State() }
            return Array(state.attached.values) + state.warm
        }
        try PodNetwork.remove(slots, routes, nftables, directory)
    }
}

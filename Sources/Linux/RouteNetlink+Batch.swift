import Glibc

/// Changes to links, addresses, routes and neighbours, in the order in which the kernel will make them.
package struct RouteBatch: Sendable {
    struct Change: Sendable {
        var operation: String
        var subject: String
        var tolerates: [Int32] = []
        var kind: String?
    }

    var buffer = NetlinkBuffer()
    var changes: [Change] = []

    package init() {}

    package var isEmpty: Bool { changes.isEmpty }

    /// A link by index, or by name where it is made earlier in the same batch.
    package enum LinkReference: Sendable {
        case index(Int32)
        case name(String)
    }

    private mutating func begin(_ type: UInt16, _ flags: UInt16, _ change: Change) {
        changes.append(change)
        buffer.begin(type: type, flags: flags)
    }

    private mutating func linkHeader(_ link: LinkReference, up: Bool? = nil) {
        buffer.append(UInt32(0))
        if case .index(let index) = link { buffer.append(index) } else { buffer.append(Int32(0)) }
        buffer.append(UInt32(up == true ? 1 : 0))
        buffer.append(UInt32(up == nil ? 0 : 1))
        if case .name(let name) = link { buffer.put(3, name) }
    }

    // MARK: - Links

    /// One end of a veth pair. A nil namespace is that of the socket; an alias is for the near end, in the socket's.
    package struct VethEnd: Sendable {
        package var name: String
        package var alias: String?
        package var namespace: Int32?
        package var mac: [UInt8]?
        package var master: Int32?

        package init(name: String, alias: String? = nil, namespace: Int32? = nil, mac: [UInt8]? = nil, master: Int32? = nil) {
            self.name = name
            self.alias = alias
            self.namespace = namespace
            self.mac = mac
            self.master = master
        }
    }

    /// A bridge that neither learns slowly nor snoops: no spanning tree, no forward delay, no multicast snooping.
    package mutating func addBridge(_ name: String, mtu: UInt32, alias: String? = nil, mac: [UInt8]? = nil) {
        begin(16, NetlinkFlag.create | NetlinkFlag.exclusive, Change(operation: "add bridge", subject: name, kind: "bridge"))
        linkHeader(.name(name))
        buffer.put(4, mtu)
        if let mac { buffer.put(1, bytes: mac) }
        buffer.nest(18) {
            $0.put(1, "bridge")
            $0.nest(2) {
                $0.put(1, UInt32(0))
                $0.put(5, UInt32(0))
                $0.put(23, UInt8(0))
            }
        }
        buffer.end()
        // The kernel takes an alias only for a link that exists.
        if let alias { setLink(.name(name), alias: alias) }
    }

    package mutating func addVeth(_ near: VethEnd, peer far: VethEnd, mtu: UInt32) {
        begin(16, NetlinkFlag.create | NetlinkFlag.exclusive, Change(operation: "add veth", subject: near.name, kind: "veth"))
        linkHeader(.name(near.name))
        describe(near, mtu: mtu)
        buffer.nest(18) {
            $0.put(1, "veth")
            $0.nest(2) { buffer in
                let start = buffer.open(1)
                buffer.append([UInt8](repeating: 0, count: 16))
                buffer.put(3, far.name)
                RouteBatch.describe(far, mtu: mtu, into: &buffer)
                buffer.close(start)
            }
        }
        buffer.end()
        if let alias = near.alias { setLink(.name(near.name), alias: alias) }
    }

    private mutating func describe(_ end: VethEnd, mtu: UInt32) { RouteBatch.describe(end, mtu: mtu, into: &buffer) }

    private static func describe(_ end: VethEnd, mtu: UInt32, into buffer: inout NetlinkBuffer) {
        buffer.put(4, mtu)
        if let mac = end.mac { buffer.put(1, bytes: mac) }
        if let namespace = end.namespace { buffer.put(28, namespace) }
        if let master = end.master { buffer.put(10, master) }
    }

    package mutating func deleteLink(_ link: LinkReference) {
        begin(17, 0, Change(operation: "delete link", subject: "\(link)", tolerates: [ENODEV]))
        linkHeader(link)
        buffer.end()
    }

    /// Deletes links in one step of the kernel's, which waits for each step some tens of milliseconds until nobody looks at its links any more.
    package mutating func deleteLinks(_ links: [Int32]) {
        guard links.count > 1 else { return links.forEach { deleteLink(.index($0)) } }
        for link in links {
            begin(19, 0, Change(operation: "set group of link", subject: "\(link)", tolerates: [ENODEV]))
            linkHeader(.index(link))
            buffer.put(27, RouteBatch.deletion)
            buffer.end()
        }
        begin(17, 0, Change(operation: "delete links", subject: "\(links)", tolerates: [ENODEV]))
        linkHeader(.index(0))
        buffer.put(27, RouteBatch.deletion)
        buffer.end()
    }

    /// The group of links that are about to go: "jgd-".
    private static let deletion: UInt32 = 0x6A67_642D

    package mutating func setLink(
        _ link: LinkReference, up: Bool? = nil, name: String? = nil, alias: String? = nil, mtu: UInt32? = nil, master: Int32? = nil,
        namespace: Int32? = nil
    ) {
        begin(19, 0, Change(operation: "set link", subject: "\(link)"))
        linkHeader(link, up: up)
        if let name { buffer.put(3, name) }
        if let alias { buffer.put(20, bytes: Array(alias.utf8)) }
        if let mtu { buffer.put(4, mtu) }
        if let master { buffer.put(10, master) }
        if let namespace { buffer.put(28, namespace) }
        buffer.end()
    }

    /// Lets a bridge send a frame back out of the port it came in by.
    package mutating func setHairpin(_ link: Int32, _ on: Bool) {
        begin(19, 0, Change(operation: "set bridge port", subject: "\(link)"))
        buffer.append(UInt8(AF_BRIDGE))
        buffer.append([UInt8](repeating: 0, count: 3))
        buffer.append(link)
        buffer.append(UInt64(0))
        buffer.nest(12) { $0.put(4, UInt8(on ? 1 : 0)) }
        buffer.end()
    }

    // MARK: - Addresses, routes, neighbours

    private func family(_ address: IPAddress) -> UInt8 { UInt8(address.isIPv6 ? AF_INET6 : AF_INET) }

    /// An address `onlyHere` (of scope host) is never chosen as the source of anything.
    package mutating func addAddress(_ address: IPAddress, length: Int, link: Int32, onlyHere: Bool = false) {
        begin(
            20, NetlinkFlag.create | NetlinkFlag.replace,
            Change(operation: "add address", subject: "\(address)/\(length)", tolerates: [EEXIST]))
        addressBody(address, length: length, link: link, scope: onlyHere ? 254 : 0)
    }

    package mutating func deleteAddress(_ address: IPAddress, length: Int, link: Int32) {
        begin(21, 0, Change(operation: "delete address", subject: "\(address)/\(length)", tolerates: [EADDRNOTAVAIL, ENODEV]))
        addressBody(address, length: length, link: link, scope: 0)
    }

    private mutating func addressBody(_ address: IPAddress, length: Int, link: Int32, scope: UInt8) {
        buffer.append(family(address))
        buffer.append(UInt8(length))
        buffer.append(UInt8(address.isIPv6 ? 0x02 : 0))  // IFA_F_NODAD: usable at once
        buffer.append(scope)
        buffer.append(link)
        buffer.put(2, address)
        buffer.put(1, address)
        buffer.end()
    }

    /// The number in `protocol` by which our routes are known among others.
    package static let routeProtocol: UInt8 = 0x6A

    package struct NewRoute: Sendable {
        package var destination: IPPrefix
        package var gateway: IPAddress?
        package var link: Int32?
        package var source: IPAddress?
        /// The gateway is reached on the link although no address of the link says so.
        package var onLink = false
        /// 1 unicast, 2 local, 6 blackhole, 7 unreachable.
        package var type: UInt8 = 1
        package var mtu: UInt32?

        package init(_ destination: IPPrefix, gateway: IPAddress? = nil, link: Int32? = nil, source: IPAddress? = nil, onLink: Bool = false)
        {
            self.destination = destination
            self.gateway = gateway
            self.link = link
            self.source = source
            self.onLink = onLink
        }
    }

    package mutating func replaceRoute(_ route: NewRoute) {
        begin(24, NetlinkFlag.create | NetlinkFlag.replace, Change(operation: "add route", subject: "\(route.destination)"))
        routeBody(route)
    }

    package mutating func deleteRoute(_ route: NewRoute) {
        begin(25, 0, Change(operation: "delete route", subject: "\(route.destination)", tolerates: [ESRCH, ENODEV]))
        routeBody(route)
    }

    private mutating func routeBody(_ route: NewRoute) {
        buffer.append(family(route.destination.base))
        buffer.append(UInt8(route.destination.length))
        buffer.append(UInt16(0))
        buffer.append(UInt8(route.type == 2 ? 255 : 254))
        buffer.append(RouteBatch.routeProtocol)
        buffer.append(UInt8(route.type == 2 ? 254 : route.gateway == nil && route.type == 1 ? 253 : 0))
        buffer.append(route.type)
        buffer.append(UInt32(route.onLink ? 4 : 0))
        if route.destination.length > 0 { buffer.put(1, route.destination.base) }
        if let link = route.link { buffer.put(4, link) }
        if let gateway = route.gateway { buffer.put(5, gateway) }
        if let source = route.source { buffer.put(7, source) }
        if let mtu = route.mtu { buffer.nest(8) { $0.put(2, mtu) } }
        buffer.end()
    }

    /// A neighbour that never expires, so that no ARP goes before the first packet.
    package mutating func addNeighbor(_ address: IPAddress, mac: [UInt8], link: Int32) {
        begin(28, NetlinkFlag.create | NetlinkFlag.replace, Change(operation: "add neighbour", subject: "\(address)"))
        buffer.append(family(address))
        buffer.append([UInt8](repeating: 0, count: 3))
        buffer.append(link)
        buffer.append(UInt16(0x80))
        buffer.append(UInt16(0))
        buffer.put(1, address)
        buffer.put(2, bytes: mac)
        buffer.end()
    }
}

package import Core
import Glibc

/// Links, addresses, routes and neighbours of one network namespace.
/// Changes are collected in a `RouteBatch` and go to the kernel in one write.
package final class RouteNetlink: Sendable {
    private let socket: NetlinkSocket

    /// Bound to the network namespace of the calling thread.
    package init() throws(SystemFailure) { socket = try NetlinkSocket(.route) }

    /// Applies all changes in order; throws the first refusal that its change does not tolerate.
    package func apply(_ batch: RouteBatch) throws(SystemFailure) {
        for refusal in try socket.send(batch.buffer) {
            let change = batch.changes[refusal.index]
            if change.tolerates.contains(refusal.errno) { continue }
            throw SystemFailure(change.operation, change.subject, errno: refusal.errno, hint: hint(change, refusal))
        }
    }

    package func apply(_ body: (inout RouteBatch) -> Void) throws(SystemFailure) {
        var batch = RouteBatch()
        body(&batch)
        try apply(batch)
    }

    private func hint(_ change: RouteBatch.Change, _ refusal: NetlinkSocket.Refusal) -> String? {
        if refusal.errno == EOPNOTSUPP, let kind = change.kind {
            return "the kernel has no \(kind) links: load the module \(kind), or build the kernel with CONFIG_\(kind.uppercased())"
        }
        return refusal.text
    }

    // MARK: - Reading

    package struct Link: Sendable, Equatable {
        package var index: Int32
        package var name: String
        package var alias: String?
        package var kind: String?
        package var isUp: Bool
        /// Whether it carries packets: up, with the other end up, and its queue installed.
        package var isOperational = false
        package var mtu: UInt32
        package var mac: [UInt8]
        package var master: Int32?
        /// For a veth, the index of its other end, in whatever namespace that is.
        package var peer: Int32?
    }

    package struct Address: Sendable, Equatable {
        package var link: Int32
        package var address: IPAddress
        package var length: Int
    }

    package struct Route: Sendable, Equatable {
        package var destination: IPPrefix
        package var gateway: IPAddress?
        package var link: Int32?
        package var source: IPAddress?
        package var table: UInt32
        package var type: UInt8
        package var protocolID: UInt8
    }

    package func links() throws(SystemFailure) -> [Link] {
        var buffer = NetlinkBuffer()
        buffer.begin(type: 18, flags: NetlinkFlag.dump)
        buffer.append([UInt8](repeating: 0, count: 16))
        buffer.put(29, UInt32(8))  // IFLA_EXT_MASK: leave statistics out
        buffer.end()
        return try socket.dump(buffer).compactMap(RouteNetlink.link)
    }

    package func link(named name: String) throws(SystemFailure) -> Link? {
        var buffer = NetlinkBuffer()
        buffer.begin(type: 18, flags: 0)
        buffer.append([UInt8](repeating: 0, count: 16))
        buffer.put(29, UInt32(8))
        buffer.put(3, name)
        buffer.end()
        do throws(SystemFailure) {
            return try socket.dump(buffer).compactMap(RouteNetlink.link).first
        } catch  where error.errno == ENODEV {
            return nil
        }
    }

    /// Waits until a link whose other end just came up carries packets, at most a second. The kernel installs its queue in
    /// the background and drops what is sent before; since Linux 6.10 it does so at the latest when asked for the link,
    /// so that the first look is enough.
    package func awaitOperation(of name: String) throws(SystemFailure) {
        for _ in 0..<1000 {
            if try link(named: name)?.isOperational ?? true { return }
            usleep(1000)
        }
    }

    private static func link(_ message: NetlinkMessage) -> Link? {
        guard message.type == 16, let index: Int32 = message.number(at: 4), let flags: UInt32 = message.number(at: 8) else { return nil }
        var link = Link(index: index, name: "", isUp: flags & 1 != 0, mtu: 0, mac: [])
        for attribute in message.attributes(after: 16) {
            switch attribute.type {
            case 1: link.mac = Array(attribute.value)
            case 3: link.name = attribute.text
            case 4: link.mtu = attribute.number() ?? 0
            case 5: link.peer = attribute.number()
            case 10: link.master = attribute.number()
            case 16: link.isOperational = attribute.number(as: UInt8.self) == 6
            case 18: link.kind = attribute.nested[1]?.text
            case 20: link.alias = attribute.text
            default: break
            }
        }
        return link
    }

    package func addresses() throws(SystemFailure) -> [Address] {
        var buffer = NetlinkBuffer()
        buffer.begin(type: 22, flags: NetlinkFlag.dump)
        buffer.append([UInt8](repeating: 0, count: 8))
        buffer.end()
        return try socket.dump(buffer).compactMap { message in
            guard message.type == 20, let length: UInt8 = message.number(at: 1), let index: Int32 = message.number(at: 4) else {
                return nil
            }
            let attributes = message.attributes(after: 8)
            guard let address = (attributes[2] ?? attributes[1])?.address else { return nil }
            return Address(link: index, address: address, length: Int(length))
        }
    }

    package func routes(ipv6: Bool = false) throws(SystemFailure) -> [Route] {
        var buffer = NetlinkBuffer()
        buffer.begin(type: 26, flags: NetlinkFlag.dump)
        buffer.append(UInt8(ipv6 ? AF_INET6 : AF_INET))
        buffer.append([UInt8](repeating: 0, count: 11))
        buffer.end()
        return try socket.dump(buffer).compactMap { message in
            guard message.type == 24, let length: UInt8 = message.number(at: 1), let table: UInt8 = message.number(at: 4),
                let protocolID: UInt8 = message.number(at: 5), let type: UInt8 = message.number(at: 7)
            else { return nil }
            let any = ipv6 ? IPAddress(v6High: 0, v6Low: 0) : IPAddress(v4: 0)
            var route = Route(destination: IPPrefix(any, length: 0), table: UInt32(table), type: type, protocolID: protocolID)
            for attribute in message.attributes(after: 12) {
                switch attribute.type {
                case 1: if let address = attribute.address { route.destination = IPPrefix(address, length: Int(length)) }
                case 4: route.link = attribute.number()
                case 5: route.gateway = attribute.address
                case 7: route.source = attribute.address
                case 15: route.table = attribute.number() ?? route.table
                default: break
                }
            }
            return route
        }
    }
}

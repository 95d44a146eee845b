package import Core
import Glibc

/// The connection table of one namespace, as far as service changes need it.
package struct Conntrack: Sendable {
    let socket: NetlinkSocket

    package struct Flow: Sendable {
        package var transport: UInt8
        package var destination: IPAddress
        package var destinationPort: UInt16
        /// From where answers come: the endpoint behind a translated destination.
        package var replySource: IPAddress
        package var replySourcePort: UInt16
        fileprivate var original: [UInt8]
        fileprivate var family: UInt8
    }

    package func flows(transport: UInt8) throws(SystemFailure) -> [Flow] {
        var buffer = NetlinkBuffer()
        buffer.begin(type: 0x101, flags: NetlinkFlag.dump)
        buffer.append([UInt8(AF_INET), 0, 0, 0])
        buffer.end()
        return try socket.dump(buffer).compactMap { message in
            let attributes = message.attributes(after: 4)
            guard let original = attributes[1], let reply = attributes[2], let forward = Tuple(original.nested),
                forward.transport == transport, let backward = Tuple(reply.nested), let family: UInt8 = message.number(at: 0)
            else { return nil }
            return Flow(
                transport: transport, destination: forward.destination, destinationPort: forward.destinationPort,
                replySource: backward.source, replySourcePort: backward.sourcePort, original: Array(original.value), family: family)
        }
    }

    private struct Tuple {
        var source: IPAddress
        var destination: IPAddress
        var transport: UInt8
        var sourcePort: UInt16
        var destinationPort: UInt16

        init?(_ attributes: NetlinkAttributes) {
            guard let ip = attributes[1]?.nested, let proto = attributes[2]?.nested, let source = (ip[1] ?? ip[3])?.address,
                let destination = (ip[2] ?? ip[4])?.address, let transport: UInt8 = proto[1]?.number()
            else { return nil }
            self.source = source
            self.destination = destination
            self.transport = transport
            sourcePort = proto[2]?.numberBE() ?? 0
            destinationPort = proto[3]?.numberBE() ?? 0
        }
    }

    /// Forgets the flows; one that ended meanwhile is fine.
    package func delete(_ flows: [Flow]) throws(SystemFailure) {
        guard !flows.isEmpty else { return }
        var buffer = NetlinkBuffer()
        for flow in flows {
            buffer.begin(type: 0x102, flags: 0)
            buffer.append([flow.family, 0, 0, 0])
            buffer.nest(1) { $0.append(flow.original) }
            buffer.end()
        }
        for refusal in try socket.send(buffer) where refusal.errno != ENOENT {
            throw SystemFailure("delete conntrack", "\(flows[refusal.index].destination)", errno: refusal.errno, hint: refusal.text)
        }
    }
}

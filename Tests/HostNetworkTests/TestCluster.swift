import Core
import Glibc
import HostNetwork
import Linux
import Synchronization
import Testing

/// A cluster network whose "machine" is a namespace of the test's own, so that nothing of the real machine is touched.
final class TestCluster {
    let plan: NetworkPlan
    let host: NetworkNamespace
    let link: HostLink
    private(set) var nodes: [NodeNetwork] = []

    init(nodes count: Int, warmPods: Int = 0) throws {
        plan = NetworkPlan(directory: "/tmp/jangada-net-\(Identifier.suffix(8))")
        host = try NetworkNamespace.create()
        try host.run { () throws(SystemFailure) in
            try RouteNetlink().apply { $0.setLink(.name("lo"), up: true) }
            // A new namespace begins with the machine's own settings.
            try Sysctl.set("net/ipv4/ip_forward", "0")
        }
        link = try HostLink(plan, host: host)
        for index in 0..<count { try addNode(index, warmPods: warmPods) }
        try setPeers()
    }

    static func with(nodes: Int, warmPods: Int = 0, _ body: (TestCluster) throws -> Void) throws {
        let cluster = try TestCluster(nodes: nodes, warmPods: warmPods)
        defer { #expect(throws: Never.self) { try HostLink.destroy(cluster.plan, host: cluster.host) } }
        try body(cluster)
    }

    func addNode(_ index: Int, warmPods: Int = 0) throws {
        nodes.append(
            try NodeNetwork(
                "node-\(index)", address: plan.nodeRange.address(UInt64(index) + 2),
                podRange: plan.podRange.subnet(UInt64(index), length: 24),
                on: link, warmPods: warmPods))
    }

    func setPeers() throws {
        for node in nodes { try node.setPeers(nodes.map { ($0.address, $0.podRange) }) }
    }

    func pod(_ name: String, on node: Int, hostPorts: [PodNetwork.HostPort] = []) throws -> TestPod {
        let attachment = try nodes[node].pods.attach(name, hostPorts: hostPorts)
        return TestPod(
            name: name, node: "node-\(node)", address: try #require(attachment.addresses.first),
            namespace: try NetworkNamespace.open(attachment.path))
    }

    func program(_ services: [ServicePort]) throws {
        try link.services.replaceAll(services)
        for node in nodes { try node.services.replaceAll(services) }
    }

    /// A machine beside the host, on a network of its own that the host is the router of.
    func outsider() throws -> NetworkNamespace {
        let outside = try NetworkNamespace.create()
        let hostRoutes = try host.run { () throws(SystemFailure) in try RouteNetlink() }
        let routes = try outside.run { () throws(SystemFailure) in try RouteNetlink() }
        try hostRoutes.apply { $0.addVeth(.init(name: "wan"), peer: .init(name: "wan", namespace: outside.descriptor), mtu: 1500) }
        let near = try #require(try hostRoutes.link(named: "wan")).index
        let far = try #require(try routes.link(named: "wan")).index
        try hostRoutes.apply {
            $0.setLink(.index(near), up: true)
            $0.addAddress(IPAddress(198, 51, 100, 1), length: 24, link: near)
        }
        try routes.apply {
            $0.setLink(.index(far), up: true)
            $0.addAddress(IPAddress(198, 51, 100, 9), length: 24, link: far)
            $0.replaceRoute(.init(IPPrefix(IPAddress(v4: 0), length: 0), gateway: IPAddress(198, 51, 100, 1), link: far))
        }
        return outside
    }
}

struct TestPod {
    let name: String
    let node: String
    let address: IPAddress
    let namespace: NetworkNamespace

    func endpoint(_ port: UInt16) -> Endpoint { Endpoint(address, port: port, node: node) }
}

// MARK: - Sockets

/// What a client saw: who answered and from which address it was seen, or the error.
enum Reply: Equatable {
    case answer(by: String, seenAs: String)
    case failure(Int32)

    var server: String? { if case .answer(let server, _) = self { server } else { nil } }
    var seenAs: String? { if case .answer(_, let address) = self { address } else { nil } }
}

private func withAddress<T>(_ address: IPAddress, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
    var raw = sockaddr_in()
    raw.sin_family = sa_family_t(AF_INET)
    raw.sin_port = port.bigEndian
    raw.sin_addr.s_addr = address.v4.bigEndian
    return withUnsafePointer(to: &raw) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
}

private func open(_ transport: TransportProtocol, in namespace: NetworkNamespace) throws -> Int32 {
    try namespace.run { () throws(SystemFailure) in
        let kind = transport == .tcp ? SOCK_STREAM : SOCK_DGRAM
        let descriptor = socket(AF_INET, Int32(kind.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SystemFailure("socket") }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        return descriptor
    }
}

private func setTimeout(_ descriptor: Int32, _ milliseconds: Int) {
    var limit = timeval(tv_sec: milliseconds / 1000, tv_usec: milliseconds % 1000 * 1000)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] { setsockopt(descriptor, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size)) }
}

/// Answers every connection or datagram with its name and the client's address, until it is released.
final class NameServer {
    private let descriptor: Int32
    private let transport: TransportProtocol
    private let name: String
    private var thread = pthread_t()

    init(_ name: String, _ transport: TransportProtocol = .tcp, port: UInt16, in namespace: NetworkNamespace) throws {
        self.name = name
        self.transport = transport
        descriptor = try open(transport, in: namespace)
        guard withAddress(IPAddress(v4: 0), port, { Glibc.bind(descriptor, $0, $1) }) == 0 else { throw SystemFailure("bind", name) }
        if transport == .tcp { guard listen(descriptor, 128) == 0 else { throw SystemFailure("listen", name) } }
        let box = Unmanaged.passRetained(Box(descriptor, transport, name))
        pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                Unmanaged<Box>.fromOpaque(raw).takeRetainedValue().serve()
                return nil
            }, box.toOpaque())
    }

    deinit {
        shutdown(descriptor, Int32(SHUT_RDWR))
        // A datagram socket's reader wakes by the shutdown too, with zero bytes from nobody.
        pthread_join(thread, nil)
        close(descriptor)
    }

    private final class Box {
        let descriptor: Int32
        let transport: TransportProtocol
        let name: String

        init(_ descriptor: Int32, _ transport: TransportProtocol, _ name: String) {
            self.descriptor = descriptor
            self.transport = transport
            self.name = name
        }

        func serve() {
            while true {
                var peer = sockaddr_in()
                var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                let descriptor = descriptor
                var scratch = [UInt8](repeating: 0, count: 64)
                let got = withUnsafeMutablePointer(to: &peer) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { peer in
                        transport == .tcp ? Int(accept(descriptor, peer, &length)) : recvfrom(descriptor, &scratch, 64, 0, peer, &length)
                    }
                }
                if got <= 0, transport == .tcp || peer.sin_port == 0 { return }
                let text = Array("\(name) \(IPAddress(v4: UInt32(bigEndian: peer.sin_addr.s_addr)))".utf8)
                if transport == .tcp {
                    _ = send(Int32(got), text, text.count, Int32(MSG_NOSIGNAL))
                    close(Int32(got))
                } else {
                    withAddress(IPAddress(v4: UInt32(bigEndian: peer.sin_addr.s_addr)), UInt16(bigEndian: peer.sin_port)) {
                        _ = sendto(descriptor, text, text.count, 0, $0, $1)
                    }
                }
            }
        }
    }
}

/// A socket that asks, and can ask again from the same port.
final class Asker {
    let descriptor: Int32

    init(_ transport: TransportProtocol, from namespace: NetworkNamespace, timeout: Int = 2000) throws {
        descriptor = try open(transport, in: namespace)
        setTimeout(descriptor, timeout)
    }

    deinit { close(descriptor) }

    func connect(_ address: IPAddress, _ port: UInt16) -> Reply? {
        let code = withAddress(address, port) { Glibc.connect(descriptor, $0, $1) }
        return code == 0 ? nil : .failure(errno)
    }

    func ask() -> Reply {
        var bytes = [UInt8](repeating: 0, count: 64)
        let sent = send(descriptor, "?", 1, Int32(MSG_NOSIGNAL))
        if sent < 0, errno != EPIPE, errno != ECONNRESET { return .failure(errno) }
        let count = recv(descriptor, &bytes, 64, 0)
        guard count > 0 else { return .failure(count < 0 ? errno : ECONNRESET) }
        let parts = String(decoding: bytes[..<count], as: UTF8.self).split(separator: " ")
        return .answer(by: String(parts[0]), seenAs: String(parts[1]))
    }
}

func ask(
    _ transport: TransportProtocol = .tcp, from namespace: NetworkNamespace, _ address: IPAddress, _ port: UInt16, timeout: Int = 2000
) throws -> Reply {
    let asker = try Asker(transport, from: namespace, timeout: timeout)
    return asker.connect(address, port) ?? asker.ask()
}

import Core
import Glibc
import HostNetwork
import Linux
import Testing

/// Whether the kernel lets this process make network namespaces; tests that need it are skipped with this message otherwise.
let isRoot = geteuid() == 0
let needsRoot: Comment = "needs root, for network namespaces"

@Suite(.enabled(if: isRoot, needsRoot))
struct RouteNetlinkTests {
    @Test func vethPairCarriesAddressesAndRoutesAcrossNamespaces() throws {
        let left = try NetworkNamespace.create()
        let right = try NetworkNamespace.create()
        let leftRoutes = try left.run { () throws(SystemFailure) in try RouteNetlink() }
        let rightRoutes = try right.run { () throws(SystemFailure) in try RouteNetlink() }
        try leftRoutes.apply {
            $0.setLink(.name("lo"), up: true)
            $0.addBridge("br0", mtu: 1400, alias: "a bridge")
            $0.addVeth(.init(name: "one", alias: "ns/pod"), peer: .init(name: "eth0", namespace: right.descriptor), mtu: 1400)
        }
        let one = try #require(try leftRoutes.link(named: "one"))
        let bridge = try #require(try leftRoutes.link(named: "br0"))
        #expect(one.alias == "ns/pod" && one.kind == "veth" && one.mtu == 1400 && !one.isUp)
        #expect(bridge.kind == "bridge" && bridge.alias == "a bridge")
        let eth0 = try #require(try rightRoutes.link(named: "eth0"))
        #expect(one.peer == eth0.index)
        try leftRoutes.apply {
            $0.setLink(.index(one.index), up: true, master: bridge.index)
            $0.setHairpin(one.index, true)
            $0.setLink(.index(bridge.index), up: true)
            $0.addAddress(IPAddress(10, 1, 0, 1), length: 24, link: bridge.index)
        }
        try rightRoutes.apply {
            $0.setLink(.index(eth0.index), up: true)
            $0.addAddress(IPAddress(10, 1, 0, 2), length: 32, link: eth0.index)
            $0.replaceRoute(.init(IPPrefix(IPAddress(v4: 0), length: 0), gateway: IPAddress(10, 1, 0, 1), link: eth0.index, onLink: true))
            $0.addNeighbor(IPAddress(10, 1, 0, 1), mac: bridge.mac, link: eth0.index)
        }
        #expect(try leftRoutes.link(named: "one")?.master == bridge.index)
        #expect(try rightRoutes.addresses().contains { $0.link == eth0.index && $0.address == IPAddress(10, 1, 0, 2) && $0.length == 32 })
        let routes = try rightRoutes.routes().filter { $0.protocolID == RouteBatch.routeProtocol }
        #expect(routes.map(\.gateway) == [IPAddress(10, 1, 0, 1)])
        try leftRoutes.apply {
            $0.deleteLink(.index(one.index))
            $0.deleteLink(.index(one.index))
        }
        #expect(try rightRoutes.link(named: "eth0") == nil)
    }

    @Test func manyLinksGoInOneStepAndNoOthers() throws {
        let space = try NetworkNamespace.create()
        let far = try NetworkNamespace.create()
        let routes = try space.run { () throws(SystemFailure) in try RouteNetlink() }
        try routes.apply { batch in
            for name in ["a", "b", "c", "d"] { batch.addVeth(.init(name: name), peer: .init(name: "\(name)far", namespace: far.descriptor), mtu: 1400) }
        }
        let links = try ["a", "b", "c"].map { try #require(try routes.link(named: $0)).index }
        try routes.apply { $0.deleteLinks(links + [9999]) }
        #expect(try routes.links().map(\.name).filter { $0 != "lo" } == ["d"])
        try routes.apply { $0.deleteLinks(links) }
        try routes.apply { $0.deleteLinks([]) }
        #expect(try routes.link(named: "d") != nil)
    }

    @Test func refusalNamesOperationSubjectAndReason() throws {
        let space = try NetworkNamespace.create()
        let routes = try space.run { () throws(SystemFailure) in try RouteNetlink() }
        let failure = #expect(throws: SystemFailure.self) {
            try routes.apply {
                $0.setLink(.name("lo"), up: true)
                $0.addAddress(IPAddress(10, 1, 0, 1), length: 24, link: 99)
            }
        }
        #expect(failure?.operation == "add address" && failure?.errno == ENODEV)
        #expect(try routes.link(named: "lo")?.isUp == true)
    }

    @Test func pinnedNamespaceOutlivesItsDescriptorUntilUnpinned() throws {
        let path = "/tmp/jangada-test-\(Identifier.suffix(8))"
        defer { try? NetworkNamespace.unpin(path) }
        try NetworkNamespace.create().pin(at: path)
        #expect(NetworkNamespace.isPinned(path))
        let routes = try NetworkNamespace.open(path).run { () throws(SystemFailure) in try RouteNetlink() }
        #expect(try routes.links().count >= 1)
        try NetworkNamespace.unpin(path)
        try NetworkNamespace.unpin(path)
        #expect(!NetworkNamespace.isPinned(path))
    }

    @Test(arguments: [
        ("::", "::"), ("::1", "::1"), ("fd00::1:0:0:2", "fd00::1:0:0:2"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("1:0:0:2:0:0:0:3", "1:0:0:2::3"), ("::ffff:1.2.3.4", "::ffff:102:304"), ("10.0.0.1", "10.0.0.1"), ("fe80::", "fe80::"),
    ])
    func addressTextIsCanonical(_ text: String, _ canonical: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == canonical)
        #expect(IPAddress(bytes: address.bytes) == address)
    }

    @Test(arguments: ["", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1:2", ":::", "1::2::3", "g::", "1.2.3.4/8", "+1.2.3.4", "::+1"])
    func otherTextIsNoAddress(_ text: String) { #expect(IPAddress(text) == nil) }
}

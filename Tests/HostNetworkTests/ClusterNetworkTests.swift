import Core
import Glibc
import Linux
import Testing

@testable import HostNetwork

@Suite(.enabled(if: isRoot, needsRoot))
struct ClusterNetworkTests {
    @Test func nodesServicesAndNamesComeBackAfterAKill() throws {
        let plan = NetworkPlan(directory: "/tmp/jangada-net-\(Identifier.suffix(8))")
        let host = try NetworkNamespace.create()
        try host.run { () throws(SystemFailure) in try RouteNetlink().apply { $0.setLink(.name("lo"), up: true) } }
        defer { #expect(throws: Never.self) { try HostLink.destroy(plan, host: host) } }
        let first = try ClusterNetwork(plan, host: host, resolvers: ResolverFile(path: "/nonexistent"))
        let nodes = [try first.addNode("one", warmPods: 1), try first.addNode("two", warmPods: 1)]
        #expect(nodes.map(\.address.description) == ["10.89.0.2", "10.89.0.3"])
        #expect(nodes.map(\.podRange.description) == ["10.244.0.0/24", "10.244.1.0/24"])
        let pod = try nodes[1].pods.attach("pod")
        let space = try NetworkNamespace.open(pod.path)
        let server = try NameServer("pod", port: 8080, in: space)
        let id = ServicePort.ID(namespace: "default", name: "web", port: "")
        let endpoint = Endpoint(pod.addresses[0], port: 8080, node: "two")
        let web = ServicePort(id, clusterIPs: [IPAddress(10, 96, 0, 50)], port: 80, endpoints: [endpoint])
        try first.replaceServices([web])
        #expect(try ask(from: host, IPAddress(10, 96, 0, 50), 80).server == "pod")
        // A kill takes the process's sockets and threads; the kernel keeps the rest.
        first.close()
        #expect(try ask(from: nodes[0].namespace, IPAddress(10, 96, 0, 50), 80).server == "pod", "traffic flows with no daemon")

        let second = try ClusterNetwork(plan, host: host, resolvers: ResolverFile(path: "/nonexistent"))
        let two = try second.addNode("two", warmPods: 1)
        #expect(two.podRange == nodes[1].podRange && two.pods.attachments() == [pod])
        #expect(try ask(from: two.namespace, IPAddress(10, 96, 0, 50), 80).server == "pod", "before the first list of Services")
        #expect(
            try second.addNode("three", warmPods: 0).podRange.description == "10.244.2.0/24",
            "the range of a node not adopted yet is not given away")
        #expect(try second.addNode("one", warmPods: 0).address == nodes[0].address)
        try second.updateServices([], removed: [id])
        try second.replaceServices([])
        #expect(try ask(from: host, IPAddress(10, 96, 0, 50), 80) == .failure(ECONNREFUSED))
        try second.removeNode("one")
        #expect(second.node("one") == nil)
        withExtendedLifetime(server) {}
        try second.destroy()
        #expect(try HostLink.leftovers(plan, host: host) == [])
    }

    @Test func clustersOnOneMachineKeepOutOfEachOthersWay() throws {
        let host = try NetworkNamespace.create()
        try host.run { () throws(SystemFailure) in try Sysctl.set("net/ipv4/ip_forward", "0") }
        let first = NetworkPlan(directory: "/tmp/jangada-net-\(Identifier.suffix(8))")
        var second = NetworkPlan(directory: "/tmp/jangada-net-\(Identifier.suffix(8))", cluster: "a-name-that-no-link-can-have")
        second.serviceRange = IPPrefix(IPAddress(10, 97, 0, 0), length: 16)
        second.dnsAddress = IPAddress(10, 97, 0, 10)
        #expect(NetworkPlan(directory: "", cluster: "dev").link == "jgd-dev" && second.link.utf8.count <= 15 && second.table != first.table)
        func forwarding() throws -> String? { try host.run { () throws(SystemFailure) in try Sysctl.get("net/ipv4/ip_forward") } }
        let one = try ClusterNetwork(first, host: host, resolvers: ResolverFile(path: "/nonexistent"))
        _ = try one.addNode("node", warmPods: 0)
        let wanted = second
        second = try #require(try host.run { () throws(SystemFailure) in try wanted.adapted(to: RouteNetlink()) })
        #expect(!second.podRange.overlaps(first.podRange) && !second.nodeRange.overlaps(first.nodeRange))
        let two = try ClusterNetwork(second, host: host, resolvers: ResolverFile(path: "/nonexistent"))
        _ = try two.addNode("node", warmPods: 0)
        let again = try host.run { () throws(SystemFailure) in try wanted.adapted(to: RouteNetlink()) }
        #expect(again == second, "a cluster that is there keeps its ranges")
        try one.destroy()
        #expect(try forwarding() == "1", "the other cluster still forwards")
        #expect(try HostLink.leftovers(first, host: host) == [])
        #expect(try HostLink.leftovers(second, host: host).count > 3)
        try two.destroy()
        #expect(try HostLink.leftovers(second, host: host) == [])
    }

    @Test func planAvoidsRoutesThatAreThereAndTakesTheMachinesMTU() throws {
        let plan = NetworkPlan(directory: "/tmp/none")
        let host = try NetworkNamespace.create()
        let adapted = try host.run { () throws(SystemFailure) -> NetworkPlan? in
            let routes = try RouteNetlink()
            try routes.apply { $0.addBridge("wan", mtu: 1400) }
            let wan = try routes.link(named: "wan")?.index ?? 0
            try routes.apply {
                $0.setLink(.index(wan), up: true)
                $0.addAddress(IPAddress(10, 89, 1, 1), length: 16, link: wan)
                $0.replaceRoute(.init(IPPrefix(IPAddress(v4: 0), length: 0), gateway: IPAddress(10, 89, 1, 2), link: wan))
            }
            return try plan.adapted(to: routes)
        }
        #expect(adapted?.nodeRange.description == "10.100.0.0/24" && adapted?.loadBalancerRange.description == "10.100.255.0/24")
        #expect(adapted?.mtu == 1400)
    }
}

import Core
import Glibc
import Linux
import Testing

@testable import HostNetwork

private let clusterIP = IPAddress(10, 96, 0, 50)
private let loadBalancer = IPAddress(10, 89, 255, 7)
private let loopback = IPAddress(127, 0, 0, 1)

private func service(_ pods: [TestPod], _ transport: TransportProtocol = .tcp, name: String = "web") -> ServicePort {
    ServicePort(
        .init(namespace: "default", name: name, port: "http"), transport: transport, clusterIPs: [clusterIP], port: 80,
        endpoints: pods.map { $0.endpoint(8080) })
}

/// Two nodes; pods a and b on the first, c on the second, each with a server on 8080.
private func withPods(_ transport: TransportProtocol = .tcp, _ body: (TestCluster, TestPod, TestPod, TestPod) throws -> Void) throws {
    try TestCluster.with(nodes: 2) { cluster in
        let pods = [try cluster.pod("a", on: 0), try cluster.pod("b", on: 0), try cluster.pod("c", on: 1)]
        let servers = try pods.map { try NameServer($0.name, transport, port: 8080, in: $0.namespace) }
        try body(cluster, pods[0], pods[1], pods[2])
        withExtendedLifetime(servers) {}
    }
}

@Suite(.enabled(if: isRoot, needsRoot))
struct ServiceRulesTests {
    @Test(arguments: [TransportProtocol.tcp, .udp])
    func clusterAddressBalancesOverAllEndpointsAndKeepsTheSource(_ transport: TransportProtocol) throws {
        try withPods(transport) { cluster, a, b, c in
            try cluster.program([service([b, c], transport)])
            let replies = try (0..<40).map { _ in try ask(transport, from: a.namespace, clusterIP, 80) }
            #expect(Set(replies.map(\.server)) == ["b", "c"])
            #expect(Set(replies.map(\.seenAs)) == ["\(a.address)"])
            #expect(try ask(transport, from: cluster.nodes[1].namespace, clusterIP, 80).server != nil)
            #expect(try ask(transport, from: cluster.host, clusterIP, 80).seenAs == "\(cluster.plan.hostAddress)")
        }
    }

    @Test func podReachesItselfThroughItsService() throws {
        try withPods { cluster, a, _, _ in
            try cluster.program([service([a])])
            #expect(try ask(from: a.namespace, clusterIP, 80) == .answer(by: "a", seenAs: "\(cluster.nodes[0].address)"))
        }
    }

    @Test func serviceWithoutEndpointsRefusesAndUnknownAddressesToo() throws {
        try withPods { cluster, a, b, _ in
            try cluster.program([service([])])
            for space in [a.namespace, cluster.host, cluster.nodes[0].namespace] {
                #expect(try ask(from: space, clusterIP, 80) == .failure(ECONNREFUSED))
                #expect(try ask(.udp, from: space, IPAddress(10, 96, 0, 51), 80) == .failure(space === a.namespace ? ECONNREFUSED : EPERM))
                #expect(try ask(from: space, IPAddress(10, 96, 0, 51), 80) == .failure(ECONNREFUSED))
                #expect(try ask(from: space, IPAddress(10, 89, 255, 200), 80) == .failure(ECONNREFUSED))
            }
            try cluster.program([service([b])])
            #expect(try ask(from: a.namespace, clusterIP, 80).server == "b")
            #expect(try ask(from: a.namespace, clusterIP, 81) == .failure(ECONNREFUSED))
            try cluster.program([])
            #expect(try ask(from: a.namespace, clusterIP, 80) == .failure(ECONNREFUSED))
        }
    }

    @Test func nodePortAnswersOnEveryNodeAndOnTheMachinesLoopback() throws {
        try withPods { cluster, a, b, c in
            var web = service([b, c])
            web.nodePort = 30080
            try cluster.program([web])
            for node in cluster.nodes {
                let replies = try (0..<30).map { _ in try ask(from: cluster.host, node.address, 30080).server }
                #expect(Set(replies) == ["b", "c"])
                #expect(try ask(from: a.namespace, node.address, 30080).server != nil)
                #expect(try ask(from: node.namespace, loopback, 30080).server != nil)
                #expect(try ask(from: node.namespace, node.address, 30080).server != nil)
            }
            for _ in 0..<5 {
                #expect(try ask(from: cluster.host, loopback, 30080).server != nil)
                #expect(try ask(from: cluster.host, cluster.plan.hostAddress, 30080).server != nil)
            }
            let outside = try cluster.outsider()
            #expect(try ask(from: outside, IPAddress(198, 51, 100, 1), 30080) == .failure(ECONNREFUSED), "not exposed unless asked for")
        }
    }

    @Test func loadBalancerAddressAnswersTheMachineItsNeighboursAndPods() throws {
        try withPods { cluster, a, b, c in
            var web = service([b, c])
            web.loadBalancerIPs = [loadBalancer]
            try cluster.program([web])
            let outside = try cluster.outsider()
            for _ in 0..<10 {
                #expect(try ask(from: cluster.host, loadBalancer, 80).seenAs == "\(cluster.plan.hostAddress)")
                #expect(try ask(from: outside, loadBalancer, 80).seenAs == "198.51.100.9", "the source is kept")
                #expect(try ask(from: a.namespace, loadBalancer, 80).seenAs == "\(a.address)")
            }
            #expect(try ask(from: outside, clusterIP, 80, timeout: 300) != .answer(by: "b", seenAs: "198.51.100.9"))
        }
    }

    @Test func externalTrafficPolicyLocalKeepsToTheNodeAndTheSource() throws {
        try withPods { cluster, a, _, c in
            var web = service([c])
            web.nodePort = 30080
            web.externalTrafficLocal = true
            try cluster.program([web])
            let host = "\(cluster.plan.hostAddress)"
            #expect(try ask(from: cluster.host, cluster.nodes[1].address, 30080) == .answer(by: "c", seenAs: host))
            #expect(try ask(from: cluster.host, cluster.nodes[0].address, 30080, timeout: 300) == .failure(EINPROGRESS))
            #expect(try ask(from: a.namespace, cluster.nodes[0].address, 30080).server == "c", "from inside all endpoints count")
            #expect(try ask(from: cluster.nodes[0].namespace, clusterIP, 80).server == "c")
            web.externalTrafficLocal = false
            for node in cluster.nodes { try node.services.update([web]) }
            #expect(try ask(from: cluster.host, cluster.nodes[0].address, 30080).seenAs == "\(cluster.nodes[0].address)")
        }
    }

    @Test func internalTrafficPolicyLocalUsesTheNodesOwnEndpoints() throws {
        try withPods { cluster, a, b, c in
            var web = service([b, c])
            web.internalTrafficLocal = true
            try cluster.program([web])
            #expect(try Set((0..<20).map { _ in try ask(from: a.namespace, clusterIP, 80).server }) == ["b"])
            web.endpoints = [c.endpoint(8080)]
            try cluster.nodes[0].services.update([web])
            #expect(try ask(from: a.namespace, clusterIP, 80, timeout: 300) == .failure(EINPROGRESS))
        }
    }

    @Test func affinityKeepsAClientOnItsEndpointUntilThatGoes() throws {
        try withPods { cluster, a, b, c in
            var web = service([b, c])
            web.affinitySeconds = 1
            try cluster.program([web])
            let first = try #require(try ask(from: a.namespace, clusterIP, 80).server)
            #expect(try Set((0..<20).map { _ in try ask(from: a.namespace, clusterIP, 80).server }) == [first])
            let other = first == "b" ? c : b
            web.endpoints = [other.endpoint(8080)]
            try cluster.nodes[0].services.update([web])
            #expect(try ask(from: a.namespace, clusterIP, 80).server == other.name)
            web.endpoints = [b.endpoint(8080), c.endpoint(8080)]
            try cluster.nodes[0].services.update([web])
            #expect(try Set((0..<20).map { _ in try ask(from: a.namespace, clusterIP, 80).server }) == [other.name])
            #expect(try cluster.nodes[0].nftables.elements(of: "affinity").count == 1)
            usleep(1_300_000)
            #expect(try cluster.nodes[0].nftables.elements(of: "affinity").isEmpty, "after the time-out the client is forgotten")
            #expect(try ask(from: a.namespace, clusterIP, 80).server != nil)
        }
    }

    @Test func terminatingEndpointsServeOnlyWhereNoneIsReady() throws {
        try withPods { cluster, a, b, c in
            var web = service([b, c])
            web.endpoints[1] = Endpoint(c.address, port: 8080, ready: false, serving: true, terminating: true, node: c.node)
            try cluster.program([web])
            #expect(try Set((0..<10).map { _ in try ask(from: a.namespace, clusterIP, 80).server }) == ["b"])
            web.endpoints.removeFirst()
            try cluster.program([web])
            #expect(try ask(from: a.namespace, clusterIP, 80).server == "c")
            web.endpoints[0].serving = false
            try cluster.program([web])
            #expect(try ask(from: a.namespace, clusterIP, 80) == .failure(ECONNREFUSED))
        }
    }

    @Test func datagramsLeaveAnEndpointThatIsGone() throws {
        try withPods(.udp) { cluster, a, b, c in
            try cluster.program([service([b], .udp)])
            let asker = try Asker(.udp, from: a.namespace)
            #expect(asker.connect(clusterIP, 80) == nil)
            #expect(asker.ask().server == "b")
            try cluster.program([service([c], .udp)])
            #expect(asker.ask().server == "c", "the same socket, whose flow the kernel would remember")
        }
    }

    @Test func establishedConnectionsOutliveEndpointChanges() throws {
        try withPods { cluster, a, b, c in
            try cluster.program([service([b])])
            let asker = try Asker(.tcp, from: a.namespace)
            #expect(asker.connect(clusterIP, 80) == nil)
            try cluster.program([service([c])])
            #expect(asker.ask().server == "b")
            #expect(try ask(from: a.namespace, clusterIP, 80).server == "c")
        }
    }

    @Test func restartTakesTheDifferenceFromTheKernel() throws {
        try withPods { cluster, a, b, c in
            var old = service([b], name: "old")
            old.clusterIPs = [IPAddress(10, 96, 0, 60)]
            try cluster.program([service([b, c]), old])
            let node = cluster.nodes[0]
            // A new daemon that knows nothing, and a world that moved on.
            let rules = ServiceRules(node.nftables, node: node.name)
            try rules.replaceAll([service([c])])
            #expect(try Set((0..<10).map { _ in try ask(from: a.namespace, clusterIP, 80).server }) == ["c"])
            #expect(try ask(from: a.namespace, IPAddress(10, 96, 0, 60), 80) == .failure(ECONNREFUSED))
            #expect(try node.nftables.elements(of: "endpoints").count == 1)
        }
    }

    @Test func twoServicesThatClaimOneAddressAreServedInTurn() throws {
        try withPods { cluster, a, b, c in
            var first = service([b], name: "first")
            first.externalIPs = [IPAddress(192, 0, 2, 80)]
            var second = service([c], name: "second")
            second.clusterIPs = [IPAddress(10, 96, 0, 61)]
            second.externalIPs = first.externalIPs
            try cluster.program([first, second])
            #expect(try ask(from: a.namespace, IPAddress(192, 0, 2, 80), 80).server == "b")
            first.endpoints = [b.endpoint(8080), a.endpoint(8080)]
            try cluster.nodes[0].services.update([first])
            #expect(try Set((0..<10).map { _ in try ask(from: a.namespace, IPAddress(192, 0, 2, 80), 80).server }).isDisjoint(with: ["c"]))
            try cluster.nodes[0].services.update([], removed: [first.id])
            #expect(try ask(from: a.namespace, IPAddress(192, 0, 2, 80), 80).server == "c")
        }
    }

    @Test func forgedLoopbackAddressesFromTheWireAreDropped() throws {
        try withPods { cluster, a, _, _ in
            let server = try NameServer("node", port: 7777, in: cluster.nodes[0].namespace)
            let hostServer = try NameServer("host", port: 7777, in: cluster.host)
            for (space, gateway) in [(a.namespace, cluster.nodes[0].address), (cluster.nodes[0].namespace, cluster.plan.hostAddress)] {
                try space.run { () throws(SystemFailure) in
                    let routes = try RouteNetlink()
                    let link = try routes.link(named: "eth0")?.index ?? 0
                    try Sysctl.set("net/ipv4/conf/eth0/route_localnet", "1")
                    try routes.apply {
                        $0.replaceRoute(.init(IPPrefix(IPAddress(127, 9, 9, 9), length: 32), gateway: gateway, link: link, onLink: true))
                    }
                    let lo = try routes.link(named: "lo")?.index ?? 0
                    try routes.apply { $0.deleteAddress(loopback, length: 8, link: lo) }
                }
                #expect(try ask(from: space, IPAddress(127, 9, 9, 9), 7777, timeout: 300).server == nil)
            }
            withExtendedLifetime((server, hostServer)) {}
        }
    }
}

/// Printed, not judged: JANGADA_BENCHMARK=1 turns it on.
@Suite(.enabled(if: isRoot && getenv("JANGADA_BENCHMARK") != nil), .serialized)
struct ServiceRulesSpeedTests {
    @Test func thousandServicesAndSingleChanges() throws {
        try TestCluster.with(nodes: 1) { cluster in
            var services = (0..<1000).map { (index: Int) -> ServicePort in
                let host = UInt8(index % 250)
                let endpoints = (0..<3).map { (node: UInt8) in Endpoint(IPAddress(10, 244, node, host), port: 8080, node: "node-\(node)") }
                let id = ServicePort.ID(namespace: "default", name: "web-\(index)", port: "http")
                return ServicePort(id, clusterIPs: [IPAddress(10, 96, UInt8(index / 250 + 1), host)], port: 80, endpoints: endpoints)
            }
            let rules = cluster.nodes[0].services
            // Once to warm the code up, as a daemon is by then.
            try rules.replaceAll(services)
            try rules.replaceAll([])
            let all = try ContinuousClock().measure { try rules.replaceAll(services) }
            var changes: [Duration] = []
            for index in 0..<200 {
                services[index].endpoints[1].address = IPAddress(10, 244, 9, UInt8(index))
                changes.append(try ContinuousClock().measure { try rules.update([services[index]]) })
            }
            changes.sort()
            let again = try ContinuousClock().measure { try ServiceRules(cluster.nodes[0].nftables, node: "node-0").replaceAll(services) }
            print(
                "1,000 services of 3 endpoints: \(all); one change: p50 \(changes[100]), p99 \(changes[198]); resync without change: \(again)"
            )
        }
    }
}

@Suite struct ServiceNumberingTests {
    @Test(arguments: [
        (["a", "b", "c"], ["a", "b", "c"], ["a", "b", "c"]), (["b", "c"], ["a", "b", "c"], ["c", "b"]),
        (["a", "b", "d"], ["a", "b", "c"], ["a", "b", "d"]),
        (["c"], ["a", "b", "c"], ["c"]), ([], ["a"], []), (["x", "y"], ["a"], ["x", "y"]),
        (["a", "b"], ["a", "b", "c", "d"], ["a", "b"]),
        (["a", "a"], [], ["a"]),
    ])
    func endpointsKeepTheirNumbersWhereTheyCan(_ values: [String], _ previous: [String], _ expected: [String]) {
        let order = ServiceCompiler.number(values.map { Array($0.utf8) }, after: previous.map { Array($0.utf8) })
        #expect(order.map { String(decoding: $0, as: UTF8.self) } == expected)
    }
}

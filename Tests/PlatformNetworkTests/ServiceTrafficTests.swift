import APIServer
import Client
import Core
import HostNetwork
import Linux
import Machinery
import Testing
import Tree

@testable import Platform

@Suite(.enabled(if: isRoot, needsRoot))
struct ServiceTrafficTests {
    @Test func trafficFollowsEndpoints() async throws {
        try await TestPlane.run { plane in
            let (api, host) = (plane.api, plane.host)
            let a = try plane.pod("a", on: 0, port: 8080)
            let b = try plane.pod("b", on: 1, port: 9090)
            let address = IPAddress(10, 96, 0, 50)
            try await api.make(
                .services,
                """
                metadata: {name: web}
                spec: {type: NodePort, clusterIP: 10.96.0.50, selector: {app: web}, ports: [{port: 80, targetPort: http, nodePort: 30080, protocol: TCP}]}
                """)
            try await eventually("a service without endpoints refuses") {
                try await ask(host, address, 80).isEmpty
            }
            try await api.make(
                .endpointSlices,
                """
                metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{name: '', port: 8080, protocol: TCP}]
                endpoints: [\(a.endpoint)]
                """)
            try await eventually("from the machine") { try await ask(host, address, 80) == "a" }
            #expect(try await ask(plane.nodes[1].namespace, address, 80) == "a", "from another node")
            #expect(try await ask(b.namespace, address, 80) == "a", "from a pod")
            #expect(try await ask(host, plane.nodes[1].address, 30080) == "a", "by the node port of another node")

            // Each slice has its own number for the port.
            try await api.make(
                .endpointSlices,
                """
                metadata: {name: web-2, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{name: '', port: 9090, protocol: TCP}]
                endpoints: [\(b.endpoint)]
                """)
            try await eventually("the second slice joins") { try await ask(host, address, 80) == "b" }
            try await api.patch(.endpointSlices, "web-1", "{endpoints: [{addresses: ['\(a.address)'], conditions: {ready: false, serving: false}, nodeName: one}]}")
            try await eventually("an unready endpoint gets nothing") {
                for _ in 0..<8 where try await ask(host, address, 80) != "b" { return false }
                return true
            }
            // Where all end, those that still serve go on.
            try await api.patch(.endpointSlices, "web-2", "{endpoints: [{addresses: ['\(b.address)'], conditions: {ready: false, serving: true, terminating: true}, nodeName: two}]}")
            try await Task.sleep(for: .milliseconds(100))
            #expect(try await ask(host, address, 80) == "b")
            try await api.delete(.endpointSlices, "web-2")
            try await eventually("nothing is left") { try await ask(host, address, 80).isEmpty }
            try await api.patch(.endpointSlices, "web-1", "{endpoints: [\(a.endpoint)]}")
            try await eventually("ready again") { try await ask(host, address, 80) == "a" }
            try await api.delete(.services, "web")
            try await eventually("the service is gone") { try await ask(host, address, 80).isEmpty }
            #expect(try await ask(host, plane.nodes[1].address, 30080).isEmpty)
        }
    }

    @Test func networksOwnServicesAreThere() async throws {
        try await TestPlane.run { plane in
            let pod = try plane.pod("a", on: 0)
            try await eventually("kube-dns is there") {
                (try? await plane.api.client.get(.services, ObjectKey("kube-system", "kube-dns")))?["spec"]["clusterIP"].string == "10.96.0.10"
            }
            // The API server's own endpoint is an address of the machine, and it may come back at another port.
            for port in [6443, 7443] {
                let server = try NameServer("api-\(port)", port: UInt16(port), in: plane.host)
                try await ClusterService(
                    client: plane.api.client, address: "\(plane.boot.hostAddress)", port: port, serviceAddress: "10.96.0.1", cidr: "10.96.0.0/16"
                ).ensure()
                try await eventually("the API answers pods") { try await ask(pod.namespace, IPAddress(10, 96, 0, 1), 443) == "api-\(port)" }
                #expect(try await ask(plane.host, IPAddress(10, 96, 0, 1), 443) == "api-\(port)")
                #expect(try await ask(plane.nodes[1].namespace, IPAddress(10, 96, 0, 1), 443) == "api-\(port)")
                withExtendedLifetime(server) {}
            }
        }
    }

    @Test func startAfterAKillCatchesUp() async throws {
        let api = try await TestAPI()
        defer { api.close() }
        let host = try makeHost()
        let directory = "/tmp/jangada-boot-\(Identifier.suffix(8))"
        let kept = Kept()
        try await TestPlane.run(api, host, directory: directory, destroys: false) { plane in
            let pod = try plane.pod("a", on: 0)
            kept.pod = pod
            for (name, address) in [("stays", "10.96.0.51"), ("goes", "10.96.0.52")] {
                try await api.make(.services, "{metadata: {name: \(name)}, spec: {clusterIP: \(address), ports: [{port: 80, protocol: TCP}]}}")
                try await api.make(
                    .endpointSlices,
                    """
                    metadata: {name: \(name), labels: {kubernetes.io/service-name: \(name)}}
                    addressType: IPv4
                    ports: [{name: '', port: 8080, protocol: TCP}]
                    endpoints: [\(pod.endpoint)]
                    """)
            }
            try await eventually("both answer") {
                let stays = try await ask(host, IPAddress(10, 96, 0, 51), 80)
                let goes = try await ask(host, IPAddress(10, 96, 0, 52), 80)
                return stays == "a" && goes == "a"
            }
        }
        #expect(try await ask(host, IPAddress(10, 96, 0, 51), 80) == "a", "traffic flows with no daemon")
        try await api.delete(.services, "goes")
        try await TestPlane.run(api, host, directory: directory) { plane in
            #expect(plane.nodes[0].pods.attachments().map(\.podID) == ["a"])
            try await eventually("what was deleted meanwhile is gone") { try await ask(host, IPAddress(10, 96, 0, 52), 80).isEmpty }
            #expect(try await ask(host, IPAddress(10, 96, 0, 51), 80) == "a")
            // The server's socket holds the pod's namespace; it must go before the network does.
            kept.pod = nil
        }
    }

    @Test func twoClustersShareAMachine() async throws {
        let host = try makeHost()
        let (first, second) = (try await TestAPI(), try await TestAPI(cidr: "10.97.0.0/16"))
        defer {
            first.close()
            second.close()
        }
        try await TestPlane.run(first, host) { one in
            let pod = try one.pod("one", on: 0)
            try await one.publish(pod, "10.96.0.60")
            try await TestPlane.run(second, host, cluster: "second-with-a-long-name", serviceCIDR: "10.97.0.0/16", dns: "10.97.0.10") { two in
                #expect(!two.boot.plan.podRange.overlaps(one.boot.plan.podRange) && !two.boot.plan.nodeRange.overlaps(one.boot.plan.nodeRange))
                #expect(two.boot.plan.link.utf8.count <= 15 && two.boot.plan.link != one.boot.plan.link)
                let other = try two.pod("two", on: 1)
                try await two.publish(other, "10.97.0.60")
                try await eventually("the second answers") { try await ask(host, IPAddress(10, 97, 0, 60), 80) == "two" }
                try await eventually("beside the first") { try await ask(host, IPAddress(10, 96, 0, 60), 80) == "one" }
            }
            #expect(try await ask(host, IPAddress(10, 96, 0, 60), 80) == "one", "the end of one leaves the other")
            #expect(throws: SystemFailure.self, "the same service range twice") {
                var options = NetworkBoot.Options(directory: "/tmp/jangada-boot-\(Identifier.suffix(8))")
                options.host = host
                options.clusterName = "third"
                _ = try NetworkBoot(options, view: ClusterView(client: first.client))
            }
        }
    }
}

/// What one run leaves for the next.
private final class Kept: @unchecked Sendable { var pod: TestPod? }

extension TestPlane {
    /// A Service `web` at an address, with one pod behind it.
    func publish(_ pod: TestPod, _ address: String) async throws {
        try await api.make(.services, "{metadata: {name: web}, spec: {clusterIP: \(address), ports: [{port: 80, protocol: TCP}]}}")
        try await api.make(
            .endpointSlices,
            """
            metadata: {name: web, labels: {kubernetes.io/service-name: web}}
            addressType: IPv4
            ports: [{name: '', port: 8080, protocol: TCP}]
            endpoints: [\(pod.endpoint)]
            """)
    }
}

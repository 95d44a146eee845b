import Client
import Controllers
import Core
import HostNetwork
import Linux
import Machinery
import Schema
import Testing
import Tree

@testable import Platform

@Suite(.enabled(if: isRoot, needsRoot))
struct LoadBalancerTrafficTests {
    @Test func balancersGetAddressesAndGiveThemBack() async throws {
        try await TestPlane.run { plane in
            let (api, host) = (plane.api, plane.host)
            let pod = try plane.pod("a", on: 1)
            try await api.make(
                .services, "{metadata: {name: web}, spec: {type: LoadBalancer, clusterIP: 10.96.0.50, ports: [{port: 80, targetPort: 8080, nodePort: 30080, protocol: TCP}]}}")
            try await api.make(
                .endpointSlices,
                """
                metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}
                addressType: IPv4
                ports: [{name: '', port: 8080, protocol: TCP}]
                endpoints: [\(pod.endpoint)]
                """)
            let address = plane.boot.plan.loadBalancerRange.address(1)
            try await eventually("an address is assigned") {
                await api.service("web")?["status"]["loadBalancer"]["ingress"][0]["ip"].string == address.description
            }
            let web = await api.service("web")
            #expect(web?.finalizers == ["service.kubernetes.io/load-balancer-cleanup"])
            #expect(web?["status"]["loadBalancer"]["ingress"][0]["ipMode"].string == "VIP")
            try await eventually("the address answers the machine") { try await ask(host, address, 80) == "a" }
            #expect(try await ask(pod.namespace, address, 80) == "a", "and pods")
            try await eventually("events tell") { try await api.eventReasons("web").isSuperset(of: ["EnsuringLoadBalancer", "EnsuredLoadBalancer"]) }

            try await api.patch(.services, "web", "{spec: {type: ClusterIP, ports: [{port: 80, targetPort: 8080, protocol: TCP}]}}")
            try await eventually("given back with the type") {
                let web = await api.service("web")
                return web?.finalizers == [] && web?["status"]["loadBalancer"]["ingress"].list.isEmpty == true
            }
            try await eventually("and silent") { try await ask(host, address, 80).isEmpty }
            try await api.patch(.services, "web", "{spec: {type: LoadBalancer}}")
            try await eventually("and again") { await api.service("web")?["status"]["loadBalancer"]["ingress"].list.count == 1 }
            try await api.delete(.services, "web")
            try await eventually("a deleted one ends") { await api.service("web") == nil }
            try await eventually("events tell of the end") { try await api.eventReasons("web").isSuperset(of: ["DeletingLoadBalancer", "DeletedLoadBalancer"]) }
        }
    }
}

@Suite struct LoadBalancerPlanTests {
    private let balancers = LoadBalancers(IPPrefix(IPAddress(10, 89, 255, 0), length: 30))

    /// The first `service` is the one planned.
    private func plan(_ services: String...) throws -> [String] {
        var state = ClusterState()
        for trigger in balancers.triggers { state.declare(trigger.resource, indexes: trigger.indexes) }
        var key: ObjectKey?
        for text in services {
            var service = try YAMLReader.read(Array(text.utf8))
            service["metadata"]["namespace"] = "default"
            let its = ObjectKey("default", service.name)
            key = key ?? its
            state[.services].set(its, service)
        }
        return balancers.plan(try #require(key), state, now: .now()).actions.map { action in
            switch action {
            case .event(let event): event.type == .normal ? event.reason : "\(event.reason): \(event.message)"
            case .patch(_, _, _, let patch, let subresource):
                subresource == nil ? "finalizers \(patch["metadata"]["finalizers"].stringList.map { $0.split(separator: "/").last ?? "" })"
                    : "status \(patch["status"]["loadBalancer"]["ingress"].list.compactMap(\.["ip"].string))"
            default: "\(action)"
            }
        }
    }

    private static let finalizers = "finalizers: [service.kubernetes.io/load-balancer-cleanup]"
    private func held(_ name: String, _ address: String, created: String = "2026-01-01T00:00:00Z", spec: String = "type: LoadBalancer") -> String {
        "{metadata: {name: \(name), creationTimestamp: '\(created)', \(LoadBalancerPlanTests.finalizers)}, spec: {\(spec)}, status: {loadBalancer: {ingress: [{ip: \(address), ipMode: VIP}]}}}"
    }

    @Test func firstFreeAddressIsTaken() throws {
        let new = "{metadata: {name: web}, spec: {type: LoadBalancer}}"
        #expect(try plan(new) == ["EnsuringLoadBalancer", "finalizers [\"load-balancer-cleanup\"]", "status [\"10.89.255.1\"]", "EnsuredLoadBalancer"])
        #expect(try plan(new, held("x", "10.89.255.1"))[2] == "status [\"10.89.255.2\"]")
        #expect(
            try plan(new, held("x", "10.89.255.1"), held("y", "10.89.255.2")) == [
                "SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: no address of 10.89.255.0/30 is free"
            ])
    }

    @Test func whatIsRightIsLeftAlone() throws {
        #expect(try plan(held("web", "10.89.255.2")) == [])
        #expect(try plan("{metadata: {name: web}, spec: {type: ClusterIP}}") == [])
        #expect(try plan("{metadata: {name: web}, spec: {type: LoadBalancer, loadBalancerClass: other/one}}") == [])
        #expect(
            try plan("{metadata: {name: web}, spec: {type: LoadBalancer, loadBalancerClass: other/one}, status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}}") == [],
            "another class's status is its own")
    }

    @Test func requestedAddressesAreGivenWhereTheyAreFree() throws {
        let asks = "{metadata: {name: web}, spec: {type: LoadBalancer, loadBalancerIP: 10.89.255.2}}"
        #expect(try plan(asks)[2] == "status [\"10.89.255.2\"]")
        #expect(try plan(asks, held("x", "10.89.255.2")) == [
            "SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: requested address 10.89.255.2 is in use by default/x"
        ])
        #expect(try plan("{metadata: {name: web, annotations: {jangada/load-balancer-ip: 10.89.255.2}}, spec: {type: LoadBalancer}}")[2] == "status [\"10.89.255.2\"]")
        for refused in ["10.89.255.3", "10.89.255.0", "192.0.2.1", "web"] {
            #expect(try plan("{metadata: {name: web}, spec: {type: LoadBalancer, loadBalancerIP: \(refused)}}").first?.hasPrefix("SyncLoadBalancerFailed") == true)
        }
    }

    @Test func theOlderKeepsAnAddressThatTwoHave() throws {
        let (old, young) = (held("old", "10.89.255.1"), held("young", "10.89.255.1", created: "2026-02-01T00:00:00Z"))
        #expect(try plan(old, young) == [])
        #expect(try plan(young, old) == ["EnsuringLoadBalancer", "status [\"10.89.255.2\"]", "EnsuredLoadBalancer"])
    }

    @Test func endsAndChangesOfTypeRelease() throws {
        #expect(
            try plan(held("web", "10.89.255.1", spec: "type: ClusterIP")) == [
                "DeletingLoadBalancer", "status []", "finalizers []", "DeletedLoadBalancer",
            ])
        let ending =
            "{metadata: {name: web, deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [a/b, service.kubernetes.io/load-balancer-cleanup]}, spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: 10.89.255.1}]}}}"
        #expect(try plan(ending) == ["DeletingLoadBalancer", "finalizers [\"b\"]", "DeletedLoadBalancer"])
    }
}

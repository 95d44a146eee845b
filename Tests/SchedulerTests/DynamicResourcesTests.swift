import Client
import Core
import Machinery
import Schema
import Testing
import Tree

@testable import Scheduler

@Suite struct DynamicResourcesTests {
    private func slice(_ node: String, _ devices: [Node], pool: String? = nil, count: Int64 = 1, counters: Node = .null) -> Node {
        var slice: Node = [
            "metadata": ["name": .string("\(node)-slice")],
            "spec": [
                "driver": "gpu.example.com", "nodeName": .string(node), "pool": ["name": .string(pool ?? node), "generation": 1, "resourceSliceCount": .int(count)],
                "devices": .list(devices),
            ],
        ]
        if !counters.isNull { slice["spec"]["sharedCounters"] = counters }
        return slice
    }

    private func device(_ name: String, model: String = "a", memory: String = "16Gi", numa: Int64 = 0, _ edit: (inout Node) -> Void = { _ in }) -> Node {
        var device: Node = [
            "name": .string(name), "attributes": ["model": ["string": .string(model)], "example.com/numa": ["int": .int(numa)], "fw": ["version": "1.2.0"]],
            "capacity": ["memory": ["value": .string(memory)]],
        ]
        edit(&device)
        return device
    }

    private func claim(_ name: String, _ requests: [Node], constraints: [Node] = []) -> Node {
        [
            "metadata": ["name": .string(name), "namespace": "default", "uid": .string(name)],
            "spec": ["devices": ["requests": .list(requests), "constraints": .list(constraints)]],
        ]
    }

    private func exactly(_ name: String = "r", _ expression: String? = nil, count: Int64 = 1, _ edit: (inout Node) -> Void = { _ in }) -> Node {
        var request: Node = ["deviceClassName": "gpu", "allocationMode": "ExactCount", "count": .int(count)]
        if let expression { request["selectors"] = [["cel": ["expression": .string(expression)]]] }
        edit(&request)
        return ["name": .string(name), "exactly": request]
    }

    private func pod(_ name: String, claims: [String]) -> Node {
        TestCluster.pod(name) { $0["spec"]["resourceClaims"] = .list(claims.map { ["name": .string($0), "resourceClaimName": .string($0)] }) }
    }

    private func cluster(_ slices: [Node]) -> TestCluster {
        var cluster = TestCluster()
        for name in ["a", "b"] { cluster.node(name) }
        cluster.put(.deviceClasses, ["metadata": ["name": "gpu"], "spec": ["selectors": [["cel": ["expression": "device.driver == \"gpu.example.com\""]]]]])
        for slice in slices { cluster.put(.resourceSlices, slice) }
        return cluster
    }

    /// Which devices a pod gets, or why none.
    private func outcome(_ cluster: inout TestCluster, _ claim: Node) -> [String] {
        cluster.put(.resourceClaims, claim)
        cluster.put(.pods, pod("p-\(claim.name)", claims: [claim.name]))
        switch cluster.core.next(now: cluster.now) {
        case .bind(let binding): return binding.devices.allocations.flatMap { $0.allocation["devices"]["results"].list }.map { "\($0["request"].string ?? "")=\($0["device"].string ?? "")" }
        case .refuse(let refused): return [refused.message]
        default: return []
        }
    }

    @Test func aPodGoesWhereItsDeviceIsAndTheNextGetsAnother() {
        var cluster = cluster([slice("b", [device("d0"), device("d1")])])
        cluster.put(.resourceClaims, claim("c", [exactly()]))
        cluster.put(.pods, pod("p", claims: ["c"]))
        guard case .bind(let binding) = cluster.core.next(now: cluster.now) else { return #expect(Bool(false)) as Void }
        #expect(binding.node == "b")
        let allocation = binding.devices.allocations[0].allocation
        #expect(allocation["devices"]["results"] == [["request": "r", "driver": "gpu.example.com", "pool": "b", "device": "d0"]])
        #expect(allocation["nodeSelector"]["nodeSelectorTerms"][0]["matchFields"][0]["values"] == ["b"])
        // Believed at once, before it is written.
        #expect(outcome(&cluster, claim("c2", [exactly()])) == ["r=d1"])
        #expect(outcome(&cluster, claim("c3", [exactly()]))[0].contains("2 cannot allocate all claims"))
    }

    @Test(arguments: [
        ("device.attributes[\"gpu.example.com\"].model == \"b\"", ["r=d1"]),
        ("device.capacity[\"gpu.example.com\"].memory.compareTo(quantity(\"20Gi\")) >= 0", ["r=d1"]),
        ("device.attributes[\"gpu.example.com\"].fw.isGreaterThan(semver(\"1.1.0\"))", ["r=d0"]),
        ("\"other.com\" in device.attributes && device.attributes[\"other.com\"].x == 1", []),
        ("device.attributes[\"example.com\"].numa == 1", ["r=d1"]),
    ]) func expressionsSelect(_ expression: String, _ expected: [String]) {
        var cluster = cluster([slice("a", [device("d0"), device("d1", model: "b", memory: "24Gi", numa: 1)])])
        let got = outcome(&cluster, claim("c", [exactly("r", expression)]))
        if expected.isEmpty { #expect(got[0].hasPrefix("0/2 nodes are available")) } else { #expect(got == expected) }
    }

    @Test func constraintsHoldAcrossRequestsByGoingBack() {
        var cluster = cluster([slice("a", [device("d0", numa: 0), device("d1", numa: 1), device("d2", numa: 1)])])
        let same = claim("c", [exactly("x"), exactly("y")], constraints: [["matchAttribute": "example.com/numa"]])
        #expect(outcome(&cluster, same) == ["x=d1", "y=d2"])
        var other = self.cluster([slice("a", [device("d0", numa: 0), device("d1", numa: 0), device("d2", numa: 1)])])
        #expect(outcome(&other, claim("c", [exactly(count: 2)], constraints: [["distinctAttribute": "example.com/numa"]])) == ["r=d0", "r=d2"])
    }

    @Test func aPrioritizedListTakesTheFirstThatCanBeHad() {
        var cluster = cluster([slice("a", [device("d0", model: "a")])])
        func sub(_ name: String, _ model: String) -> Node {
            ["name": .string(name), "deviceClassName": "gpu", "selectors": [["cel": ["expression": .string("device.attributes[\"gpu.example.com\"].model == \"\(model)\"")]]]]
        }
        #expect(outcome(&cluster, claim("c", [["name": "r", "firstAvailable": [sub("big", "z"), sub("small", "a")]]])) == ["r/small=d0"])
    }

    @Test func allMeansAllAndAdministratorsShare() {
        var cluster = cluster([slice("a", [device("d0"), device("d1")])])
        let all = exactly { $0["allocationMode"] = "All" }
        #expect(outcome(&cluster, claim("all", [all])) == ["r=d0", "r=d1"])
        let admin = exactly { edit in
            edit["allocationMode"] = "All"
            edit["adminAccess"] = true
        }
        #expect(outcome(&cluster, claim("admin", [admin])) == ["r=d0", "r=d1"])
        #expect(outcome(&cluster, claim("late", [all]))[0].contains("cannot allocate all claims"))
    }

    @Test func taintsAreTolerated() {
        var cluster = cluster([slice("a", [device("d0") { $0["taints"] = [["key": "sick", "effect": "NoSchedule"]] }])])
        #expect(outcome(&cluster, claim("c", [exactly()]))[0].contains("cannot allocate all claims"))
        #expect(outcome(&cluster, claim("t", [exactly { $0["tolerations"] = [["key": "sick", "operator": "Exists"]] }])) == ["r=d0"])
    }

    @Test func partsOfOneDeviceShareItsCounters() {
        let half: (inout Node) -> Void = { $0["consumesCounters"] = [["counterSet": "whole", "counters": ["memory": ["value": "8Gi"]]]] }
        let counters: Node = [["name": "whole", "counters": ["memory": ["value": "16Gi"]]]]
        var shared = slice("a", [], count: 2, counters: counters)
        shared["metadata"]["name"] = "counters"
        var cluster = cluster([shared, slice("a", ["d0", "d1", "d2"].map { device($0, half) }, count: 2)])
        #expect(outcome(&cluster, claim("c", [exactly(count: 2)])) == ["r=d0", "r=d1"])
        #expect(outcome(&cluster, claim("d", [exactly()]))[0].contains("cannot allocate all claims"))
    }

    @Test func incompletePoolsAndOldGenerationsAreNotUsed() {
        var cluster = cluster([slice("a", [device("d0")], count: 2)])
        #expect(outcome(&cluster, claim("c", [exactly()]))[0].contains("cannot allocate all claims"))
    }

    @Test func whatIsMissingIsTold() {
        var cluster = cluster([])
        #expect(cluster.schedule(pod("p", claims: ["none"]))?.hasPrefix("0/2 nodes are available: resourceclaim.resource.k8s.io \"none\" not found.") == true)
        #expect(outcome(&cluster, claim("c", [exactly { $0["deviceClassName"] = "tpu" }]))[0].contains("request r: device class tpu does not exist"))
        // A claim that is still to be made is waited for in silence.
        let waiting = TestCluster.pod("w") { $0["spec"]["resourceClaims"] = [["name": "x", "resourceClaimTemplateName": "t"]] }
        #expect(cluster.schedule(waiting) == nil)
    }

    @Test func aClaimWithDevicesDecidesTheNode() {
        var cluster = cluster([])
        var given = claim("c", [exactly()])
        given["status"]["allocation"] = [
            "devices": ["results": []],
            "nodeSelector": ["nodeSelectorTerms": [["matchFields": [["key": "metadata.name", "operator": "In", "values": ["b"]]]]]],
        ]
        cluster.put(.resourceClaims, given)
        #expect(cluster.schedule(pod("p", claims: ["c"])) == "p to b")
    }
}

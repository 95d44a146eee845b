import Client
import Core
import Machinery
import Schema
import Testing
import Tree

@testable import Scheduler

@Suite struct ExplainAndHintTests {
    @Test func aPodThatFitsNowhereIsExplained() {
        var cluster = TestCluster()
        cluster.node("a", cpu: "1")
        cluster.node("b", cpu: "1") { $0["spec"]["taints"] = [["key": "k", "effect": "NoSchedule"]] }
        cluster.put(.pods, TestCluster.pod("low", cpu: "1", on: "a"))
        let pod = TestCluster.pod("p", cpu: "1", priority: 5)
        _ = cluster.schedule(pod)
        let told = cluster.core.explain(PodInfo(pod), now: cluster.now)
        #expect(told["nodes"] == 2 && told["feasible"] == 0)
        #expect(told["filters"].list.map { $0["plugin"] } == ["TaintToleration", "NodeResourcesFit"])
        #expect(told["filters"][1]["reasons"][0]["examples"] == ["a"])
        #expect(told["preemption"]["victims"] == ["default/low (priority 0)"])
        #expect(told["queue"]["state"] == "unschedulable" && told["queue"]["attempts"] == 1)
        #expect(told["schedulableWhen"].list.count == 2)
        #expect(told["summary"] == "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s).")
    }

    @Test func aBoundPodIsRankedWithoutItself() {
        var cluster = TestCluster()
        cluster.node("a", cpu: "2")
        cluster.node("b", cpu: "2")
        cluster.put(.pods, TestCluster.pod("load", cpu: "1", on: "b"))
        let pod = TestCluster.pod("p", cpu: "2", on: "a")
        cluster.put(.pods, pod)
        let told = cluster.core.explain(PodInfo(pod), now: cluster.now)
        #expect(told["candidates"].list.map { $0["node"] } == ["a"])
        #expect(told["summary"] == "the pod is on a; it would be number 1 of 1 candidates today")
        #expect(told["filters"][0]["reasons"][0]["reason"] == "Insufficient cpu")
    }

    @Test func gatesAndStrangersAreTold() {
        var cluster = TestCluster()
        cluster.node("a")
        let gated = TestCluster.pod("p") { $0["spec"]["schedulingGates"] = [["name": "example.com/wait"]] }
        cluster.put(.pods, gated)
        #expect(cluster.core.explain(PodInfo(gated), now: cluster.now)["summary"] == "the pod waits for its scheduling gates: example.com/wait")
        let stranger = TestCluster.pod("q") { $0["spec"]["schedulerName"] = "mine" }
        #expect(cluster.core.explain(PodInfo(stranger), now: cluster.now)["summary"] == "no scheduler here is named mine")
    }

    @Test func aNodeThatIsTooSmallOrTaintedWakesNobody() {
        var cluster = TestCluster()
        cluster.node("a", cpu: "1")
        _ = cluster.schedule(TestCluster.pod("big", cpu: "2"))
        cluster.advance(60)
        cluster.node("b", cpu: "1500m")
        #expect(cluster.next() == nil)
        #expect(cluster.core.queue.parkedCount == 1)
        cluster.node("c", cpu: "3")
        #expect(cluster.next() == "big to c")
    }

    @Test func aPodThatWaitsForCompanyIsWokenByItsCompanion() {
        var cluster = TestCluster()
        cluster.node("a")
        let pod = TestCluster.pod("p") {
            $0["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = [
                ["topologyKey": "kubernetes.io/hostname", "labelSelector": ["matchLabels": ["app": "friend"]]]
            ]
        }
        #expect(cluster.schedule(pod)?.contains("didn't match pod affinity rules") == true)
        cluster.advance(60)
        #expect(cluster.schedule(TestCluster.pod("friend", labels: ["app": "friend"])) == "friend to a")
        #expect(cluster.next() == nil)
        cluster.put(.pods, TestCluster.pod("friend", on: "a", labels: ["app": "friend"]))
        #expect(cluster.next() == "p to a")
    }

    @Test func onlyPodsThatCountWakeOneThatSpreads() {
        var cluster = TestCluster()
        cluster.node("a", labels: ["zone": "x"])
        cluster.node("b", labels: ["zone": "y"]) { $0["spec"]["unschedulable"] = true }
        func pod(_ name: String, on node: String = "") -> Node {
            TestCluster.pod(name, on: node, labels: ["app": "s"]) {
                $0["spec"]["topologySpreadConstraints"] = [
                    ["maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": ["matchLabels": ["app": "s"]]]
                ]
            }
        }
        cluster.put(.pods, pod("first", on: "a"))
        cluster.put(.pods, TestCluster.pod("other", on: "a", labels: ["app": "o"]))
        #expect(cluster.schedule(pod("second"))?.contains("didn't match pod topology spread constraints") == true)
        cluster.advance(60)
        cluster.remove(.pods, "default", "other")
        #expect(cluster.next() == nil)
        cluster.remove(.pods, "default", "first")
        #expect(cluster.next() == "second to a")
    }

    // MARK: - Built-in spreading

    @Test func podsOfAServiceSpreadOverZonesByThemselves() {
        var cluster = TestCluster()
        for (name, zone) in [("a", "x"), ("b", "x"), ("c", "y")] { cluster.node(name, cpu: "64", memory: "512Gi", labels: ["topology.kubernetes.io/zone": zone]) }
        cluster.put(.services, ["metadata": ["name": "s", "namespace": "default"], "spec": ["selector": ["app": "web"]]])
        cluster.put(.pods, TestCluster.pod("first", on: "a", labels: ["app": "web"]))
        // Neither b nor c has one, but b's zone has.
        #expect(cluster.schedule(TestCluster.pod("second", labels: ["app": "web"])) == "second to c")
        // Nobody selects these: any node is as good.
        var places: Set<String> = []
        for index in 0..<12 { places.insert(cluster.schedule(TestCluster.pod("p\(index)", labels: ["app": "other"])) ?? "") }
        #expect(places.contains { $0.hasSuffix("to a") } && places.contains { $0.hasSuffix("to b") })
    }

    @Test func constraintsOfTheProfileHoldForPodsWithoutTheirOwn() throws {
        var cluster = TestCluster()
        cluster.core = SchedulerCore(
            try SchedulerConfiguration([
                "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
                "profiles": [
                    [
                        "pluginConfig": [
                            [
                                "name": "PodTopologySpread",
                                "args": [
                                    "defaultingType": "List",
                                    "defaultConstraints": [["maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"]],
                                ],
                            ]
                        ]
                    ]
                ],
            ]))
        cluster.node("a")
        cluster.put(.services, ["metadata": ["name": "s", "namespace": "default"], "spec": ["selector": ["app": "web"]]])
        #expect(cluster.schedule(TestCluster.pod("p1", labels: ["app": "web"])) == "p1 to a")
        cluster.node("b") { $0["spec"]["unschedulable"] = true }
        #expect(cluster.schedule(TestCluster.pod("p2", labels: ["app": "web"]))?.contains("1 node(s) didn't match pod topology spread constraints") == true)
        // Nobody selects this one, so there is nothing to be even with.
        #expect(cluster.schedule(TestCluster.pod("p3", labels: ["app": "other"])) == "p3 to a")
    }

    @Test func thousandsOfPodsOnThousandsOfNodesAreAllPlaced() {
        var cluster = TestCluster()
        for index in 0..<500 { cluster.node("n\(index)", pods: 10) }
        for index in 0..<3000 { cluster.put(.pods, TestCluster.pod("p\(index)", cpu: "100m")) }
        var perNode: [String: Int] = [:]
        while case .bind(let binding) = cluster.core.next(now: cluster.now) { perNode[binding.node, default: 0] += 1 }
        #expect(perNode.values.reduce(0, +) == 3000)
        #expect(perNode.values.allSatisfy { $0 <= 10 })
        #expect(cluster.core.queue.activeCount == 0)
    }
}

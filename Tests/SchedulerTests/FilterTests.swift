import Machinery
import Testing
import Tree

@testable import Scheduler

@Suite struct FilterTests {
    @Test func podWithRoomIsBound() {
        var cluster = TestCluster()
        cluster.node("a")
        #expect(cluster.schedule(TestCluster.pod("p", cpu: "1")) == "p to a")
    }

    @Test func withoutNodesThereIsNothingToChooseFrom() {
        var cluster = TestCluster()
        #expect(cluster.schedule(TestCluster.pod("p")) == "no nodes available to schedule pods")
    }

    @Test func tooLittleCPUIsToldInUpstreamsWords() {
        var cluster = TestCluster()
        cluster.node("a", cpu: "2")
        _ = cluster.schedule(TestCluster.pod("first", cpu: "1500m"))
        #expect(
            cluster.schedule(TestCluster.pod("p", cpu: "1"))
                == "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.")
    }

    @Test func moreThanANodeHasCannotBeHelpedByPreemption() {
        var cluster = TestCluster()
        cluster.node("a", cpu: "2")
        #expect(
            cluster.schedule(TestCluster.pod("p", cpu: "3"))
                == "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.")
    }

    @Test func assumedPodsTakeRoomAtOnce() {
        var cluster = TestCluster()
        cluster.node("a", cpu: "1")
        #expect(cluster.schedule(TestCluster.pod("p1", cpu: "1")) == "p1 to a")
        #expect(cluster.schedule(TestCluster.pod("p2", cpu: "1"))?.hasPrefix("0/1 nodes are available: 1 Insufficient cpu.") == true)
    }

    @Test func reasonsOfSeveralNodesAreCountedAndSorted() {
        var cluster = TestCluster()
        cluster.node("a") { $0["spec"]["unschedulable"] = true }
        cluster.node("b") { $0["spec"]["taints"] = [["key": "k", "effect": "NoSchedule"]] }
        cluster.node("c", labels: ["disk": "hdd"])
        let pod = TestCluster.pod("p") { $0["spec"]["nodeSelector"] = ["disk": "ssd"] }
        let message = cluster.schedule(pod) ?? ""
        #expect(
            message.hasPrefix(
                "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable."))
    }

    @Test func tolerationOpensATaintedNode() {
        var cluster = TestCluster()
        cluster.node("a") { $0["spec"]["taints"] = [["key": "k", "value": "v", "effect": "NoSchedule"]] }
        let pod = TestCluster.pod("p") { $0["spec"]["tolerations"] = [["key": "k", "value": "v", "effect": "NoSchedule"]] }
        #expect(cluster.schedule(pod) == "p to a")
    }

    @Test func hostPortsOfOnePortExcludeEachOther() {
        var cluster = TestCluster()
        cluster.node("a")
        func pod(_ name: String) -> Node {
            TestCluster.pod(name) { $0["spec"]["containers"][0]["ports"] = [["containerPort": 80, "hostPort": 8080]] }
        }
        #expect(cluster.schedule(pod("p1")) == "p1 to a")
        #expect(cluster.schedule(pod("p2"))?.contains("1 node(s) didn't have free ports for the requested pod ports") == true)
    }

    @Test func podLimitOfANodeIsKept() {
        var cluster = TestCluster()
        cluster.node("a", pods: 1)
        #expect(cluster.schedule(TestCluster.pod("p1")) == "p1 to a")
        #expect(cluster.schedule(TestCluster.pod("p2"))?.hasPrefix("0/1 nodes are available: 1 Too many pods.") == true)
    }

    @Test func requiredNodeAffinityChoosesTheNode() {
        var cluster = TestCluster()
        cluster.node("a", labels: ["zone": "x"])
        cluster.node("b", labels: ["zone": "y"])
        let pod = TestCluster.pod("p") {
            $0["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = [
                "nodeSelectorTerms": [["matchExpressions": [["key": "zone", "operator": "NotIn", "values": ["x"]]]]]
            ]
        }
        #expect(cluster.schedule(pod) == "p to b")
    }

    @Test func antiAffinityWorksInBothDirections() {
        var cluster = TestCluster()
        cluster.node("a")
        let term: Node = ["labelSelector": ["matchLabels": ["app": "web"]], "topologyKey": "kubernetes.io/hostname"]
        let shy = TestCluster.pod("shy", labels: ["app": "web"]) {
            $0["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = [term]
        }
        #expect(cluster.schedule(shy) == "shy to a")
        #expect(
            cluster.schedule(TestCluster.pod("other", labels: ["app": "web"]))?.contains("1 node(s) didn't satisfy existing pods anti-affinity rules") == true)
        let second = TestCluster.pod("shy2", labels: ["app": "web"]) {
            $0["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = [term]
        }
        #expect(cluster.schedule(second)?.contains("1 node(s) didn't match pod anti-affinity rules") == true)
    }

    @Test func theFirstOfAGroupThatWantsToBeTogetherGoesAnywhere() {
        var cluster = TestCluster()
        cluster.node("a")
        cluster.node("b")
        func pod(_ name: String) -> Node {
            TestCluster.pod(name, labels: ["app": "web"]) {
                $0["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = [
                    ["labelSelector": ["matchLabels": ["app": "web"]], "topologyKey": "kubernetes.io/hostname"]
                ]
            }
        }
        let first = cluster.schedule(pod("p1")) ?? ""
        #expect(first.hasPrefix("p1 to "))
        #expect(cluster.schedule(pod("p2"))?.suffix(1) == first.suffix(1))
        #expect(cluster.schedule(pod("p3"))?.suffix(1) == first.suffix(1))
    }

    @Test func hardSpreadKeepsTheSkew() {
        var cluster = TestCluster()
        cluster.node("a", labels: ["zone": "x"])
        cluster.node("b", labels: ["zone": "y"])
        func pod(_ name: String) -> Node {
            TestCluster.pod(name, labels: ["app": "web"]) {
                $0["spec"]["topologySpreadConstraints"] = [
                    ["maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": ["matchLabels": ["app": "web"]]]
                ]
            }
        }
        let places = ["p1", "p2", "p3", "p4"].compactMap { cluster.schedule(pod($0))?.suffix(1) }
        #expect(places.filter { $0 == "a" }.count == 2)
        #expect(places.filter { $0 == "b" }.count == 2)
    }
}

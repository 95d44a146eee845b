import Client
import Core
import Machinery
import Schema
import Testing
import Tree

@testable import Scheduler

@Suite struct VolumeAndProfileTests {
    private static func claim(_ name: String, modes: [Node] = ["ReadWriteOnce"], volume: String = "") -> Node {
        var claim: Node = ["metadata": ["name": .string(name), "namespace": "default", "uid": .string(name)], "spec": ["accessModes": .list(modes)]]
        if !volume.isEmpty {
            claim["spec"]["volumeName"] = .string(volume)
            claim["status"]["phase"] = "Bound"
        }
        return claim
    }

    private static func volume(_ name: String, labels: Node = [:]) -> Node {
        ["metadata": ["name": .string(name), "labels": labels], "spec": ["csi": ["driver": "csi.example.com", "volumeHandle": .string(name)]]]
    }

    private static func pod(_ name: String, claim: String) -> Node {
        TestCluster.pod(name) { $0["spec"]["volumes"] = [["name": "v", "persistentVolumeClaim": ["claimName": .string(claim)]]] }
    }

    @Test func claimOfOnePodIsNotSharedUntilThePodIsGone() {
        var cluster = TestCluster()
        cluster.node("a")
        cluster.node("b")
        cluster.put(.persistentVolumes, VolumeAndProfileTests.volume("pv"))
        cluster.put(.persistentVolumeClaims, VolumeAndProfileTests.claim("c", modes: ["ReadWriteOncePod"], volume: "pv"))
        #expect(cluster.schedule(VolumeAndProfileTests.pod("first", claim: "c"))?.hasPrefix("first to ") == true)
        let reason = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
        #expect(cluster.schedule(VolumeAndProfileTests.pod("second", claim: "c"))?.contains("2 \(reason)") == true)
        cluster.remove(.pods, "default", "first")
        cluster.advance(20)
        #expect(cluster.next()?.hasPrefix("second to ") == true)
    }

    @Test func nodeAttachesNoMoreVolumesThanItsDriverSays() {
        var cluster = TestCluster()
        cluster.node("a")
        cluster.put(.csiNodes, ["metadata": ["name": "a"], "spec": ["drivers": [["name": "csi.example.com", "nodeID": "a", "allocatable": ["count": 1]]]]])
        for name in ["1", "2"] {
            cluster.put(.persistentVolumes, VolumeAndProfileTests.volume("pv\(name)"))
            cluster.put(.persistentVolumeClaims, VolumeAndProfileTests.claim("c\(name)", volume: "pv\(name)"))
        }
        #expect(cluster.schedule(VolumeAndProfileTests.pod("p1", claim: "c1")) == "p1 to a")
        // The same volume once more costs nothing.
        #expect(cluster.schedule(VolumeAndProfileTests.pod("p2", claim: "c1")) == "p2 to a")
        #expect(cluster.schedule(VolumeAndProfileTests.pod("p3", claim: "c2"))?.contains("1 node(s) exceed max volume count") == true)
    }

    @Test func volumeOfAZoneKeepsItsPodThere() {
        var cluster = TestCluster()
        cluster.node("a", labels: ["topology.kubernetes.io/zone": "x"])
        cluster.node("b", labels: ["topology.kubernetes.io/zone": "y"])
        cluster.put(.persistentVolumes, VolumeAndProfileTests.volume("pv", labels: ["topology.kubernetes.io/zone": "y__z"]))
        cluster.put(.persistentVolumeClaims, VolumeAndProfileTests.claim("c", volume: "pv"))
        #expect(cluster.schedule(VolumeAndProfileTests.pod("p", claim: "c")) == "p to b")
    }

    @Test func writtenDiskIsInOnePlaceOnANode() {
        var cluster = TestCluster()
        cluster.node("a")
        func pod(_ name: String) -> Node {
            TestCluster.pod(name) { $0["spec"]["volumes"] = [["name": "v", "gcePersistentDisk": ["pdName": "disk"]]] }
        }
        #expect(cluster.schedule(pod("p1")) == "p1 to a")
        #expect(cluster.schedule(pod("p2"))?.contains("1 node(s) had no available disk") == true)
    }

    // MARK: - Profiles

    private static let configuration: Node = [
        "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "podInitialBackoffSeconds": 4,
        "profiles": [
            ["schedulerName": "default-scheduler"],
            [
                "schedulerName": "packer",
                "plugins": ["score": ["disabled": [["name": "*"]], "enabled": [["name": "NodeResourcesFit", "weight": 5]]], "filter": ["disabled": [["name": "TaintToleration"]]]],
                "pluginConfig": [
                    ["name": "NodeResourcesFit", "args": ["scoringStrategy": ["type": "MostAllocated", "resources": [["name": "cpu", "weight": 1]]]]],
                    [
                        "name": "NodeAffinity",
                        "args": [
                            "addedAffinity": [
                                "requiredDuringSchedulingIgnoredDuringExecution": [
                                    "nodeSelectorTerms": [["matchExpressions": [["key": "pool", "operator": "Exists"]]]]
                                ]
                            ]
                        ],
                    ],
                ],
            ],
        ],
    ]

    @Test func eachProfileSchedulesInItsWay() throws {
        var cluster = TestCluster()
        cluster.core = SchedulerCore(try SchedulerConfiguration(VolumeAndProfileTests.configuration))
        cluster.node("a", labels: ["pool": "x"])
        cluster.node("b", labels: ["pool": "x"]) { $0["spec"]["taints"] = [["key": "k", "effect": "NoSchedule"]] }
        cluster.node("c")
        cluster.put(.pods, TestCluster.pod("load", cpu: "2", on: "b"))
        func packed(_ name: String) -> Node { TestCluster.pod(name, cpu: "1") { $0["spec"]["schedulerName"] = "packer" } }
        // The fullest node of the pool, taints or not.
        #expect(cluster.schedule(packed("p")) == "p to b")
        #expect(cluster.schedule(TestCluster.pod("q", cpu: "1"))?.contains("to b") == false)
        cluster.put(.pods, TestCluster.pod("stranger") { $0["spec"]["schedulerName"] = "other" })
        #expect(cluster.next() == nil)
    }

    @Test func addedAffinityIsToldApart() throws {
        var cluster = TestCluster()
        cluster.core = SchedulerCore(try SchedulerConfiguration(VolumeAndProfileTests.configuration))
        cluster.node("c")
        let pod = TestCluster.pod("p") { $0["spec"]["schedulerName"] = "packer" }
        #expect(cluster.schedule(pod)?.contains("1 node(s) didn't match scheduler-enforced node affinity") == true)
    }

    @Test(arguments: [
        ["apiVersion": "v1", "kind": "ConfigMap"],
        ["apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "extenders": [["urlPrefix": "x"]]],
        ["apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "profiles": [["plugins": ["filter": ["enabled": [["name": "Mine"]]]]]]],
        ["apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration", "profiles": [["schedulerName": "a"], ["schedulerName": "a"]]],
    ] as [Node]) func configurationThatCannotBeFollowedIsRefused(_ document: Node) {
        #expect(throws: APIError.self) { try SchedulerConfiguration(document) }
    }
}

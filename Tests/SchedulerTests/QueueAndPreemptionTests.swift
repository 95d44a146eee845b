import Client
import Core
import Machinery
import Schema
import Testing
import Tree

@testable import Scheduler

@Suite struct QueueAndPreemptionTests {
    @Test func higherPriorityGoesFirst() {
        var cluster = TestCluster()
        cluster.node("a")
        cluster.put(.pods, TestCluster.pod("low"))
        cluster.put(.pods, TestCluster.pod("high", priority: 10))
        #expect(cluster.next() == "high to a")
        #expect(cluster.next() == "low to a")
        #expect(cluster.next() == nil)
    }

    @Test func refusedPodWaitsForAChangeThatMatters() {
        var cluster = TestCluster()
        cluster.node("a", cpu: "1")
        _ = cluster.schedule(TestCluster.pod("big", cpu: "2"))
        cluster.advance(60)
        #expect(cluster.next() == nil)
        // A claim is nothing that would give it a CPU.
        cluster.put(.persistentVolumeClaims, ["metadata": ["name": "c", "namespace": "default"]])
        #expect(cluster.next() == nil)
        cluster.node("b", cpu: "4")
        #expect(cluster.next() == "big to b")
    }

    @Test func backOffDelaysTheNextAttempt() {
        var cluster = TestCluster()
        cluster.node("a", cpu: "1")
        _ = cluster.schedule(TestCluster.pod("big", cpu: "2"))
        cluster.node("b", cpu: "4")
        #expect(cluster.next() == nil)
        cluster.advance(1)
        #expect(cluster.next() == "big to b")
    }

    @Test func gatedPodIsLeftAloneUntilTheGateOpens() {
        var cluster = TestCluster()
        cluster.node("a")
        var pod = TestCluster.pod("p") { $0["spec"]["schedulingGates"] = [["name": "g"]] }
        #expect(cluster.schedule(pod) == nil)
        pod["spec"].remove("schedulingGates")
        #expect(cluster.schedule(pod) == "p to a")
    }

    @Test func deletedPodLeavesTheQueueAndItsRoom() {
        var cluster = TestCluster()
        cluster.node("a", cpu: "1")
        cluster.put(.pods, TestCluster.pod("gone"))
        cluster.remove(.pods, "default", "gone")
        #expect(cluster.next() == nil)
        #expect(cluster.schedule(TestCluster.pod("p1", cpu: "1")) == "p1 to a")
        _ = cluster.schedule(TestCluster.pod("p2", cpu: "1"))
        cluster.advance(2)
        cluster.remove(.pods, "default", "p1")
        #expect(cluster.next() == "p2 to a")
    }

    @Test func podOfAnotherSchedulerIsNotTouched() {
        var cluster = TestCluster()
        cluster.node("a")
        #expect(cluster.schedule(TestCluster.pod("p") { $0["spec"]["schedulerName"] = "mine" }) == nil)
    }

    @Test func preemptionTakesTheLeastImportantAndPromisesTheNode() throws {
        var cluster = TestCluster()
        cluster.node("a", cpu: "2")
        cluster.put(.pods, TestCluster.pod("low", cpu: "1", on: "a", priority: 1))
        cluster.put(.pods, TestCluster.pod("mid", cpu: "1", on: "a", priority: 5))
        cluster.put(.pods, TestCluster.pod("high", cpu: "1", priority: 10))
        guard case .refuse(let refused) = cluster.core.next(now: cluster.now) else { throw TestFailure() }
        #expect(refused.preemption?.node == "a")
        #expect(refused.preemption?.victims.map(\.key.name) == ["low"])
        #expect(refused.message == "0/1 nodes are available: 1 Insufficient cpu.")
        // The room that comes free is promised: a less important pod may not have it.
        cluster.put(.pods, TestCluster.pod("high", cpu: "1", priority: 10) { $0["status"]["nominatedNodeName"] = "a" })
        cluster.put(.pods, TestCluster.pod("thief", cpu: "1", priority: 2))
        cluster.remove(.pods, "default", "low")
        #expect(cluster.next()?.contains("Insufficient cpu") == true)
        cluster.advance(2)
        #expect(cluster.next() == "high to a")
    }

    @Test func eachPreemptingPodMakesRoomOfItsOwn() throws {
        var cluster = TestCluster()
        cluster.node("a", cpu: "2")
        for name in ["low1", "low2"] { cluster.put(.pods, TestCluster.pod(name, cpu: "1", on: "a", priority: 1)) }
        var victims: Set<String> = []
        for name in ["mid1", "mid2"] {
            cluster.put(.pods, TestCluster.pod(name, cpu: "1", priority: 5))
            guard case .refuse(let refused) = cluster.core.next(now: cluster.now) else { throw TestFailure() }
            for victim in try #require(refused.preemption).victims {
                victims.insert(victim.key.name)
                // It takes its time.
                cluster.put(.pods, TestCluster.pod(victim.key.name, cpu: "1", on: "a", priority: 1) { $0["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z" })
            }
        }
        #expect(victims == ["low1", "low2"])
        // A more important one takes the promise of one of them.
        cluster.put(.pods, TestCluster.pod("high", cpu: "1", priority: 10))
        guard case .refuse(let refused) = cluster.core.next(now: cluster.now) else { throw TestFailure() }
        #expect(refused.preemption?.node == "a" && Set(refused.outdone.map(\.key.name)) == ["mid1", "mid2"])
    }

    @Test func preemptionPolicyNeverIsKept() {
        var cluster = TestCluster()
        cluster.node("a", cpu: "1")
        cluster.put(.pods, TestCluster.pod("low", cpu: "1", on: "a", priority: 1))
        let pod = TestCluster.pod("polite", cpu: "1", priority: 10) { $0["spec"]["preemptionPolicy"] = "Never" }
        #expect(cluster.schedule(pod) == "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.")
    }

    @Test func claimsThatWaitForAConsumerAreProvisionedForTheNode() throws {
        var cluster = TestCluster()
        cluster.node("a")
        cluster.put(.storageClasses, ["metadata": ["name": "local"], "provisioner": "x/y", "volumeBindingMode": "WaitForFirstConsumer"])
        cluster.put(.persistentVolumeClaims, ["metadata": ["name": "data", "namespace": "default", "uid": "data"], "spec": ["storageClassName": "local"]])
        cluster.put(.pods, TestCluster.pod("p") { $0["spec"]["volumes"] = [["name": "v", "persistentVolumeClaim": ["claimName": "data"]]] })
        guard case .bind(let binding) = cluster.core.next(now: cluster.now) else { throw TestFailure() }
        #expect(binding.volumes.provisions.map(\.name) == ["data"])
    }

    @Test func boundVolumeDecidesTheNode() {
        var cluster = TestCluster()
        cluster.node("a")
        cluster.node("b")
        cluster.put(
            .persistentVolumes,
            [
                "metadata": ["name": "pv"],
                "spec": [
                    "nodeAffinity": [
                        "required": [
                            "nodeSelectorTerms": [["matchExpressions": [["key": "kubernetes.io/hostname", "operator": "In", "values": ["b"]]]]]
                        ]
                    ]
                ],
            ])
        cluster.put(
            .persistentVolumeClaims, ["metadata": ["name": "data", "namespace": "default"], "spec": ["volumeName": "pv"], "status": ["phase": "Bound"]])
        #expect(cluster.schedule(TestCluster.pod("p") { $0["spec"]["volumes"] = [["name": "v", "persistentVolumeClaim": ["claimName": "data"]]] }) == "p to b")
    }

    @Test func missingAndUnboundClaimsAreTold() {
        var cluster = TestCluster()
        cluster.node("a")
        let pod = TestCluster.pod("p") { $0["spec"]["volumes"] = [["name": "v", "persistentVolumeClaim": ["claimName": "data"]]] }
        #expect(cluster.schedule(pod)?.hasPrefix("0/1 nodes are available: persistentvolumeclaim \"data\" not found. no new claims to deallocate, preemption:") == true)
        cluster.advance(2)
        cluster.put(.persistentVolumeClaims, ["metadata": ["name": "data", "namespace": "default"], "spec": ["storageClassName": "x"]])
        #expect(cluster.next()?.hasPrefix("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.") == true)
    }

    @Test func aThousandPodsOnAHundredNodesSpreadEvenly() {
        var cluster = TestCluster()
        for index in 0..<100 { cluster.node("n\(index)", pods: 110) }
        for index in 0..<1000 {
            cluster.put(.pods, TestCluster.pod("p\(index)", cpu: "100m") { $0["metadata"]["ownerReferences"] = [["uid": "rs", "controller": true]] })
        }
        var perNode: [String: Int] = [:]
        while case .bind(let binding) = cluster.core.next(now: cluster.now) { perNode[binding.node, default: 0] += 1 }
        #expect(perNode.values.reduce(0, +) == 1000)
        #expect(perNode.count == 100)
        #expect(perNode.values.allSatisfy { $0 == 10 })
    }
}

struct TestFailure: Error {}

import Core
import Kinds
import Machinery
import Testing
import Tree

@testable import Controllers

@Suite struct ResourceQuotaTests {
    private static func quota(_ hard: Node, scopes: [Node] = [], status: Node = [:]) -> Node {
        var spec: Node = ["hard": hard]
        if !scopes.isEmpty { spec["scopes"] = .list(scopes) }
        return ["apiVersion": "v1", "kind": "ResourceQuota", "metadata": ["name": "q", "namespace": "default"], "spec": spec, "status": status]
    }

    private static func pod(_ name: String, cpu: String, phase: String = "Running", extra: (inout Node) -> Void = { _ in }) -> Node {
        var pod: Node = [
            "metadata": ["name": .string(name), "namespace": "default"],
            "spec": ["containers": [["name": "c", "resources": ["requests": ["cpu": .string(cpu)], "limits": ["cpu": "1"]]]]], "status": ["phase": .string(phase)],
        ]
        extra(&pod)
        return pod
    }

    private func used(_ quota: Node, _ objects: [String: [Node]]) -> [String: String] {
        ResourceQuotas.recounted(quota, objects, now: Fixture.now)["status"]["used"].stringMap
    }

    @Test func livingPodsAreAddedUp() {
        let quota = ResourceQuotaTests.quota(["pods": "5", "requests.cpu": "2", "limits.cpu": "4", "count/pods": "9"])
        let pods = [ResourceQuotaTests.pod("a", cpu: "250m"), ResourceQuotaTests.pod("b", cpu: "500m"), ResourceQuotaTests.pod("c", cpu: "1", phase: "Succeeded")]
        #expect(used(quota, ["pods": pods]) == ["pods": "2", "requests.cpu": "750m", "limits.cpu": "2", "count/pods": "3"])
    }

    @Test func aDeviceCountsOnceWhicheverWayItIsAskedFor() {
        let classes: [Node] = [["metadata": ["name": "gpu"], "spec": ["extendedResourceName": "x.test/gpu"]], ["metadata": ["name": "other"], "spec": [:]]]
        let resources: Node = ["requests": ["x.test/gpu": "2"]]
        let pod: Node = [
            "metadata": ["name": "p", "namespace": "default", "uid": "u"], "spec": ["containers": [["name": "c", "resources": resources]]], "status": ["phase": "Pending"],
        ]
        func claim(_ name: String, _ count: Int64, of kind: String = "gpu", owned: Bool = false) -> Node {
            var metadata: Node = ["name": .string(name), "namespace": "default"]
            if owned {
                metadata["annotations"] = ["resource.kubernetes.io/extended-resource-claim": "true"]
                metadata["ownerReferences"] = [["apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": true]]
            }
            let request: Node = ["name": "r", "exactly": ["deviceClassName": .string(kind), "allocationMode": "ExactCount", "count": .int(count)]]
            return ["metadata": metadata, "spec": ["devices": ["requests": [request]]]]
        }
        let quota = ResourceQuotaTests.quota([
            "requests.x.test/gpu": "9", "requests.deviceclass.resource.kubernetes.io/gpu": "9", "gpu.deviceclass.resource.k8s.io/devices": "9",
            "requests.y.test/none": "9",
        ])
        let claims = [claim("made", 3, owned: true), claim("made-later", 1, owned: true), claim("asked", 1), claim("else", 1, of: "other")]
        let counted = ResourceQuotas.recounted(
            quota, ["pods": [pod], ExtendedDeviceNames.collection: claims], ExtendedDeviceNames(classes: classes), now: Fixture.now)
        // Of the claim that stands for the pod's two, one more; the pod has but one such claim.
        #expect(counted["status"]["used"].stringMap == [
            "requests.x.test/gpu": "5", "requests.deviceclass.resource.kubernetes.io/gpu": "5", "gpu.deviceclass.resource.k8s.io/devices": "5",
            "requests.y.test/none": "0",
        ])
    }

    @Test func podPastItsGraceNoLongerCounts() {
        let quota = ResourceQuotaTests.quota(["pods": "5"])
        let gone = ResourceQuotaTests.pod("a", cpu: "1") {
            $0["metadata"]["deletionTimestamp"] = .string((Fixture.now + .seconds(-60)).rfc3339)
            $0["metadata"]["deletionGracePeriodSeconds"] = 30
        }
        #expect(used(quota, ["pods": [gone]]) == ["pods": "0"])
    }

    @Test func scopesChooseThePods() {
        let ending = ResourceQuotaTests.pod("a", cpu: "1") { $0["spec"]["activeDeadlineSeconds"] = 10 }
        let lasting = ResourceQuotaTests.pod("b", cpu: "2")
        #expect(used(ResourceQuotaTests.quota(["requests.cpu": "9"], scopes: ["Terminating"]), ["pods": [ending, lasting]]) == ["requests.cpu": "1"])
        #expect(used(ResourceQuotaTests.quota(["requests.cpu": "9"], scopes: ["NotTerminating"]), ["pods": [ending, lasting]]) == ["requests.cpu": "2"])
    }

    @Test func objectsOfAnyGroupAreCounted() {
        let quota = ResourceQuotaTests.quota(["count/deployments.apps": "3", "services.nodeports": "4"])
        let service: Node = ["metadata": ["name": "s"], "spec": ["type": "NodePort", "ports": [["port": 1], ["port": 2]]]]
        #expect(
            used(quota, ["apps/deployments": [["metadata": ["name": "d"]]], "services": [service]])
                == ["count/deployments.apps": "1", "services.nodeports": "2"])
    }

    @Test func nothingOfAKindIsCountedAsNone() {
        #expect(used(ResourceQuotaTests.quota(["configmaps": "3"]), ["configmaps": []]) == ["configmaps": "0"])
    }

    @Test func rightCountIsLeftAsItStands() {
        let status: Node = ["hard": ["requests.cpu": "2"], "used": ["requests.cpu": "1000m"]]
        let quota = ResourceQuotaTests.quota(["requests.cpu": "2"], status: status)
        #expect(ResourceQuotas.recounted(quota, ["pods": [ResourceQuotaTests.pod("a", cpu: "1")]], now: Fixture.now) == quota)
    }

    @Test func newLimitsComeIntoForce() {
        let status: Node = ["hard": ["pods": "2"], "used": ["pods": "0"]]
        let counted = ResourceQuotas.recounted(ResourceQuotaTests.quota(["pods": "7"], status: status), ["pods": []], now: Fixture.now)
        #expect(counted["status"]["hard"]["pods"].string == "7")
    }
}

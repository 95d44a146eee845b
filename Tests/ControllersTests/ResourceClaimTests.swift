import Testing
import Tree

@testable import Controllers

/// What becomes of claims whose consumers end.
@Suite struct ResourceClaimTests {
    private func claim(consumers: [String], isAllocated: Bool = true, isDeleted: Bool = false) -> Node {
        var claim: Node = [
            "metadata": ["name": "c", "namespace": "default", "uid": "c", "finalizers": ["resource.kubernetes.io/delete-protection"]],
            "status": ["reservedFor": .list(consumers.map { ["resource": "pods", "name": .string($0), "uid": .string($0)] })],
        ]
        if isAllocated { claim["status"]["allocation"] = ["devices": ["results": []]] }
        if isDeleted { claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z" }
        return claim
    }

    private func decide(_ claim: Node, ended: Set<String> = [], owner: ResourceClaims.PodState = .unknown) -> ResourceClaims.Decision {
        ResourceClaims.decide(claim, pod: { ended.contains($0["uid"].string ?? "") ? .ended : .active }, owner: owner)
    }

    @Test func consumersThatRunKeepTheClaim() { #expect(decide(claim(consumers: ["a", "b"])) == ResourceClaims.Decision()) }

    @Test func oneOfTwoConsumersLeaves() {
        let decision = decide(claim(consumers: ["a", "b"]), ended: ["a"])
        #expect(decision.consumers?.map { $0["name"] } == ["b"])
        #expect(!decision.deallocates && !decision.releases && !decision.deletes)
    }

    @Test func theLastConsumerGivesTheDevicesBack() {
        let decision = decide(claim(consumers: ["a"]), ended: ["a"])
        #expect(decision.consumers == [] && decision.deallocates && decision.releases && !decision.deletes)
    }

    @Test func aGeneratedClaimGoesWithItsPod() {
        let decision = decide(claim(consumers: ["a"]), ended: ["a"], owner: .ended)
        #expect(decision.deallocates && decision.deletes)
        #expect(!decide(claim(consumers: []), owner: .active).deletes)
    }

    @Test func anUnusedClaimThatIsToGoIsLetGo() {
        let decision = decide(claim(consumers: [], isDeleted: true))
        #expect(decision.consumers == nil && decision.deallocates && decision.releases)
        #expect(decide(claim(consumers: ["a"], isDeleted: true)) == ResourceClaims.Decision())
    }

    @Test func consumersOfUnknownKindsStay() {
        var claim = claim(consumers: [])
        claim["status"]["reservedFor"] = [["apiGroup": "example.com", "resource": "robots", "name": "r", "uid": "r"]]
        #expect(decide(claim, ended: ["r"]) == ResourceClaims.Decision())
    }
}

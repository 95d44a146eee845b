import Core
import Emulation
import Machinery
import Testing
import Tree

@testable import Emulation

@Suite struct EmulatedPodTests {
    private static let start = Timestamp(seconds: 1_767_225_600)

    private func pod(_ annotations: [String: String] = [:], _ edit: (inout Node) -> Void = { _ in }) -> Node {
        var pod: Node = [
            "apiVersion": "v1", "kind": "Pod",
            "metadata": ["name": "p", "namespace": "default", "uid": "u", "creationTimestamp": .string(Self.start.rfc3339), "annotations": Node(annotations)],
            "spec": ["nodeName": "n", "containers": [["name": "a", "image": "x"], ["name": "b", "image": "y"]]], "status": ["phase": "Pending"],
        ]
        edit(&pod)
        return pod
    }

    private func next(_ pod: Node, after seconds: Int64 = 0) -> EmulatedPod.Step {
        EmulatedPod.next(pod, nodeAddress: "100.64.0.1", now: Self.start + .seconds(seconds)) { "100.64.0.2" }
    }

    private func running(_ pod: Node) -> Node {
        guard case .report(let status) = next(pod) else { return .null }
        var pod = pod
        pod["status"] = status
        return pod
    }

    @Test func aBoundPodRunsAtOnceWithAnAddressAndReadyContainers() {
        let pod = running(pod())
        #expect(pod["status"]["phase"] == "Running" && pod["status"]["podIP"] == "100.64.0.2" && pod["status"]["hostIP"] == "100.64.0.1")
        #expect(pod["status"]["containerStatuses"].list.map { $0["ready"] } == [true, true])
        #expect(pod["status"]["conditions"].list.contains { $0["type"] == "Ready" && $0["status"] == "True" })
        #expect(next(pod, after: 1_000_000) == .nothing)
    }

    @Test func annotationsSayWhenItRunsAndEnds() {
        #expect(next(pod([EmulatedPod.runningAfter: "5s"]), after: 2) == .wait(Self.start + .seconds(5)))
        let ending = running(pod([EmulatedPod.succeededAfter: "1m"]))
        #expect(next(ending, after: 59) == .wait(Self.start + .seconds(60)))
        guard case .report(let done) = next(ending, after: 60) else { return #expect(Bool(false)) as Void }
        #expect(done["phase"] == "Succeeded" && done["containerStatuses"][1]["state"]["terminated"]["exitCode"] == 0)
        guard case .report(let failed) = next(running(pod([EmulatedPod.failedAfter: "0s"]))) else { return #expect(Bool(false)) as Void }
        #expect(failed["phase"] == "Failed" && failed["containerStatuses"][0]["state"]["terminated"]["reason"] == "Error")
    }

    @Test func aPodOfAJobSucceedsAfterASecond() {
        let pod = running(pod { $0["metadata"]["ownerReferences"] = [["kind": "Job", "uid": "j", "controller": true]] })
        #expect(next(pod) == .wait(Self.start + .seconds(1)))
        guard case .report(let status) = next(pod, after: 1) else { return #expect(Bool(false)) as Void }
        #expect(status["phase"] == "Succeeded")
    }

    @Test func aPodThatIsDeletedGoesAndOneThatIsHeldEndsFirst() {
        let leaving = running(pod()) .with { $0["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z" }
        #expect(next(leaving) == .remove)
        let held = leaving.with { $0["metadata"]["finalizers"] = ["batch.kubernetes.io/job-tracking"] }
        guard case .report(let status) = next(held) else { return #expect(Bool(false)) as Void }
        #expect(status["phase"] == "Failed" && status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137)
        #expect(next(held.with { $0["status"] = status }) == .remove)
        #expect(next(held.with { $0["metadata"]["deletionGracePeriodSeconds"] = 0 }) == .nothing)
    }

    @Test func oneShotInitContainersAreDoneAndSidecarsRun() {
        let pod = running(pod { $0["spec"]["initContainers"] = [["name": "i", "image": "z"], ["name": "s", "image": "z", "restartPolicy": "Always"]] })
        #expect(pod["status"]["initContainerStatuses"].list.map { $0["state"].has("terminated") } == [true, false])
    }
}

@Suite struct EmulatedShapeTests {
    @Test func flavorsAndResourcesAreRead() throws {
        let shape = try EmulatedShape(["flavor": "BV4-8-40", "resources": ["pods": "20", "example.com/gpu": "2"], "taints": ["a=b:NoSchedule", "c:NoExecute"]])
        #expect(shape.resources.mapValues { "\($0)" } == ["cpu": "4", "memory": "8Gi", "ephemeral-storage": "40Gi", "pods": "20", "example.com/gpu": "2"])
        #expect(shape.taints == [["key": "a", "value": "b", "effect": "NoSchedule"], ["key": "c", "effect": "NoExecute"]])
    }

    @Test(arguments: [
        ["flavor": "BV4-8"], ["flavor": "BV0-8-40"], ["resources": ["cpu": "many"]], ["resources": ["cpu": "-1"]], ["taints": ["a"]], ["taints": ["a:Never"]],
    ] as [Node]) func whatCannotBeReadIsRefused(_ wanted: Node) {
        #expect(throws: APIError.self) { try EmulatedShape(wanted) }
    }
}

@Suite struct AgendaTests {
    @Test func thingsAreTakenByTheirLatestTime() {
        var agenda = Agenda<String>()
        func at(_ seconds: Int64) -> Timestamp { Timestamp(seconds: seconds) }
        for (name, time) in [("c", 30), ("a", 10), ("b", 20)] { agenda.set(name, at: at(Int64(time))) }
        agenda.set("a", at: at(40))
        agenda.remove("c")
        #expect(agenda.nextTime() == at(20))
        #expect(agenda.take(10, now: at(15)) == [])
        #expect(agenda.take(10, now: at(50)) == ["b", "a"])
        #expect(agenda.nextTime() == nil && agenda.count == 0)
    }

    @Test func addressesAreGivenOnceUntilTheyComeBack() {
        var addresses = FakeAddresses()
        addresses.take("100.64.0.2")
        addresses.take("10.0.0.1")
        #expect([addresses.give(), addresses.give()] == ["100.64.0.1", "100.64.0.3"])
        addresses.release("100.64.0.1")
        #expect(addresses.give() == "100.64.0.4")
    }
}

extension Node {
    fileprivate func with(_ edit: (inout Node) -> Void) -> Node {
        var copy = self
        edit(&copy)
        return copy
    }
}

import Core
import Testing
import Tree

@testable import Kubelet

/// What a pod machine does when a running pod is given other resources.
struct ResizeTests {
    static let pod = """
        spec:
          restartPolicy: Always
          containers:
          - name: app
            image: a
            resources: {requests: {cpu: 20m, memory: 30Mi}, limits: {cpu: 20m, memory: 30Mi}}
        status: {phase: Pending}
        """

    private func running(_ yaml: String = pod) throws -> MachineScript {
        var script = try MachineScript(yaml)
        _ = script.ready()
        let resources = script.machine.pod.containers[0]["resources"]
        script.on(.started(name: "app", attempt: 0, RunningContainer(id: "c", image: "i", imageID: "i", startedAt: script.now, resources: resources)))
        return script
    }

    private func wish(_ script: MachineScript, cpu: String) -> Node {
        var pod = script.machine.pod.node
        pod["metadata"]["generation"] = 2
        pod["spec"]["containers"] = .list([
            { var container = pod["spec"]["containers"][0]
                container["resources"]["requests"]["cpu"] = .string(cpu)
                container["resources"]["limits"]["cpu"] = .string(cpu)
                return container }()
        ])
        return pod
    }

    @Test func whatIsGrantedIsAppliedAndSaidWhenItIs() throws {
        var script = try running()
        #expect(script.status()["containerStatuses"][0]["allocatedResources"]["cpu"].string == "20m")
        let pod = wish(script, cpu: "30m")
        #expect(script.on(.changed(pod)) == [.askResize(script.machine.pod)])
        #expect(script.condition("PodResizeInProgress") == "True", "the generation is observed, so what is open must be said with it")
        #expect(script.status()["containerStatuses"][0]["resources"]["limits"]["cpu"].string == "20m")
        let wanted = pod["spec"]["containers"][0]["resources"]
        #expect(script.on(.resizeAnswered(.granted)) == [.applyResources(containers: ["app": wanted], pod: .null)])
        #expect(script.status()["containerStatuses"][0]["allocatedResources"]["cpu"].string == "30m")
        #expect(script.status()["containerStatuses"][0]["resources"]["limits"]["cpu"].string == "20m")
        #expect(script.on(.resourcesApplied(containers: ["app": wanted], pod: .null, error: nil)) == [])
        #expect(script.status()["containerStatuses"][0]["resources"]["limits"]["cpu"].string == "30m")
        #expect(script.condition("PodResizeInProgress") == "")
    }

    @Test func aNodeThatIsFullMakesTheWishWaitUntilSomethingIsFreed() throws {
        var script = try running()
        let pod = wish(script, cpu: "30m")
        script.on(.changed(pod))
        #expect(script.on(.resizeAnswered(.deferred(message: "full"))) == [])
        let pending = script.status()["conditions"].list.first { $0["type"].string == "PodResizePending" }
        #expect(pending?["reason"].string == "Deferred")
        #expect(script.machine.grantedPod.containers[0]["resources"]["limits"]["cpu"].string == "20m", "what it starts by is what was granted")
        #expect(script.on(.capacityFreed) == [.askResize(script.machine.pod)])
    }

    @Test func anInfeasibleWishIsNotAskedTwiceButAnotherOneIs() throws {
        var script = try running()
        script.on(.changed(wish(script, cpu: "300")))
        script.on(.resizeAnswered(.infeasible(message: "never")))
        #expect(script.on(.capacityFreed) == [])
        script.on(.changed(wish(script, cpu: "40m")))
        #expect(script.steps == [.askResize(script.machine.pod)])
        #expect(script.condition("PodResizePending") == "")
    }

    @Test func equalAmountsInOtherWordsAreNoResize() throws {
        var script = try running()
        #expect(script.on(.changed(wish(script, cpu: "0.02"))) == [])
    }

    @Test func aPolicyOfRestartRestartsTheContainer() throws {
        var script = try running(Self.pod.replacing("image: a\n", with: "image: a\n    resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]\n"))
        script.on(.changed(wish(script, cpu: "30m")))
        script.on(.resizeAnswered(.granted))
        #expect(script.steps == [.stop(name: "app", attempt: 0, grace: 30, runsHook: true)])
        #expect(script.condition("PodResizeInProgress") == "True")
        #expect(script.exited("app", code: 143).contains(.start(name: "app", attempt: 1)))
    }

    @Test func aFailureIsSaidAndTriedAgain() throws {
        var script = try running()
        script.on(.changed(wish(script, cpu: "30m")))
        script.on(.resizeAnswered(.granted))
        script.on(.resourcesApplied(containers: [:], pod: .null, error: "busy"))
        let condition = script.status()["conditions"].list.first { $0["type"].string == "PodResizeInProgress" }
        #expect(condition?["reason"].string == "Error")
        #expect(script.pass(6).contains { if case .applyResources = $0 { true } else { false } })
    }

    @Test func theGapOfAReplacedContainerIsNotTold() throws {
        var script = try running()
        var pod = script.machine.pod.node
        pod["spec"]["containers"] = .list([{ var container = pod["spec"]["containers"][0]; container["image"] = "b"; return container }()])
        script.on(.changed(pod))
        #expect(!script.machine.isSwapping(script.now))
        #expect(script.exited("app", code: 143).contains(.start(name: "app", attempt: 1)))
        #expect(script.machine.isSwapping(script.now))
        _ = script.pass(2)
        #expect(!script.machine.isSwapping(script.now), "one that takes long is told")
        script.started("app", 1)
        #expect(!script.machine.isSwapping(script.now))
    }

    @Test func conditionsThatEndedAreTakenOutOfTheStatus() {
        let old: Node = ["conditions": [["type": "PodResizePending", "status": "True"], ["type": "Ready", "status": "True"]]]
        let new: Node = ["conditions": [["type": "Ready", "status": "True"]]]
        #expect(StatusPatch.make(uid: "u", old: old, new: new)?["status"]["conditions"] == [["type": "PodResizePending", "$patch": "delete"]])
    }
}

import Core
import Testing
import Tree

@testable import Kubelet

@Suite struct PodMachineTests {
    static let one = "spec: {containers: [{name: app, image: a}]}"
    static func one(policy: String) -> String { "spec: {restartPolicy: \(policy), containers: [{name: app, image: a}]}" }

    @Test func volumesAndSandboxAreMadeSideBySideAndContainersAfterBoth() throws {
        var script = try MachineScript(Self.one)
        #expect(script.steps == [.prepareVolumes, .createSandbox(attempt: 0)])
        #expect(script.on(.sandboxReady(id: "s", addresses: ["10.0.0.5"])) == [])
        #expect(script.status()["phase"].string == "Pending")
        #expect(script.state("app")["waiting"]["reason"].string == "ContainerCreating")
        #expect(script.on(.volumesReady) == [.start(name: "app", attempt: 0)])
        #expect(script.started("app") == [.startProbes(name: "app", attempt: 0)])
        let status = script.status()
        #expect(status["phase"].string == "Running")
        #expect(status["podIP"].string == "10.0.0.5")
        #expect(status["containerStatuses"][0]["containerID"].string == "jangada://app-0")
        for type in ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", "PodScheduled"] { #expect(script.condition(type) == "True") }
    }

    @Test func initContainersRunOneAfterAnother() throws {
        var script = try MachineScript("spec: {initContainers: [{name: a}, {name: b}], containers: [{name: app}]}")
        #expect(script.ready() == [.start(name: "a", attempt: 0)])
        #expect(script.state("app")["waiting"]["reason"].string == "PodInitializing")
        script.started("a")
        #expect(script.exited("a", code: 0) == [.stopProbes(name: "a"), .start(name: "b", attempt: 0)])
        script.started("b")
        #expect(script.condition("Initialized") == "False")
        #expect(script.exited("b", code: 0).contains(.start(name: "app", attempt: 0)))
        #expect(script.condition("Initialized") == "True")
    }

    @Test func aSidecarStartsBeforeTheOthersAndEndsAfterThem() throws {
        var script = try MachineScript("spec: {restartPolicy: Never, initContainers: [{name: side, restartPolicy: Always}], containers: [{name: app}]}")
        #expect(script.ready() == [.start(name: "side", attempt: 0)])
        #expect(script.started("side").contains(.start(name: "app", attempt: 0)))
        script.started("app")
        #expect(script.exited("app", code: 0).contains(.stop(name: "side", attempt: 0, grace: 30, runsHook: true)))
        script.exited("side", code: 143)
        #expect(script.status()["phase"].string == "Succeeded")
    }

    @Test func aFailingInitContainerFailsAPodThatNeverRestarts() throws {
        var script = try MachineScript("spec: {restartPolicy: Never, initContainers: [{name: a}], containers: [{name: app}]}")
        _ = script.ready()
        script.started("a")
        #expect(script.exited("a", code: 1).hasNoStart)
        #expect(script.status()["phase"].string == "Failed")
    }

    @Test func aCrashIsRepeatedAtOnceThenAfterTenAndTwentySeconds() throws {
        var script = try MachineScript(Self.one)
        _ = script.ready()
        script.started("app")
        #expect(script.exited("app", code: 1).contains(.start(name: "app", attempt: 1)))
        script.started("app", 1)
        #expect(script.exited("app", 1, code: 1).hasNoStart)
        #expect(!script.state("app")["terminated"].isNull)
        _ = script.pass(1)
        #expect(script.reasons == ["BackOff"])
        #expect(script.state("app")["waiting"]["reason"].string == "CrashLoopBackOff")
        #expect(script.state("app")["waiting"]["message"].string == "back-off 10s restarting failed container=app pod=web_default(u-1)")
        #expect(script.status()["phase"].string == "Running")
        #expect(script.pass(8).hasNoStart)
        #expect(script.pass(1) == [.start(name: "app", attempt: 2)])
        script.started("app", 2)
        script.exited("app", 2, code: 1)
        _ = script.pass(1)
        #expect(script.state("app")["waiting"]["message"].string?.hasPrefix("back-off 20s") == true)
        #expect(script.pass(18).hasNoStart)
        #expect(script.pass(1) == [.start(name: "app", attempt: 3)])
    }

    @Test func aLongQuietRunForgetsTheBackOff() throws {
        var script = try MachineScript(Self.one)
        _ = script.ready()
        script.started("app")
        script.exited("app", code: 1)
        script.started("app", 1)
        _ = script.pass(601)
        #expect(script.exited("app", 1, code: 1).contains(.start(name: "app", attempt: 2)))
    }

    @Test(arguments: [("Always", 0, true), ("Always", 1, true), ("OnFailure", 0, false), ("OnFailure", 1, true), ("Never", 0, false), ("Never", 1, false)])
    func restartsFollowThePolicy(policy: String, code: Int32, restarts: Bool) throws {
        var script = try MachineScript(Self.one(policy: policy))
        _ = script.ready()
        script.started("app")
        #expect(script.exited("app", code: code).hasNoStart == !restarts)
        #expect(script.status()["phase"].string == (restarts ? "Running" : code == 0 ? "Succeeded" : "Failed"))
    }

    @Test func aFinishedPodIsTornDownOnlyOnceTheAPIKnows() throws {
        var script = try MachineScript(Self.one(policy: "Never"))
        _ = script.ready()
        script.started("app")
        #expect(script.exited("app", code: 0) == [.stopProbes(name: "app")])
        #expect(script.on(.statusWritten(phase: "Running")) == [])
        #expect(script.on(.statusWritten(phase: "Succeeded")) == [.removeSandbox])
        #expect(script.on(.sandboxRemoved) == [.clean])
        #expect(script.on(.cleaned) == [])
        #expect(script.status()["phase"].string == "Succeeded")
        #expect(script.delete() == [.delete])
        #expect(script.on(.deleted) == [.finish])
    }

    @Test func deletionStopsRemovesCleansAndThenDeletes() throws {
        var script = try MachineScript(Self.one)
        _ = script.ready()
        script.started("app")
        #expect(script.delete(grace: 7) == [.stop(name: "app", attempt: 0, grace: 7, runsHook: true)])
        #expect(script.reasons == ["Killing"])
        #expect(script.condition("Ready") == "True")
        #expect(script.delete(grace: 7) == [])
        #expect(script.delete(grace: 1) == [.stop(name: "app", attempt: 0, grace: 1, runsHook: false)])
        #expect(script.exited("app", code: 143) == [.stopProbes(name: "app"), .removeSandbox])
        #expect(script.status()["phase"].string == "Failed")
        #expect(script.on(.sandboxRemoved) == [])
        #expect(script.on(.statusWritten(phase: "Failed")) == [.clean])
        #expect(script.on(.cleaned) == [.delete])
        #expect(script.on(.vanished) == [.finish])
    }

    @Test func aPodThatVanishedIsStoppedAndNothingIsWritten() throws {
        var script = try MachineScript(Self.one)
        _ = script.ready()
        script.started("app")
        #expect(script.on(.vanished) == [.stop(name: "app", attempt: 0, grace: 30, runsHook: true)])
        #expect(script.exited("app", code: 0) == [.stopProbes(name: "app"), .removeSandbox])
        #expect(script.on(.sandboxRemoved) == [.clean])
        #expect(script.on(.cleaned) == [.finish])
    }

    @Test func aDeletionDuringTheStartWaitsForIt() throws {
        var script = try MachineScript(Self.one)
        _ = script.ready()
        #expect(script.delete() == [])
        #expect(script.started("app").contains(.stop(name: "app", attempt: 0, grace: 30, runsHook: true)))
    }

    @Test func aFailedPullShowsFirstItselfThenTheBackOff() throws {
        var script = try MachineScript(Self.one)
        _ = script.ready()
        script.on(.startFailed(name: "app", attempt: 0, StartFailure(.pull, reason: "ErrImagePull", message: "no route")))
        #expect(script.reasons == ["Failed"])
        #expect(script.state("app")["waiting"] == ["reason": "ErrImagePull", "message": "no route"])
        _ = script.pass(5)
        #expect(script.reasons == ["BackOff", "Failed"])
        #expect(script.state("app")["waiting"] == ["reason": "ImagePullBackOff", "message": "Back-off pulling image \"a\": ErrImagePull: no route"])
        #expect(script.pass(5) == [.start(name: "app", attempt: 0)])
        #expect(script.status()["containerStatuses"][0]["restartCount"].int == 0)
    }

    @Test func missingConfigurationIsTriedAgainWhenItAppears() throws {
        var script = try MachineScript(Self.one)
        _ = script.ready()
        script.on(.startFailed(name: "app", attempt: 0, StartFailure(.configuration, reason: "CreateContainerConfigError", message: "configmap \"c\" not found")))
        #expect(script.state("app")["waiting"]["reason"].string == "CreateContainerConfigError")
        #expect(script.on(.dependenciesChanged) == [.start(name: "app", attempt: 0)])
    }

    @Test func aProgramThatCannotStartCountsAsARun() throws {
        var script = try MachineScript(Self.one)
        _ = script.ready()
        script.on(.startFailed(name: "app", attempt: 0, StartFailure(.run, reason: "RunContainerError", message: "no such file")))
        #expect(script.steps == [.start(name: "app", attempt: 1)])
        script.on(.startFailed(name: "app", attempt: 1, StartFailure(.run, reason: "RunContainerError", message: "no such file")))
        #expect(script.state("app")["waiting"]["reason"].string == "RunContainerError")
        let status = script.status()["containerStatuses"][0]
        #expect(status["lastState"]["terminated"]["exitCode"].int == 128)
        #expect(status["lastState"]["terminated"]["reason"].string == "StartError")
    }

    @Test func failedLivenessRestartsTheContainer() throws {
        var script = try MachineScript("spec: {containers: [{name: app, image: a, livenessProbe: {terminationGracePeriodSeconds: 3}}]}")
        _ = script.ready()
        script.started("app")
        #expect(script.on(.probed(name: "app", attempt: 0, .liveness, succeeded: false)) == [.stop(name: "app", attempt: 0, grace: 3, runsHook: true)])
        #expect(script.actions.contains(.event(type: "Normal", reason: "Killing", message: "Container app failed liveness probe, will be restarted", container: "app")))
        #expect(script.exited("app", code: 137).contains(.start(name: "app", attempt: 1)))
    }

    @Test func readinessDecidesTheConditionsAndStartupHoldsItBack() throws {
        var script = try MachineScript("spec: {containers: [{name: app, image: a, startupProbe: {}, readinessProbe: {}}]}")
        _ = script.ready()
        script.started("app")
        #expect(script.status()["containerStatuses"][0]["started"].bool == false)
        #expect(script.on(.probed(name: "app", attempt: 0, .startup, succeeded: true)) == [.continueProbes(name: "app", attempt: 0)])
        #expect(script.status()["containerStatuses"][0]["started"].bool == true)
        #expect(script.condition("Ready") == "False")
        let message = script.status()["conditions"].list.first { $0["type"].string == "Ready" }?["message"].string
        #expect(message == "containers with unready status: [app]")
        script.on(.probed(name: "app", attempt: 0, .readiness, succeeded: true))
        #expect(script.condition("Ready") == "True")
        script.on(.probed(name: "app", attempt: 0, .readiness, succeeded: false))
        #expect(script.condition("ContainersReady") == "False")
    }

    @Test func readinessGatesAreOthersToOpen() throws {
        var script = try MachineScript("spec: {readinessGates: [{conditionType: example.com/ok}], containers: [{name: app}]}")
        _ = script.ready()
        script.started("app")
        #expect(script.condition("ContainersReady") == "True")
        #expect(script.condition("Ready") == "False")
        var pod = script.machine.pod.node
        pod["status"]["conditions"] = [["type": "example.com/ok", "status": "True"]]
        script.on(.changed(pod))
        #expect(script.condition("Ready") == "True")
        #expect(script.condition("example.com/ok") == "True")
    }

    @Test func theDeadlineEndsThePod() throws {
        var script = try MachineScript("spec: {activeDeadlineSeconds: 5, containers: [{name: app}]}")
        _ = script.ready()
        script.started("app")
        #expect(script.pass(5) == [.stop(name: "app", attempt: 0, grace: 30, runsHook: true)])
        #expect(script.status()["phase"].string == "Failed")
        #expect(script.status()["reason"].string == "DeadlineExceeded")
    }

    @Test func aRejectedPodFailsWithoutStartingAnything() throws {
        var script = try MachineScript(Self.one, rejection: PodRejection(reason: "NodeAffinity", message: "no"))
        #expect(script.steps == [])
        #expect(script.status()["phase"].string == "Failed")
        #expect(script.status()["reason"].string == "NodeAffinity")
    }

    @Test func anotherImageReplacesTheContainer() throws {
        var script = try MachineScript(Self.one(policy: "Never"))
        _ = script.ready()
        script.started("app")
        var pod = script.machine.pod.node
        pod["spec"]["containers"][0]["image"] = "b"
        #expect(script.on(.changed(pod)) == [.stop(name: "app", attempt: 0, grace: 30, runsHook: true)])
        #expect(script.exited("app", code: 143).contains(.start(name: "app", attempt: 1)))
    }

    @Test func aLostSandboxIsMadeAnewWithItsInitContainers() throws {
        var script = try MachineScript("spec: {initContainers: [{name: a}], containers: [{name: app}]}")
        _ = script.ready()
        script.started("a")
        script.exited("a", code: 0)
        script.started("app")
        #expect(script.on(.sandboxLost) == [])
        #expect(script.exited("app", code: 255) == [.stopProbes(name: "app"), .removeSandbox])
        #expect(script.reasons == ["SandboxChanged"])
        #expect(script.on(.sandboxRemoved) == [.createSandbox(attempt: 1)])
        #expect(script.on(.sandboxReady(id: "t", addresses: ["10.0.0.6"])) == [.start(name: "a", attempt: 1)])
    }

    @Test func ephemeralContainersStartOnce() throws {
        var script = try MachineScript(Self.one)
        _ = script.ready()
        script.started("app")
        var pod = script.machine.pod.node
        pod["spec"]["ephemeralContainers"] = [["name": "debug", "image": "d"]]
        #expect(script.on(.changed(pod)) == [.start(name: "debug", attempt: 0)])
        script.started("debug")
        #expect(script.exited("debug", code: 0) == [.stopProbes(name: "debug")])
        #expect(script.status()["ephemeralContainerStatuses"][0]["state"]["terminated"]["exitCode"].int == 0)
    }

    @Test func anAdoptedContainerIsWatchedAndNotStarted() throws {
        let running = RunningContainer(id: "c", image: "img", imageID: "i", startedAt: Timestamp(seconds: 5))
        let adopted = AdoptedPod(
            sandbox: "s", addresses: ["10.0.0.9"], containers: [.init(name: "app", attempt: 2, specImage: "a", state: .running(running))])
        var script = try MachineScript(Self.one, adopted: adopted)
        #expect(script.steps == [.watch(name: "app", attempt: 2), .startProbes(name: "app", attempt: 2), .prepareVolumes])
        #expect(script.on(.volumesReady) == [])
        let status = script.status()
        #expect(status["phase"].string == "Running")
        #expect(status["podIP"].string == "10.0.0.9")
        #expect(status["containerStatuses"][0]["restartCount"].int == 2)
    }

    @Test func whatTheAPIBelievesToRunButDoesNotIsUnknown() throws {
        let pod = Self.one(policy: "Never")
            + "\nstatus: {phase: Running, containerStatuses: [{name: app, restartCount: 0, containerID: 'jangada://x', started: true, state: {running: {startedAt: '2026-01-01T00:00:00Z'}}}]}"
        var script = try MachineScript(pod)
        #expect(script.status()["phase"].string == "Failed")
        #expect(script.state("app")["terminated"]["reason"].string == "ContainerStatusUnknown")
        #expect(script.state("app")["terminated"]["exitCode"].int == 137)
    }

    @Test func anEventOfAnEarlierRunChangesNothing() throws {
        var script = try MachineScript(Self.one)
        _ = script.ready()
        script.started("app")
        script.exited("app", code: 1)
        script.started("app", 1)
        #expect(script.exited("app", 0, code: 1) == [])
        #expect(script.on(.probed(name: "app", attempt: 0, .liveness, succeeded: false)) == [])
        #expect(!script.state("app")["running"].isNull)
    }

    @Test func failedVolumesAreTriedAgainLaterAndLater() throws {
        var script = try MachineScript(Self.one)
        #expect(script.on(.volumesFailed(message: "MountVolume")) == [.wake(at: script.now + .milliseconds(500))])
        #expect(script.reasons == ["FailedMount"])
        #expect(script.pass(1) == [.prepareVolumes])
    }
}

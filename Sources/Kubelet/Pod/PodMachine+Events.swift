import Core
import Machinery
import Tree

extension PodMachine {
    mutating func apply(_ event: PodEvent, _ now: Timestamp) -> [PodAction] {
        switch event {
        case .changed(let node): change(node)
        case .vanished: hasVanished = true
        case .volumesReady:
            volumes = .ready
            volumeBackoff.reset()
        case .volumesFailed(let message):
            volumes = .failed(until: now + volumeBackoff.next())
            return [.event(type: "Warning", reason: "FailedMount", message: message, container: nil)]
        case .sandboxReady(let id, let addresses):
            sandbox = .ready(id: id, addresses: addresses)
            failedSandboxes.reset()
        case .sandboxFailed(let message):
            sandbox = .failed(until: now + failedSandboxes.next())
            return [.event(type: "Warning", reason: "FailedCreatePodSandBox", message: "Failed to create pod sandbox: \(message)", container: nil)]
        case .sandboxLost: if case .ready = sandbox { isSandboxLost = true }
        case .sandboxRemoved: forgetSandbox()
        case .started(let name, let attempt, let running): return started(name, attempt, running)
        case .startFailed(let name, let attempt, let failure): return startFailed(name, attempt, failure, now)
        case .postStartFailed(let name, let attempt, let message): return postStartFailed(name, attempt, message)
        case .exited(let name, let attempt, let termination): return exited(name, attempt, termination, now)
        case .probed(let name, let attempt, let kind, let succeeded): return probed(name, attempt, kind, succeeded)
        case .dependenciesChanged: hurry(now)
        case .resizeAnswered(let verdict): resize.answered(verdict, pod)
        case .capacityFreed: resize.reconsider()
        case .resourcesApplied(let containers, let own, let error): applied(containers, own, error, now)
        case .statusWritten(let phase): writtenPhase = phase
        case .cleaned: isClean = true
        case .deleted: hasVanished = true
        case .woke, .healthChanged: break
        }
        return []
    }

    private mutating func change(_ node: Node) {
        guard node.uid == pod.uid else { return }
        pod = PodView(node)
        for (role, container) in pod.all where tracks[container["name"].string ?? ""] == nil {
            tracks[container["name"].string ?? ""] = ContainerTrack(role: role)
        }
        resize.follow(pod)
    }

    /// Whoever waits for configuration to appear tries again now.
    private mutating func hurry(_ now: Timestamp) {
        if case .failed = volumes { volumes = .failed(until: now) }
        for (name, track) in tracks where track.waiting?.reason == "CreateContainerConfigError" { tracks[name]?.heldUntil = nil }
    }

    private mutating func forgetSandbox() {
        sandbox = .none
        sandboxAttempt += 1
        isSandboxLost = false
        hasBegun = false
        // A new sandbox starts from the first init container.
        for (name, var track) in tracks where track.role == .initial || track.role == .sidecar {
            if let termination = track.termination { track.last = termination }
            if ending == nil { track.phase = .idle }
            tracks[name] = track
        }
    }

    private mutating func started(_ name: String, _ attempt: Int, _ running: RunningContainer) -> [PodAction] {
        guard var track = tracks[name], track.isStarting, attempt == track.nextAttempt else { return [] }
        if let termination = track.termination { track.last = termination }
        track.phase = .running(running)
        track.attempt = attempt
        track.ran = true
        track.isStarting = false
        track.waiting = nil
        track.heldUntil = nil
        track.restartsAfterStop = nil
        track.isReplaced = false
        track.swapsUntil = nil
        track.hasAnnouncedBackOff = false
        track.image = running.image
        track.imageID = running.imageID
        track.containerID = running.id
        track.specImage = pod.container(name)?.container["image"].string ?? ""
        track.resources = running.resources
        track.pull = ContainerTrack.Delay()
        track.started = !has(.startup, name)
        track.ready = track.started && !has(.readiness, name)
        tracks[name] = track
        if track.role == .regular { hasBegun = true }
        return [.startProbes(name: name, attempt: attempt)]
    }

    private mutating func startFailed(_ name: String, _ attempt: Int, _ failure: StartFailure, _ now: Timestamp) -> [PodAction] {
        guard var track = tracks[name], track.isStarting, attempt == track.nextAttempt else { return [] }
        track.isStarting = false
        track.waiting = .init(reason: failure.reason, message: failure.message)
        defer { tracks[name] = track }
        switch failure.step {
        case .pull:
            track.pull.next(now)
            // Seen as ErrImagePull for a moment, then as ImagePullBackOff.
            track.heldUntil = now + .seconds(min(track.pull.seconds / 2, 5))
        case .image, .configuration, .creation:
            track.heldUntil = now + .seconds(10)
        case .run:
            if let termination = track.termination { track.last = termination }
            track.attempt = attempt
            track.ran = true
            track.phase = .exited(
                Termination(
                    exitCode: 128, reason: "StartError", message: failure.message, startedAt: Timestamp(seconds: 0), finishedAt: now,
                    containerID: track.containerID))
        }
        return [.event(type: "Warning", reason: "Failed", message: failure.step == .pull ? "Error: \(failure.reason)" : "Error: \(failure.message)", container: name)]
    }

    private mutating func postStartFailed(_ name: String, _ attempt: Int, _ message: String) -> [PodAction] {
        guard let track = tracks[name], track.isRunning, track.attempt == attempt, !track.isStopping else { return [] }
        tracks[name]?.waiting = .init(reason: "PostStartHookError", message: message)
        return [.event(type: "Warning", reason: "FailedPostStartHook", message: "PostStartHook failed", container: name)]
            + stop(name, message: "FailedPostStartHook")
    }

    private mutating func exited(_ name: String, _ attempt: Int, _ termination: Termination, _ now: Timestamp) -> [PodAction] {
        guard var track = tracks[name], track.attempt == attempt, case .running(let running) = track.phase else { return [] }
        var termination = termination
        if termination.containerID.isEmpty { termination.containerID = running.id }
        track.phase = .exited(termination)
        if track.isReplaced { track.swapsUntil = now + .seconds(1) }
        track.isStopping = false
        track.started = false
        track.ready = false
        tracks[name] = track
        return [.stopProbes(name: name)]
    }

    private mutating func probed(_ name: String, _ attempt: Int, _ kind: ProbeKind, _ succeeded: Bool) -> [PodAction] {
        guard let track = tracks[name], track.isRunning, track.attempt == attempt else { return [] }
        // Readiness counts to the end: a container that is being stopped may still serve.
        guard kind == .readiness || !track.isStopping else { return [] }
        switch (kind, succeeded) {
        case (.startup, true):
            tracks[name]?.started = true
            if !has(.readiness, name) { tracks[name]?.ready = true }
            return [.continueProbes(name: name, attempt: attempt)]
        case (.readiness, _): tracks[name]?.ready = succeeded && track.started
        case (.liveness, true): break
        case (.startup, false), (.liveness, false):
            guard ending == nil else { return [] }
            let verb = kind == .startup ? "startup" : "liveness"
            let comesBack = pod.container(name).map { ($0.container["restartPolicy"].string ?? pod.restartPolicy) != "Never" } ?? false
            tracks[name]?.restartsAfterStop = comesBack
            let grace = pod.container(name)?.container[kind.field]["terminationGracePeriodSeconds"].int
            return stop(name, message: "Container \(name) failed \(verb) probe" + (comesBack ? ", will be restarted" : ""), grace: grace)
        }
        return []
    }

    /// Asks a running container to end, once.
    mutating func stop(_ name: String, message: String, grace: Int64? = nil) -> [PodAction] {
        guard let track = tracks[name], track.isRunning, !track.isStopping else { return [] }
        tracks[name]?.isStopping = true
        return [
            .event(type: "Normal", reason: "Killing", message: message, container: name),
            .stop(name: name, attempt: track.attempt, grace: grace ?? pod.gracePeriod, runsHook: true),
        ]
    }
}

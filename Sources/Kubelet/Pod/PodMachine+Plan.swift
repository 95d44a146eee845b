import Core
import Machinery
import Tree

extension PodMachine {
    // MARK: - Running

    /// What is missing for the pod to be as its spec says.
    mutating func run(_ now: Timestamp, _ out: inout [PodAction]) {
        resizeContainers(now, &out)
        if case .ready = sandbox, isSandboxLost {
            guard !tracks.values.contains(where: \.isActive) else { return }
            sandbox = .removing
            out.append(.event(
                type: "Normal", reason: "SandboxChanged", message: "Pod sandbox changed, it will be killed and re-created.", container: nil))
            out.append(.removeSandbox)
        }
        prepare(now, &out)
        guard volumes == .ready, case .ready = sandbox else { return }
        for container in pod.ephemeralContainers {
            let name = container["name"].string ?? ""
            if tracks[name]?.termination == nil { keep(name, now, &out) }
        }
        guard initialize(now, &out) else { return }
        for container in pod.containers {
            let name = container["name"].string ?? ""
            replaceIfChanged(name, container, &out)
            if let termination = tracks[name]?.termination, !restarts(name, termination) { continue }
            keep(name, now, &out)
        }
    }

    /// Volumes and sandbox are made side by side.
    private mutating func prepare(_ now: Timestamp, _ out: inout [PodAction]) {
        switch volumes {
        case .ready, .preparing: break
        case .failed(let until) where until > now: wake(at: until)
        case .idle, .failed:
            volumes = .preparing
            out.append(.prepareVolumes)
        }
        switch sandbox {
        case .ready, .creating, .removing: break
        case .failed(let until) where until > now: wake(at: until)
        case .none, .failed:
            sandbox = .creating
            out.append(.createSandbox(attempt: sandboxAttempt))
        }
    }

    /// Brings init containers forward; true once the regular ones may start.
    private mutating func initialize(_ now: Timestamp, _ out: inout [PodAction]) -> Bool {
        for container in pod.initContainers {
            let name = container["name"].string ?? ""
            guard let track = tracks[name] else { continue }
            if track.role == .sidecar {
                replaceIfChanged(name, container, &out)
                keep(name, now, &out)
                if !hasBegun, tracks[name]?.isRunning != true || tracks[name]?.started != true { return false }
                continue
            }
            if hasBegun || track.termination?.exitCode == 0 { continue }
            if let termination = track.termination, !restarts(name, termination) { return false }
            keep(name, now, &out)
            return false
        }
        return true
    }

    /// A container whose image in the spec is another now is replaced.
    private mutating func replaceIfChanged(_ name: String, _ container: Node, _ out: inout [PodAction]) {
        guard let track = tracks[name], track.isRunning, !track.isStopping, !track.specImage.isEmpty, track.specImage != container["image"].string else { return }
        tracks[name]?.restartsAfterStop = true
        tracks[name]?.isReplaced = true
        out += stop(name, message: "Container \(name) definition changed, will be restarted")
    }

    /// Starts a container that does not run, unless it has to wait.
    private mutating func keep(_ name: String, _ now: Timestamp, _ out: inout [PodAction]) {
        guard var track = tracks[name], !track.isActive else { return }
        defer { tracks[name] = track }
        if let until = track.heldUntil, until > now { return wake(at: until) }
        track.heldUntil = nil
        if let termination = track.termination {
            let finished = termination.finishedAt ?? now
            if let end = track.crash.end(since: finished, now: now) {
                // The exit itself is to be seen before the waiting for the next run is.
                let shown = finished + .seconds(1)
                guard shown <= now || track.waiting?.reason == "CrashLoopBackOff" else { return wake(at: min(shown, end)) }
                announceCrash(name, &track, &out)
                return wake(at: end)
            }
            track.crash.next(finished)
        }
        if let used = track.pull.used, let end = track.pull.end(since: used, now: now) {
            announcePullBackOff(name, &track, &out)
            return wake(at: end)
        }
        track.isStarting = true
        out.append(.start(name: name, attempt: track.nextAttempt))
    }

    private func announceCrash(_ name: String, _ track: inout ContainerTrack, _ out: inout [PodAction]) {
        guard !track.hasAnnouncedBackOff else { return }
        track.hasAnnouncedBackOff = true
        let delay = GoDuration.render(track.crash.seconds * 1_000_000_000)
        track.waiting = .init(reason: "CrashLoopBackOff", message: "back-off \(delay) restarting failed container=\(name) pod=\(pod.title)")
        out.append(.event(
            type: "Warning", reason: "BackOff", message: "Back-off restarting failed container \(name) in pod \(pod.title)", container: name))
    }

    private func announcePullBackOff(_ name: String, _ track: inout ContainerTrack, _ out: inout [PodAction]) {
        guard track.waiting?.reason != "ImagePullBackOff" else { return }
        let text = "Back-off pulling image \(NodePath.quoted(pod.container(name)?.container["image"].string ?? ""))"
        let cause = track.waiting.map { ": \($0.reason): \($0.message)" } ?? ""
        track.waiting = .init(reason: "ImagePullBackOff", message: text + cause)
        out.append(.event(type: "Normal", reason: "BackOff", message: text, container: name))
        out.append(.event(type: "Warning", reason: "Failed", message: "Error: ImagePullBackOff", container: name))
    }

    // MARK: - Ending

    mutating func decideEnding(_ now: Timestamp, _ out: inout [PodAction]) {
        if ending == nil, hasVanished || pod.node.isBeingDeleted { ending = .deleted }
        guard ending == nil else { return }
        if let limit = pod.spec["activeDeadlineSeconds"].int {
            let deadline = startTime + .seconds(limit)
            if deadline <= now {
                ending = .deadline
                out.append(.event(
                    type: "Normal", reason: "DeadlineExceeded", message: "Pod was active on the node longer than the specified deadline", container: nil))
                return
            }
            wake(at: deadline)
        }
        if isOver { ending = .completed }
    }

    /// Nothing runs, and nothing will.
    private var isOver: Bool {
        let initialFailed = pod.initContainers.contains { container in
            let name = container["name"].string ?? ""
            guard !hasBegun, let track = tracks[name], track.role == .initial, let termination = track.termination else { return false }
            return !track.isStarting && termination.exitCode != 0 && !restarts(name, termination)
        }
        if initialFailed { return true }
        guard !pod.containers.isEmpty else { return false }
        return pod.containers.allSatisfy { container in
            let name = container["name"].string ?? ""
            guard let track = tracks[name], !track.isActive, let termination = track.termination else { return false }
            return !restarts(name, termination)
        }
    }

    /// Containers, sandbox, the rest, and at last the object itself.
    mutating func end(_ now: Timestamp, _ out: inout [PodAction]) {
        stopContainers(&out)
        guard !tracks.values.contains(where: \.isActive) else { return }
        let isGoing = hasVanished || pod.node.isBeingDeleted
        let isRecorded = hasVanished || ["Succeeded", "Failed"].contains(writtenPhase)
        switch sandbox {
        case .creating, .removing: return
        case .ready:
            // A finished pod's containers are the record of how it ended, until the API has that.
            guard isGoing || isRecorded else { return }
            sandbox = .removing
            return out.append(.removeSandbox)
        case .none, .failed: break
        }
        guard isRecorded, volumes != .preparing else { return }
        if !isClean {
            if !isCleaning { out.append(.clean) }
            isCleaning = true
            return
        }
        guard isGoing else { return }
        if hasVanished {
            isFinished = true
            out.append(.finish)
        } else if !isDeleting {
            isDeleting = true
            out.append(.delete)
        }
    }

    /// Regular containers first; then sidecars, in the reverse of their order, one after another.
    private mutating func stopContainers(_ out: inout [PodAction]) {
        let grace = pod.gracePeriod
        let isShorter = requestedGrace.map { grace < $0 } ?? false
        requestedGrace = min(requestedGrace ?? grace, grace)
        let ordered = pod.all.map { $0.container["name"].string ?? "" }
        for name in ordered where tracks[name]?.role != .sidecar { out += end(name, grace, isShorter) }
        guard !tracks.values.contains(where: { $0.role != .sidecar && $0.isActive }) else { return }
        if let name = ordered.last(where: { tracks[$0]?.role == .sidecar && tracks[$0]?.isActive == true }) { out += end(name, grace, isShorter) }
    }

    private mutating func end(_ name: String, _ grace: Int64, _ isShorter: Bool) -> [PodAction] {
        guard let track = tracks[name], track.isRunning else { return [] }
        if !track.isStopping { return stop(name, message: "Stopping container \(name)", grace: grace) }
        // Asked again with less patience.
        return isShorter ? [.stop(name: name, attempt: track.attempt, grace: grace, runsHook: false)] : []
    }
}

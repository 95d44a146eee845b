package import Core
import Machinery
package import Tree

/// What ran when this kubelet found the pod.
package struct AdoptedPod: Sendable, Equatable {
    package struct Container: Sendable, Equatable {
        package enum State: Sendable, Equatable { case running(RunningContainer), exited(Termination) }
        package var name: String
        package var attempt: Int
        package var specImage: String
        package var state: State
        package init(name: String, attempt: Int, specImage: String, state: State) {
            self.name = name
            self.attempt = attempt
            self.specImage = specImage
            self.state = state
        }
    }
    package var sandbox: String
    package var addresses: [String]
    package var sandboxAttempt: Int
    package var containers: [Container]
    package init(sandbox: String, addresses: [String], sandboxAttempt: Int = 0, containers: [Container]) {
        self.sandbox = sandbox
        self.addresses = addresses
        self.sandboxAttempt = sandboxAttempt
        self.containers = containers
    }
}

/// Why the node does not take a pod.
package struct PodRejection: Sendable, Equatable {
    package var reason: String
    package var message: String
    package init(reason: String, message: String) {
        self.reason = reason
        self.message = message
    }
}

/// Everything a kubelet decides about one pod: events in, actions out. No clock, no files, no API: the same events at the
/// same times always give the same actions. It works from levels, so an event that comes twice, or late, does no harm.
package struct PodMachine: Sendable {
    enum Volumes: Sendable, Equatable {
        /// → preparing
        case idle
        /// → ready, failed
        case preparing
        case ready
        /// → preparing, when the time has come
        case failed(until: Timestamp)
    }
    enum Sandbox: Sendable, Equatable {
        /// → creating
        case none
        /// → ready, failed
        case creating
        /// → removing
        case ready(id: String, addresses: [String])
        /// → creating, when the time has come
        case failed(until: Timestamp)
        /// → none
        case removing
    }
    /// Why the pod's containers are to end; never taken back.
    enum Ending: Sendable, Equatable { case rejected(PodRejection), deadline, completed, deleted }

    package internal(set) var pod: PodView
    var volumes = Volumes.idle
    var sandbox = Sandbox.none
    var sandboxAttempt = 0
    /// Its init is gone; what was in it must be seen to end first.
    var isSandboxLost = false
    var tracks: [String: ContainerTrack] = [:]
    var ending: Ending?
    var hasVanished = false
    var isCleaning = false
    var isClean = false
    var isDeleting = false
    package internal(set) var isFinished = false
    /// A regular container has started in this sandbox: its init containers are done.
    var hasBegun = false
    var startTime: Timestamp
    var failedSandboxes = Backoff(base: .seconds(1), limit: .seconds(30))
    var volumeBackoff = Backoff(base: .milliseconds(500), limit: .seconds(122))
    /// The phase that the API is known to have.
    var writtenPhase = ""
    var lastStatus: Node = .null
    var requestedGrace: Int64?
    var resize: PodResize
    private var earliest: Timestamp?
    private var announcedWake: Timestamp?

    package init(pod node: Node, adopted: AdoptedPod? = nil, rejection: PodRejection? = nil, now: Timestamp) {
        pod = PodView(node)
        resize = PodResize(pod)
        startTime = pod.status["startTime"].string.flatMap { Timestamp(rfc3339: $0) } ?? Timestamp(seconds: now.seconds)
        writtenPhase = pod.status["phase"].string ?? ""
        for (role, container) in pod.all { tracks[container["name"].string ?? ""] = ContainerTrack(role: role) }
        restore(now)
        if let adopted { adopt(adopted) } else { lose(now) }
        if pod.isTerminal {
            ending = .completed
        } else if let rejection, adopted == nil {
            ending = .rejected(rejection)
        }
    }

    /// What the API knows of earlier runs.
    private mutating func restore(_ now: Timestamp) {
        for (name, var track) in tracks {
            guard let status = pod.containerStatus(name) else { continue }
            track.attempt = Int(status["restartCount"].int ?? 0)
            track.image = status["image"].string ?? ""
            track.imageID = status["imageID"].string ?? ""
            track.containerID = status["containerID"].string ?? ""
            track.last = Termination(status["lastState"]["terminated"])
            if let termination = Termination(status["state"]["terminated"]) { track.phase = .exited(termination) }
            track.ran = !track.containerID.isEmpty || track.last != nil
            tracks[name] = track
        }
        hasBegun = pod.containers.contains { pod.containerStatus($0["name"].string ?? "")?["started"].bool == true }
    }

    private mutating func adopt(_ adopted: AdoptedPod) {
        sandbox = .ready(id: adopted.sandbox, addresses: adopted.addresses)
        sandboxAttempt = adopted.sandboxAttempt
        for found in adopted.containers.sorted(by: { $0.attempt < $1.attempt }) {
            guard var track = tracks[found.name], found.attempt >= track.attempt || !track.ran else { continue }
            if found.attempt > track.attempt, let earlier = track.termination { track.last = earlier }
            track.attempt = found.attempt
            track.ran = true
            track.specImage = found.specImage
            switch found.state {
            case .running(let running):
                track.phase = .running(running)
                track.image = running.image
                track.imageID = running.imageID
                track.containerID = running.id
                let status = pod.containerStatus(found.name)
                let isSame = status?["containerID"].string == ContainerID.render(running.id)
                track.resources = isSame && status?.has("resources") == true ? status?["resources"] ?? .null : resize.granted.containers[found.name] ?? .null
                track.started = isSame && status?["started"].bool == true || !has(.startup, found.name)
                track.ready = isSame && status?["ready"].bool == true || !has(.readiness, found.name) && track.started
                if track.role == .regular { hasBegun = true }
            case .exited(let termination):
                track.phase = .exited(termination)
                track.containerID = termination.containerID
            }
            tracks[found.name] = track
        }
        // Said to run by the API and not found here.
        for (name, track) in tracks where !adopted.containers.contains(where: { $0.name == name }) && !track.isRunning { lose(name) }
    }

    /// No sandbox was found: what the API says to run does not.
    private mutating func lose(_ now: Timestamp) {
        for name in tracks.keys { lose(name) }
        let sawSandbox = tracks.values.contains { $0.ran }
        if sawSandbox { sandboxAttempt = 1 }
        hasBegun = false
    }

    private mutating func lose(_ name: String) {
        guard let status = pod.containerStatus(name), !status["state"]["running"].isNull, var track = tracks[name] else { return }
        track.phase = .exited(
            Termination(
                exitCode: 137, reason: "ContainerStatusUnknown", message: "The container could not be located when the pod was terminated",
                containerID: ""))
        tracks[name] = track
    }

    // MARK: - Driving

    /// What to do at first, beside taking over what runs.
    package mutating func begin(now: Timestamp) -> [PodAction] {
        var out: [PodAction] = []
        for (name, track) in tracks.sorted(by: { $0.key < $1.key }) where track.isRunning {
            out.append(.watch(name: name, attempt: track.attempt))
            let isThrough = track.started && has(.startup, name)
            out.append(isThrough ? .continueProbes(name: name, attempt: track.attempt) : .startProbes(name: name, attempt: track.attempt))
        }
        if case .rejected(let rejection) = ending {
            out.append(.event(type: "Warning", reason: rejection.reason, message: rejection.message, container: nil))
        }
        return out + advance(now)
    }

    package mutating func handle(_ event: PodEvent, now: Timestamp) -> [PodAction] {
        guard !isFinished else { return [] }
        // That timer is spent; the same time may have to be asked for again.
        if event == .woke { announcedWake = nil }
        var out = apply(event, now)
        out += advance(now)
        return out
    }

    private mutating func advance(_ now: Timestamp) -> [PodAction] {
        var out: [PodAction] = []
        earliest = nil
        decideEnding(now, &out)
        if ending == nil { run(now, &out) } else { end(now, &out) }
        for case let until? in tracks.values.map(\.swapsUntil) where until > now { wake(at: until) }
        if let earliest, earliest != announcedWake { out.append(.wake(at: earliest)) }
        announcedWake = earliest
        return out
    }

    mutating func wake(at time: Timestamp) { earliest = min(earliest ?? time, time) }

    /// A container is between two runs of one step, as upstream's kubelet replaces it without telling of the gap. A swap that takes long is told.
    package func isSwapping(_ now: Timestamp) -> Bool {
        ending == nil && tracks.values.contains { track in track.isStarting && track.swapsUntil.map { $0 > now } ?? false }
    }

    func has(_ probe: ProbeKind, _ name: String) -> Bool { pod.container(name)?.container.has(probe.field) ?? false }

    /// Whether a container ended that would run again.
    func restarts(_ name: String, _ termination: Termination) -> Bool {
        guard let track = tracks[name], let (role, container) = pod.container(name) else { return false }
        if let forced = track.restartsAfterStop { return forced }
        return RestartPolicy.restarts(container, role: role, pod: pod, exitCode: termination.exitCode)
    }
}

/// The form in which statuses name containers.
package enum ContainerID {
    package static let scheme = "jangada://"
    package static func render(_ id: String) -> String { id.isEmpty || id.hasPrefix(scheme) ? id : scheme + id }
    package static func parse(_ text: String) -> String { text.hasPrefix(scheme) ? String(text.dropFirst(scheme.count)) : text }
}

extension Termination {
    /// From `state.terminated` or `lastState.terminated`; nil where that is absent.
    init?(_ node: Node) {
        guard !node.isNull else { return nil }
        self.init(
            exitCode: Int32(clamping: node["exitCode"].int ?? 0), reason: node["reason"].string ?? "", message: node["message"].string ?? "",
            startedAt: node["startedAt"].string.flatMap { Timestamp(rfc3339: $0) },
            finishedAt: node["finishedAt"].string.flatMap { Timestamp(rfc3339: $0) }, containerID: ContainerID.parse(node["containerID"].string ?? ""))
        signal = Int32(clamping: node["signal"].int ?? 0)
    }

    var node: Node {
        var out: Node = ["exitCode": .int(Int64(exitCode))]
        if signal != 0 { out["signal"] = .int(Int64(signal)) }
        if !reason.isEmpty { out["reason"] = .string(reason) }
        if !message.isEmpty { out["message"] = .string(message) }
        out["startedAt"] = startedAt.map { .string($0.rfc3339) } ?? .null
        out["finishedAt"] = finishedAt.map { .string($0.rfc3339) } ?? .null
        if !containerID.isEmpty { out["containerID"] = .string(ContainerID.render(containerID)) }
        return out
    }
}

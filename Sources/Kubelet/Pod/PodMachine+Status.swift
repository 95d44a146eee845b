package import Core
import Kinds
import Machinery
package import Tree

extension PodMachine {
    /// The pod's whole status as it is now. `hostAddresses` are the node's.
    package mutating func status(hostAddresses: [String], now: Timestamp) -> Node {
        let initial = pod.initContainers.map { containerStatus($0) }
        let regular = pod.containers.map { containerStatus($0) }
        let ephemeral = pod.ephemeralContainers.map { containerStatus($0) }
        var status: Node = [:]
        if pod.node.generation > 0 { status["observedGeneration"] = .int(pod.node.generation) }
        let phase = phase(initial, regular)
        status["phase"] = .string(phase)
        if let (reason, message) = outcome {
            status["reason"] = .string(reason)
            status["message"] = .string(message)
        }
        status["hostIP"] = hostAddresses.first.map(Node.string) ?? .null
        if !hostAddresses.isEmpty { status["hostIPs"] = .list(hostAddresses.map { ["ip": .string($0)] }) }
        let addresses = addresses(hostAddresses)
        if let first = addresses.first {
            status["podIP"] = .string(first)
            status["podIPs"] = .list(addresses.map { ["ip": .string($0)] })
        }
        status["startTime"] = .string(startTime.rfc3339)
        status["qosClass"] = pod.status["qosClass"].isNull ? .string(QualityOfService(pod.spec).rawValue) : pod.status["qosClass"]
        if !initial.isEmpty { status["initContainerStatuses"] = .list(initial) }
        if !regular.isEmpty { status["containerStatuses"] = .list(regular) }
        if !ephemeral.isEmpty { status["ephemeralContainerStatuses"] = .list(ephemeral) }
        status["conditions"] = .list(conditions(initial, regular, phase, now))
        lastStatus = status
        return status
    }

    /// Set where the pod failed as a whole.
    private var outcome: (reason: String, message: String)? {
        switch ending {
        case .rejected(let rejection): (rejection.reason, rejection.message)
        case .deadline: ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
        default:
            pod.isTerminal && !pod.status["reason"].isNull ? (pod.status["reason"].string ?? "", pod.status["message"].string ?? "") : nil
        }
    }

    /// Nothing of the pod runs, and nothing is going to.
    private var isTerminated: Bool { ending != nil && !tracks.values.contains(where: \.isActive) }

    private func phase(_ initial: [Node], _ regular: [Node]) -> String {
        // A terminal phase is never taken back.
        if pod.isTerminal { return pod.status["phase"].string ?? "Failed" }
        switch ending {
        case .rejected, .deadline: return "Failed"
        default: break
        }
        let phase = PodPhase.compute(pod, initial: initial, regular: regular, isEnding: isTerminated, hasBegun: hasBegun)
        if isTerminated, phase != "Succeeded" { return "Failed" }
        return phase
    }

    private func addresses(_ hostAddresses: [String]) -> [String] {
        if case .ready(_, let own) = sandbox { return pod.usesHostNetwork ? hostAddresses : own }
        return lastStatus["podIPs"].list.compactMap { $0["ip"].string }
    }

    // MARK: - Containers

    private func containerStatus(_ container: Node) -> Node {
        let name = container["name"].string ?? ""
        guard let track = tracks[name] else { return ["name": .string(name)] }
        var status: Node = ["name": .string(name)]
        var last = track.last
        status["state"] = state(track, &last)
        status["lastState"] = last.map { ["terminated": $0.node] } ?? [:]
        status["ready"] = .bool(isReady(track))
        status["restartCount"] = .int(Int64(track.attempt))
        status["image"] = track.image.isEmpty ? container["image"] : .string(track.image)
        status["imageID"] = .string(track.imageID)
        if !track.containerID.isEmpty { status["containerID"] = .string(ContainerID.render(track.containerID)) }
        status["started"] = .bool(track.isRunning && track.started)
        if track.isRunning || track.termination != nil {
            let granted = resize.granted.containers[name] ?? container["resources"]
            let shown = track.isRunning && !track.resources.isNull ? track.resources : granted
            if shown.has("requests") || shown.has("limits") {
                var resources: Node = [:]
                resources["limits"] = shown["limits"]
                resources["requests"] = shown["requests"]
                status["resources"] = resources
            }
            if !granted["requests"].fields.isEmpty { status["allocatedResources"] = granted["requests"] }
            if case .running(let running) = track.phase { status["user"] = running.user }
        }
        let mounts = container["volumeMounts"].list.map(ContainerStatusMount.node)
        if !mounts.isEmpty { status["volumeMounts"] = .list(mounts) }
        return status
    }

    private func isReady(_ track: ContainerTrack) -> Bool {
        switch track.role {
        case .initial: track.termination?.exitCode == 0 && !track.isStarting
        case .ephemeral: false
        default: track.isRunning && track.ready
        }
    }

    private func state(_ track: ContainerTrack, _ last: inout Termination?) -> Node {
        switch track.phase {
        case .running(let running): return ["running": ["startedAt": .string(running.startedAt.rfc3339)]]
        case .exited(let termination):
            guard let waiting = track.waiting, ending == nil || !isTerminated else { return ["terminated": termination.node] }
            last = termination
            return ["waiting": render(waiting)]
        case .idle:
            if isTerminated, hasBegun, track.role != .ephemeral {
                return ["terminated": Termination(
                    exitCode: 137, reason: "ContainerStatusUnknown", message: "The container could not be located when the pod was terminated"
                ).node]
            }
            if let waiting = track.waiting { return ["waiting": render(waiting)] }
            return ["waiting": ["reason": .string(pod.initContainers.isEmpty || track.role == .ephemeral ? "ContainerCreating" : "PodInitializing")]]
        }
    }

    private func render(_ waiting: ContainerTrack.Waiting) -> Node {
        var out: Node = ["reason": .string(waiting.reason)]
        if !waiting.message.isEmpty { out["message"] = .string(waiting.message) }
        return out
    }
}

/// What a status says of a container's mounts.
enum ContainerStatusMount {
    static func node(_ mount: Node) -> Node {
        var out: Node = ["name": mount["name"], "mountPath": mount["mountPath"]]
        if mount["readOnly"].bool == true {
            out["readOnly"] = true
            let wanted = mount["recursiveReadOnly"].string ?? "Disabled"
            out["recursiveReadOnly"] = wanted == "Disabled" ? "Disabled" : "Enabled"
        }
        return out
    }
}

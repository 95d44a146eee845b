package import Core
import Kinds
import Machinery
package import Tree

/// What a pod on an emulated node does next, told by the object and the clock alone: it is reported Running, ends after the time that
/// its annotations give (a Job's after a second, all others never), and goes when it is told to.
package enum EmulatedPod {
    package static let runningAfter = "emulation.jangada.dev/running-after"
    package static let succeededAfter = "emulation.jangada.dev/succeeded-after"
    package static let failedAfter = "emulation.jangada.dev/failed-after"

    package enum Step: Sendable, Equatable {
        case nothing
        case wait(Timestamp)
        /// The status as the agent would have it.
        case report(Node)
        case remove
    }

    /// `address` is asked for only where the pod has none yet.
    package static func next(_ pod: Node, nodeAddress: String, now: Timestamp, address: () -> String) -> Step {
        let phase = pod["status"]["phase"].string ?? "Pending"
        let isTerminal = phase == "Succeeded" || phase == "Failed"
        if pod.isBeingDeleted {
            if pod["metadata"]["deletionGracePeriodSeconds"].int == 0 { return .nothing }
            // Whoever holds a finalizer waits for the end of the pod, not for its deletion.
            if !isTerminal, !pod["metadata"]["finalizers"].isEmpty, phase == "Running" { return .report(ended(pod, succeeded: false, exitCode: 137, now)) }
            return .remove
        }
        if isTerminal { return .nothing }
        if phase == "Pending" {
            let scheduled = PodConditions.get(pod, "PodScheduled")?["lastTransitionTime"].string.flatMap { Timestamp(rfc3339: $0) }
            let due = (scheduled ?? pod.creation ?? now) + (delay(pod, runningAfter) ?? .zero)
            if due > now { return .wait(due) }
            return .report(running(pod, nodeAddress, pod["status"]["podIP"].string ?? (isHostNetwork(pod) ? nodeAddress : address()), now))
        }
        let started = pod["status"]["startTime"].string.flatMap { Timestamp(rfc3339: $0) } ?? now
        if let failing = delay(pod, failedAfter) {
            return started + failing > now ? .wait(started + failing) : .report(ended(pod, succeeded: false, exitCode: 1, now))
        }
        let isOfJob = pod["metadata"]["ownerReferences"].list.contains { $0["kind"].string == "Job" && $0["controller"].bool == true }
        guard let ending = delay(pod, succeededAfter) ?? (isOfJob ? .seconds(1) : nil) else { return .nothing }
        return started + ending > now ? .wait(started + ending) : .report(ended(pod, succeeded: true, exitCode: 0, now))
    }

    private static func delay(_ pod: Node, _ annotation: String) -> Duration? {
        pod["metadata"]["annotations"][annotation].string.flatMap(GoDuration.parse).map { .nanoseconds(max(0, $0)) }
    }

    private static func isHostNetwork(_ pod: Node) -> Bool { pod["spec"]["hostNetwork"].bool == true }

    // MARK: - Statuses

    private static func running(_ pod: Node, _ nodeAddress: String, _ podAddress: String, _ now: Timestamp) -> Node {
        let time = Node.string(now.rfc3339)
        var changed = pod
        for type in ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"] {
            PodConditions.set(&changed, type: type, status: "True", now: now)
        }
        var status = changed["status"]
        status["phase"] = "Running"
        status["observedGeneration"] = pod["metadata"]["generation"]
        if status["startTime"].isNull { status["startTime"] = time }
        if !nodeAddress.isEmpty {
            status["hostIP"] = .string(nodeAddress)
            status["hostIPs"] = [["ip": .string(nodeAddress)]]
        }
        status["podIP"] = .string(podAddress)
        status["podIPs"] = [["ip": .string(podAddress)]]
        let up: Node = ["running": ["startedAt": time]]
        let inits = pod["spec"]["initContainers"].list.map { container in
            container["restartPolicy"].string == "Always" ? containerStatus(container, up, isUp: true) : containerStatus(container, terminated(0, time, time), isUp: false)
        }
        if !inits.isEmpty { status["initContainerStatuses"] = .list(inits) }
        status["containerStatuses"] = .list(pod["spec"]["containers"].list.map { containerStatus($0, up, isUp: true) })
        return status
    }

    private static func containerStatus(_ container: Node, _ state: Node, isUp: Bool) -> Node {
        let isOneShot = !isUp
        return [
            "name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0, "state": state,
            "ready": true, "started": .bool(!isOneShot), "lastState": [:],
        ]
    }

    private static func terminated(_ code: Int64, _ started: Node, _ finished: Node) -> Node {
        ["terminated": ["exitCode": .int(code), "reason": code == 0 ? "Completed" : "Error", "startedAt": started, "finishedAt": finished]]
    }

    private static func ended(_ pod: Node, succeeded: Bool, exitCode: Int64, _ now: Timestamp) -> Node {
        var changed = pod
        let reason = succeeded ? "PodCompleted" : ""
        for type in ["Ready", "ContainersReady"] { PodConditions.set(&changed, type: type, status: "False", reason: reason, now: now) }
        var status = changed["status"]
        status["phase"] = succeeded ? "Succeeded" : "Failed"
        for list in ["initContainerStatuses", "containerStatuses"] {
            let ended = status[list].list.map { entry -> Node in
                guard let started = entry["state"]["running"]["startedAt"].string else { return entry }
                var entry = entry
                entry["state"] = terminated(exitCode, .string(started), .string(now.rfc3339))
                entry["ready"] = false
                entry["started"] = false
                return entry
            }
            if !ended.isEmpty { status[list] = .list(ended) }
        }
        return status
    }
}

import Core
import Machinery
import Tree

extension KindCells {
    static let corePods: [String: Row] = ["/Pod": pod, "/PodTemplate": podTemplate]

    @Sendable static func pod(_ pod: Node, _ now: Timestamp) -> [Node] {
        let summary = PodSummary(pod)
        var restarts = "\(summary.restarts)"
        if summary.restarts != 0, let last = summary.lastRestart { restarts += " (\(HumanDuration.text(now - last)) ago)" }
        return [
            Cell.name(pod), .string("\(summary.ready)/\(summary.total)"), .string(summary.reason), .string(restarts), Cell.age(of: pod, now: now),
            text(pod["status"]["podIPs"][0]["ip"], or: "<none>"), text(pod["spec"]["nodeName"], or: "<none>"),
            text(pod["status"]["nominatedNodeName"], or: "<none>"), readinessGates(pod),
        ]
    }

    private static func readinessGates(_ pod: Node) -> Node {
        let gates = pod["spec"]["readinessGates"].list
        if gates.isEmpty { return "<none>" }
        let met = gates.count { status(pod["status"]["conditions"], $0["conditionType"].string ?? "") == "True" }
        return .string("\(met)/\(gates.count)")
    }

    @Sendable static func podTemplate(_ object: Node, _ now: Timestamp) -> [Node] {
        [Cell.name(object)] + containers(object["template"]["spec"]) + [Cell.labels(object["template"]["metadata"]["labels"])]
    }
}

/// A pod in the words of `kubectl get pods`: one reason for all that goes on in its containers.
struct PodSummary {
    private(set) var reason: String
    private(set) var ready = 0
    private(set) var total: Int
    private(set) var restarts: Int64 = 0
    private(set) var lastRestart: Timestamp?
    private var sidecarRestarts: Int64 = 0
    private var lastSidecarRestart: Timestamp?

    init(_ pod: Node) {
        let status = pod["status"]
        let phase = status["phase"].string ?? ""
        let sidecars = Set(pod["spec"]["initContainers"].list.filter { $0["restartPolicy"].string == "Always" }.map { $0["name"].string ?? "" })
        total = pod["spec"]["containers"].list.count + sidecars.count
        reason = phase
        if let said = status["reason"].string, !said.isEmpty { reason = said }
        let conditions = status["conditions"].list
        if conditions.contains(where: { $0["type"].string == "PodScheduled" && $0["reason"].string == "SchedulingGated" }) { reason = "SchedulingGated" }
        let initializing = readInit(status["initContainerStatuses"].list, sidecars, of: pod["spec"]["initContainers"].list.count)
        if !initializing || PodConditions.isTrue(pod, "Initialized") {
            readMain(status["containerStatuses"].list, isReady: PodConditions.isTrue(pod, "Ready"))
        }
        guard pod.isBeingDeleted else { return }
        if status["reason"].string == "NodeLost" {
            reason = "Unknown"
        } else if phase != "Succeeded", phase != "Failed" {
            reason = "Terminating"
        }
    }

    private static func finished(_ container: Node) -> Timestamp? {
        container["lastState"]["terminated"]["finishedAt"].string.flatMap(Timestamp.init(rfc3339:))
    }

    private static func later(_ a: Timestamp?, _ b: Timestamp?) -> Timestamp? {
        guard let a, let b else { return a ?? b }
        return max(a, b)
    }

    /// Why a container ended, for want of a reason by its signal or exit code.
    private static func cause(_ terminated: Node) -> String {
        if let reason = terminated["reason"].string, !reason.isEmpty { return reason }
        if let signal = terminated["signal"].int, signal != 0 { return "Signal:\(signal)" }
        return "ExitCode:\(terminated["exitCode"].int ?? 0)"
    }

    /// True when initialization is not over.
    private mutating func readInit(_ statuses: [Node], _ sidecars: Set<String>, of count: Int) -> Bool {
        for (index, container) in statuses.enumerated() {
            let isSidecar = sidecars.contains(container["name"].string ?? "")
            let terminated = container["state"]["terminated"]
            let times = container["restartCount"].int ?? 0
            restarts += times
            lastRestart = PodSummary.later(lastRestart, PodSummary.finished(container))
            if isSidecar {
                sidecarRestarts += times
                lastSidecarRestart = PodSummary.later(lastSidecarRestart, PodSummary.finished(container))
            }
            if !terminated.isNull, (terminated["exitCode"].int ?? 0) == 0 { continue }
            if isSidecar, container["started"].bool == true {
                if container["ready"].bool == true { ready += 1 }
                continue
            }
            let waiting = container["state"]["waiting"]["reason"].string ?? ""
            if !terminated.isNull {
                reason = "Init:" + PodSummary.cause(terminated)
            } else if !waiting.isEmpty, waiting != "PodInitializing" {
                reason = "Init:" + waiting
            } else {
                reason = "Init:\(index)/\(count)"
            }
            return true
        }
        return false
    }

    private mutating func readMain(_ statuses: [Node], isReady: Bool) {
        restarts = sidecarRestarts
        lastRestart = lastSidecarRestart
        var hasRunning = false
        var errorReason = ""
        for container in statuses.reversed() {
            restarts += container["restartCount"].int ?? 0
            lastRestart = PodSummary.later(lastRestart, PodSummary.finished(container))
            let state = container["state"]
            if let waiting = state["waiting"]["reason"].string, !waiting.isEmpty {
                reason = waiting
            } else if !state["terminated"].isNull {
                reason = PodSummary.cause(state["terminated"])
                if (state["terminated"]["exitCode"].int ?? 0) != 0 { errorReason = reason }
            } else if container["ready"].bool == true, !state["running"].isNull {
                hasRunning = true
                ready += 1
            }
        }
        guard reason == "Completed" else { return }
        if hasRunning, isReady {
            reason = "Running"
        } else if !errorReason.isEmpty {
            reason = errorReason
        } else if hasRunning {
            reason = "NotReady"
        }
    }
}

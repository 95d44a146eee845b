import Tree

/// The phase that a pod's container statuses add up to.
enum PodPhase {
    private struct Count {
        var pendingInitial = 0
        var pendingSidecars = 0
        var failedForGood = 0
        var unknown = 0
        var running = 0
        var waiting = 0
        var stopped = 0
        var stoppedForGood = 0
        var succeeded = 0
    }

    /// `isEnding`: its containers will not be started again, whatever the policy says.
    static func compute(_ pod: PodView, initial: [Node], regular: [Node], isEnding: Bool, hasBegun: Bool) -> String {
        var count = Count()
        for container in pod.initContainers {
            let status = initial.first { $0["name"] == container["name"] }
            PodView.isSidecar(container) ? addSidecar(status, &count) : addInitial(container, status, pod, &count)
        }
        for container in pod.containers { addRegular(container, regular.first { $0["name"] == container["name"] }, pod, &count) }
        if count.failedForGood > 0 { return "Failed" }
        if count.pendingInitial > 0 || (count.pendingSidecars > 0 && !hasBegun) || count.waiting > 0 { return "Pending" }
        if count.running > 0 && count.unknown == 0 { return "Running" }
        guard count.running == 0, count.stopped > 0, count.unknown == 0 else { return "Pending" }
        if !isEnding, count.stopped != count.stoppedForGood { return "Running" }
        return count.stopped == count.succeeded ? "Succeeded" : "Failed"
    }

    private static func addInitial(_ container: Node, _ status: Node?, _ pod: PodView, _ count: inout Count) {
        guard let status else { return count.pendingInitial += 1 }
        let state = status["state"]
        let ended = state.has("terminated") ? state["terminated"] : state.has("waiting") ? status["lastState"]["terminated"] : .null
        guard !ended.isNull else { return count.pendingInitial += 1 }
        let code = Int32(clamping: ended["exitCode"].int ?? 0)
        if code == 0 {
            if state.has("waiting") { count.pendingInitial += 1 }
        } else if RestartPolicy.restarts(container, role: .initial, pod: pod, exitCode: code) {
            count.pendingInitial += 1
        } else {
            count.failedForGood += 1
        }
    }

    private static func addSidecar(_ status: Node?, _ count: inout Count) {
        guard let status else { return count.unknown += 1 }
        if status["state"].has("running") {
            if status["started"].bool != true { count.pendingSidecars += 1 }
            count.running += 1
        } else if status["state"].has("waiting"), !status["lastState"].has("terminated") {
            count.pendingSidecars += 1
            count.waiting += 1
        }
    }

    private static func addRegular(_ container: Node, _ status: Node?, _ pod: PodView, _ count: inout Count) {
        guard let status else { return count.unknown += 1 }
        if status["state"].has("running") { return count.running += 1 }
        let ended = status["state"].has("terminated") ? status["state"]["terminated"] : status["lastState"]["terminated"]
        guard !ended.isNull else { return count.waiting += 1 }
        count.stopped += 1
        let code = Int32(clamping: ended["exitCode"].int ?? 0)
        if !RestartPolicy.restarts(container, role: .regular, pod: pod, exitCode: code) { count.stoppedForGood += 1 }
        if code == 0, status["state"].has("terminated") { count.succeeded += 1 }
    }
}

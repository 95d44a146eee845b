import Core
import Machinery
import Tree

extension KindCells {
    static let apps: [String: Row] = [
        "apps/Deployment": deployment, "apps/ReplicaSet": replicaSet, "apps/StatefulSet": statefulSet, "apps/DaemonSet": daemonSet,
        "apps/ControllerRevision": controllerRevision,
    ]
    static let batch: [String: Row] = ["batch/Job": job, "batch/CronJob": cronJob]
    static let autoscaling: [String: Row] = ["autoscaling/HorizontalPodAutoscaler": autoscaler, "policy/PodDisruptionBudget": disruptionBudget, "autoscaling/Scale": scale]

    @Sendable private static func scale(_ object: Node, _ now: Timestamp) -> [Node] {
        [Cell.name(object), count(object["spec"]["replicas"]), count(object["status"]["replicas"]), Cell.age(of: object, now: now)]
    }

    @Sendable private static func deployment(_ object: Node, _ now: Timestamp) -> [Node] {
        let (spec, status) = (object["spec"], object["status"])
        let own: [Node] = [
            Cell.name(object), .string("\(status["readyReplicas"].int ?? 0)/\(spec["replicas"].int ?? 0)"), count(status["updatedReplicas"]),
            count(status["availableReplicas"]), Cell.age(of: object, now: now),
        ]
        return own + containers(spec["template"]["spec"]) + [.string(LabelSelector(object: spec["selector"]).description)]
    }

    @Sendable private static func replicaSet(_ object: Node, _ now: Timestamp) -> [Node] {
        let (spec, status) = (object["spec"], object["status"])
        let own = [Cell.name(object), count(spec["replicas"]), count(status["replicas"]), count(status["readyReplicas"]), Cell.age(of: object, now: now)]
        return own + containers(spec["template"]["spec"]) + [Cell.selector(spec["selector"])]
    }

    @Sendable private static func statefulSet(_ object: Node, _ now: Timestamp) -> [Node] {
        let ready = "\(object["status"]["readyReplicas"].int ?? 0)/\(object["spec"]["replicas"].int ?? 0)"
        return [Cell.name(object), .string(ready), Cell.age(of: object, now: now)] + containers(object["spec"]["template"]["spec"])
    }

    @Sendable private static func daemonSet(_ object: Node, _ now: Timestamp) -> [Node] {
        let (spec, status) = (object["spec"], object["status"])
        let numbers = ["desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable"].map { count(status[$0]) }
        let template = spec["template"]["spec"]
        return [Cell.name(object)] + numbers + [Cell.labels(template["nodeSelector"]), Cell.age(of: object, now: now)] + containers(template)
            + [Cell.selector(spec["selector"])]
    }

    @Sendable private static func controllerRevision(_ object: Node, _ now: Timestamp) -> [Node] {
        var controller = "<none>"
        if let owner = object.controllerOwner {
            let group = owner.apiVersion.contains("/") ? "." + (owner.apiVersion.split(separator: "/").first ?? "") : ""
            controller = (owner.kind + group).lowercased() + "/" + owner.name
        }
        return [Cell.name(object), .string(controller), count(object["revision"]), Cell.age(of: object, now: now)]
    }

    // MARK: Jobs

    @Sendable private static func job(_ object: Node, _ now: Timestamp) -> [Node] {
        let (spec, status) = (object["spec"], object["status"])
        let succeeded = status["succeeded"].int ?? 0
        let parallelism = spec["parallelism"].int ?? 0
        let completions: String
        if let wanted = spec["completions"].int {
            completions = "\(succeeded)/\(wanted)"
        } else {
            completions = parallelism > 1 ? "\(succeeded)/1 of \(parallelism)" : "\(succeeded)/1"
        }
        var duration = ""
        if let start = status["startTime"].string.flatMap(Timestamp.init(rfc3339:)) {
            duration = HumanDuration.text((status["completionTime"].string.flatMap(Timestamp.init(rfc3339:)) ?? now) - start)
        }
        let own: [Node] = [Cell.name(object), .string(jobState(object)), .string(completions), .string(duration), Cell.age(of: object, now: now)]
        return own + containers(spec["template"]["spec"]) + [Cell.selector(spec["selector"])]
    }

    private static func jobState(_ object: Node) -> String {
        func has(_ type: String) -> Bool { KindCells.status(object["status"]["conditions"], type) == "True" }
        if has("Complete") { return "Complete" }
        if has("Failed") { return "Failed" }
        if object.isBeingDeleted { return "Terminating" }
        return ["Suspended", "FailureTarget", "SuccessCriteriaMet"].first(where: has) ?? "Running"
    }

    @Sendable private static func cronJob(_ object: Node, _ now: Timestamp) -> [Node] {
        let (spec, status) = (object["spec"], object["status"])
        let last = status["lastScheduleTime"]
        let own: [Node] = [
            Cell.name(object), text(spec["schedule"]), .string(spec["timeZone"].string ?? "<none>"), flag(spec["suspend"]),
            .int(Int64(status["active"].list.count)), last.isNull ? "<none>" : Cell.age(last, now: now), Cell.age(of: object, now: now),
        ]
        let jobSpec = spec["jobTemplate"]["spec"]
        return own + containers(jobSpec["template"]["spec"]) + [Cell.selector(jobSpec["selector"])]
    }

    // MARK: Autoscaling and budgets

    @Sendable private static func disruptionBudget(_ object: Node, _ now: Timestamp) -> [Node] {
        [
            Cell.name(object), either(object["spec"]["minAvailable"], none: "N/A"), either(object["spec"]["maxUnavailable"], none: "N/A"),
            count(object["status"]["disruptionsAllowed"]), Cell.age(of: object, now: now),
        ]
    }

    @Sendable private static func autoscaler(_ object: Node, _ now: Timestamp) -> [Node] {
        let spec = object["spec"]
        let target = spec["scaleTargetRef"]
        return [
            Cell.name(object), .string("\(target["kind"].string ?? "")/\(target["name"].string ?? "")"), metrics(object),
            either(spec["minReplicas"], none: "<unset>"), count(spec["maxReplicas"]), count(object["status"]["currentReplicas"]), Cell.age(of: object, now: now),
        ]
    }

    private static func metrics(_ object: Node) -> Node {
        let spec = object["spec"]
        // autoscaling/v1 knows processor use alone.
        if let target = spec["targetCPUUtilizationPercentage"].int {
            let current = object["status"]["currentCPUUtilizationPercentage"].int.map { "\($0)%" } ?? "<unknown>"
            return .string("cpu: \(current)/\(target)%")
        }
        let statuses = object["status"]["currentMetrics"]
        let shown = spec["metrics"].list.enumerated().map { metric($0.element, statuses[$0.offset]) }
        return some(shown, of: shown.count, limit: 2, none: "<none>", separator: ", ")
    }

    private static func metric(_ metric: Node, _ status: Node) -> String {
        let type = metric["type"].string ?? ""
        let key = type.prefix(1).lowercased() + type.dropFirst()
        let (target, current) = (metric[key]["target"], status[key]["current"])
        func value(_ key: String) -> String { PodRequests.quantity(current[key])?.description ?? "<unknown>" }
        switch type {
        case "External", "Object":
            if !target["averageValue"].isNull { return "\(value("averageValue"))/\(amount(target["averageValue"])) (avg)" }
            return "\(value("value"))/\(amount(target["value"]))"
        case "Pods": return "\(value("averageValue"))/\(amount(target["averageValue"]))"
        case "Resource", "ContainerResource":
            let name = metric[key]["name"].string ?? ""
            if !target["averageValue"].isNull { return "\(name): \(value("averageValue"))/\(amount(target["averageValue"]))" }
            let have = current["averageUtilization"].int.map { "\($0)%" } ?? "<unknown>"
            let want = target["averageUtilization"].int.map { "\($0)%" } ?? "<auto>"
            return "\(name): \(have)/\(want)"
        default: return "<unknown type>"
        }
    }
}

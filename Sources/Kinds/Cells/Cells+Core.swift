import Core
import Machinery
import Tree

extension KindCells {
    static let core: [String: Row] = [
        "/ComponentStatus": componentStatus, "/ConfigMap": configMap, "/Secret": secret, "/ServiceAccount": nameAndAge, "/Namespace": namespace,
        "/Node": node, "/Event": event, "events.k8s.io/Event": event, "/ReplicationController": replicationController, "/ResourceQuota": resourceQuota,
        "coordination.k8s.io/Lease": lease, "node.k8s.io/RuntimeClass": runtimeClass,
    ]

    @Sendable private static func componentStatus(_ object: Node, _ now: Timestamp) -> [Node] {
        guard let healthy = object["conditions"].list.first(where: { $0["type"].string == "Healthy" }) else { return [Cell.name(object), "Unknown", "", ""] }
        let status: Node = healthy["status"].string == "True" ? "Healthy" : "Unhealthy"
        return [Cell.name(object), status, text(healthy["message"]), text(healthy["error"])]
    }

    @Sendable private static func configMap(_ object: Node, _ now: Timestamp) -> [Node] {
        let count = object["data"].fields.count + object["binaryData"].fields.count
        return [Cell.name(object), .int(Int64(count)), Cell.age(of: object, now: now)]
    }

    @Sendable private static func secret(_ object: Node, _ now: Timestamp) -> [Node] {
        [Cell.name(object), text(object["type"]), .int(Int64(object["data"].fields.count)), Cell.age(of: object, now: now)]
    }

    @Sendable private static func namespace(_ object: Node, _ now: Timestamp) -> [Node] {
        [Cell.name(object), text(object["status"]["phase"]), Cell.age(of: object, now: now)]
    }

    @Sendable private static func lease(_ object: Node, _ now: Timestamp) -> [Node] {
        [Cell.name(object), text(object["spec"]["holderIdentity"]), Cell.age(of: object, now: now)]
    }

    @Sendable private static func runtimeClass(_ object: Node, _ now: Timestamp) -> [Node] {
        [Cell.name(object), text(object["handler"]), Cell.age(of: object, now: now)]
    }

    @Sendable private static func replicationController(_ object: Node, _ now: Timestamp) -> [Node] {
        let own = [
            Cell.name(object), count(object["spec"]["replicas"]), count(object["status"]["replicas"]), count(object["status"]["readyReplicas"]),
            Cell.age(of: object, now: now),
        ]
        return own + containers(object["spec"]["template"]["spec"]) + [Cell.labels(object["spec"]["selector"])]
    }

    @Sendable private static func resourceQuota(_ object: Node, _ now: Timestamp) -> [Node] {
        var requests: [String] = []
        var limits: [String] = []
        let used = object["status"]["used"]
        for (name, hard) in object["status"]["hard"].fields.sorted(by: { $0.key < $1.key }) {
            let shown = "\(name): \(amount(used[name]))/\(amount(hard))"
            if name.hasPrefix("limits.") { limits.append(shown) } else { requests.append(shown) }
        }
        return [Cell.name(object), .string(requests.joined(separator: ", ")), .string(limits.joined(separator: ", ")), Cell.age(of: object, now: now)]
    }

    /// A quantity as text; `0` where there is none.
    static func amount(_ value: Node) -> String { PodRequests.quantity(value)?.description ?? "0" }

    // MARK: Nodes

    @Sendable private static func node(_ object: Node, _ now: Timestamp) -> [Node] {
        var state = status(object["status"]["conditions"], "Ready").map { $0 == "True" ? "Ready" : "NotReady" } ?? "Unknown"
        if object["spec"]["unschedulable"].bool == true { state += ",SchedulingDisabled" }
        let info = object["status"]["nodeInfo"]
        var kernel = text(info["kernelVersion"], or: "<unknown>").string ?? ""
        if let architecture = info["architecture"].string, !architecture.isEmpty { kernel += " (\(architecture))" }
        func address(_ type: String) -> Node {
            let found = object["status"]["addresses"].list.first { $0["type"].string == type }
            return found.map { text($0["address"]) } ?? "<none>"
        }
        return [
            Cell.name(object), .string(state), Cell.joined(roles(object.labels)), Cell.age(of: object, now: now), text(info["kubeletVersion"]),
            address("InternalIP"), address("ExternalIP"), text(info["osImage"], or: "<unknown>"), .string(kernel),
            text(info["containerRuntimeVersion"], or: "<unknown>"),
        ]
    }

    private static func roles(_ labels: [String: String]) -> [String] {
        let prefix = "node-role.kubernetes.io/"
        var roles: Set<String> = []
        for (key, value) in labels {
            if key.hasPrefix(prefix) {
                if key.utf8.count > prefix.utf8.count { roles.insert(String(key.dropFirst(prefix.count))) }
            } else if key == "kubernetes.io/role", !value.isEmpty {
                roles.insert(value)
            }
        }
        return roles.sorted()
    }

    // MARK: Events

    /// Both groups' events: the newer one keeps what the older had under `deprecated…`.
    @Sendable private static func event(_ object: Node, _ now: Timestamp) -> [Node] {
        func pick(_ old: String, _ new: String) -> Node { object.has(old) ? object[old] : object[new] }
        let firstTime = pick("firstTimestamp", "deprecatedFirstTimestamp")
        let lastTime = pick("lastTimestamp", "deprecatedLastTimestamp")
        let first = Cell.age(firstTime.isNull ? object["eventTime"] : firstTime, now: now)
        var last = lastTime.isNull ? first : Cell.age(lastTime, now: now)
        var times = pick("count", "deprecatedCount").int ?? 0
        if !object["series"].isNull {
            last = Cell.age(object["series"]["lastObservedTime"], now: now)
            times = object["series"]["count"].int ?? 0
        } else if times == 0 {
            times = 1
        }
        let regarding = pick("involvedObject", "regarding")
        let kind = (regarding["kind"].string ?? "").lowercased()
        let name = regarding["name"].string ?? ""
        let source = pick("source", "deprecatedSource")
        func said(_ texts: Node...) -> String { texts.lazy.compactMap(\.string).first { !$0.isEmpty } ?? "" }
        let component = said(source["component"], object["reportingComponent"], object["reportingController"])
        let instance = said(source["host"], object["reportingInstance"])
        let message = pick("message", "note").string ?? ""
        return [
            last, text(object["type"]), text(object["reason"]), .string(name.isEmpty ? kind : "\(kind)/\(name)"), text(regarding["fieldPath"]),
            .string(instance.isEmpty ? component : "\(component), \(instance)"), .string(trimmed(message)), first, .int(times), Cell.name(object),
        ]
    }

    private static func trimmed(_ text: String) -> String {
        guard let first = text.firstIndex(where: { !$0.isWhitespace }), let last = text.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(text[first...last])
    }
}

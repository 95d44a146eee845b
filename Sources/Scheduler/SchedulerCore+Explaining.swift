import Client
import Core
import Kinds
import Machinery
import Tree

/// Why a pod is where it is, or nowhere, as of now: what each filter says of each node, what the nodes that are left score, whether
/// preemption would help, and what it waits for.
extension SchedulerCore {
    private static let listed = 10

    func explain(_ pod: PodInfo, now: Timestamp) -> Node {
        var out: Node = [
            "pod": .string("\(pod.key)"), "schedulerName": .string(pod.schedulerName), "priority": .int(pod.priority),
            "node": pod.nodeName.isEmpty ? .null : .string(pod.nodeName),
        ]
        if PodView(pod.node).isTerminal {
            out["summary"] = .string("the pod has ended" + (pod.nodeName.isEmpty ? "" : " on \(pod.nodeName)"))
            return out
        }
        guard profiles[pod.schedulerName] != nil else {
            out["summary"] = .string("no scheduler here is named \(pod.schedulerName)" + (pod.nodeName.isEmpty ? "" : "; the pod is on \(pod.nodeName)"))
            return out
        }
        if pod.nodeName.isEmpty { addQueue(pod, &out) }
        // As the cluster would be without it: what is assumed of it already does not stand in its own way.
        var alone = cluster
        if let place = cluster.places[pod.uid], let node = cluster[place] {
            let without = node.supposed()
            without.remove(uid: pod.uid)
            alone = cluster.replacing(without)
        }
        addVerdicts(unbound(pod), alone, now: now, &out)
        out["summary"] = .string(summary(pod, out))
        return out
    }

    /// As it was before it had a node.
    private func unbound(_ pod: PodInfo) -> PodInfo {
        guard !pod.nodeName.isEmpty else { return pod }
        var node = pod.node
        node["spec"].remove("nodeName")
        return PodInfo(node)
    }

    private func addQueue(_ pod: PodInfo, _ out: inout Node) {
        if pod.isGated { out["gates"] = Node(pod.node["spec"]["schedulingGates"].list.compactMap { $0["name"].string }) }
        if !pod.nominatedNode.isEmpty { out["nominatedNode"] = .string(pod.nominatedNode) }
        guard let standing = queue.standing(uid: pod.uid) else { return }
        var entry: Node = ["state": .string(standing.place.rawValue), "attempts": .int(Int64(standing.attempts))]
        if let until = standing.until { entry["retriedAtTheLatest"] = .string(until.rfc3339) }
        if !standing.message.isEmpty { entry["lastMessage"] = .string(standing.message) }
        out["queue"] = entry
    }

    private func addVerdicts(_ pod: PodInfo, _ cluster: SchedulingCluster, now: Timestamp, _ out: inout Node) {
        out["nodes"] = .int(Int64(cluster.nodes.count))
        let volumes = pod.claims.isEmpty ? .none : VolumeState(pod, cluster)
        let devices = DeviceState.make(pod, cluster.devices)
        if let refusal = volumes.refusal ?? devices?.refusal {
            let filter = volumes.refusal == nil ? Filter.devices : .volumes
            out["filters"] = [["plugin": .string(filter.rawValue), "nodes": .int(Int64(cluster.nodes.count)), "reasons": [["reason": .string(refusal), "nodes": .int(Int64(cluster.nodes.count))]]]]
            out["feasible"] = 0
            out["message"] = .string("0/\(cluster.nodes.count) nodes are available: \(refusal).")
            out["schedulableWhen"] = [["plugin": .string(filter.rawValue), "event": .string(QueueingHint.remedy(filter))]]
            return
        }
        let profile = profile(pod)
        let filters = Filters(pod, cluster, volumes: volumes, profile, devices: devices)
        var feasible: [NodeInfo] = []
        var first: [(node: String, refusal: Refusal)] = []
        var all: [(node: String, refusal: Refusal)] = []
        for node in cluster.nodes {
            var refusals = filters.refusals(node)
            if refusals.isEmpty, let refusal = check(pod, node, filters) { refusals = [refusal] }
            if let refusal = refusals.first { first.append((node.name, refusal)) } else { feasible.append(node) }
            for refusal in refusals { all.append((node.name, refusal)) }
        }
        out["feasible"] = .int(Int64(feasible.count))
        out["filters"] = .list(SchedulerCore.verdicts(all))
        if feasible.isEmpty {
            let attempt = Attempt(pod: pod, profile: profile, volumes: volumes, devices: devices, feasible: [], refusals: first)
            out["message"] = .string(message(attempt))
            out["preemption"] = profile.preempts ? describe(preemption(attempt)) : "switched off"
            out["schedulableWhen"] = .list(Filter.asked.filter { filter in all.contains { $0.refusal.filter == filter } }.map {
                ["plugin": .string($0.rawValue), "event": .string(QueueingHint.remedy($0))]
            })
        } else {
            out["candidates"] = .list(ranking(pod, cluster, profile, feasible, current: out["node"].string))
        }
        if !profile.extenders.isEmpty { out["extenders"] = Node(profile.extenders.filter { $0.isInterested(in: pod) }.map(\.url)) }
    }

    /// Per plugin how many nodes it refuses, for which reasons, and some of their names.
    private static func verdicts(_ refusals: [(node: String, refusal: Refusal)]) -> [Node] {
        Filter.allCases.compactMap { filter in
            let own = refusals.filter { $0.refusal.filter == filter }
            guard !own.isEmpty else { return nil }
            var reasons: [String: [String]] = [:]
            for (node, refusal) in own { for reason in refusal.reasons { reasons[reason, default: []].append(node) } }
            return [
                "plugin": .string(filter.rawValue), "nodes": .int(Int64(own.count)),
                "reasons": .list(reasons.sorted { $0.key < $1.key }.map { reason, nodes in
                    ["reason": .string(reason), "nodes": .int(Int64(nodes.count)), "examples": Node(Array(nodes.prefix(3)))]
                }),
            ]
        }
    }

    /// The best nodes with what each plugin gave them, and the one where the pod is.
    private func ranking(_ pod: PodInfo, _ cluster: SchedulingCluster, _ profile: Profile, _ feasible: [NodeInfo], current: String?) -> [Node] {
        let columns = Scores(pod, cluster, profile, devices: DeviceState.make(pod, cluster.devices)).columns(feasible)
        let totals = Scores.totals(columns, count: feasible.count)
        let order = feasible.indices.sorted { totals[$0] != totals[$1] ? totals[$0] > totals[$1] : feasible[$0].name < feasible[$1].name }
        return order.enumerated().filter { $0.offset < SchedulerCore.listed || feasible[$0.element].name == current }.map { place, index in
            var scores = Node.emptyMap
            for column in columns { scores[column.score.rawValue] = .int(column.weight * column.values[index]) }
            return ["rank": .int(Int64(place + 1)), "node": .string(feasible[index].name), "total": .int(totals[index]), "scores": scores]
        }
    }

    private func describe(_ found: Result<[Preemption], PreemptionSearch.Fruitless>) -> Node {
        switch found {
        case .failure(let why): return .string(why.message)
        case .success(let candidates):
            guard let best = PreemptionSearch.best(candidates) else { return "no candidates" }
            let victims = best.victims.map { Node.string("\($0.key) (priority \($0.priority))") }
            return ["node": .string(best.node), "victims": .list(victims), "candidates": .int(Int64(candidates.count)), "budgetsBroken": .int(Int64(best.violations))]
        }
    }

    private func summary(_ pod: PodInfo, _ out: Node) -> String {
        let (total, feasible) = (out["nodes"].int ?? 0, out["feasible"].int ?? 0)
        if !pod.nodeName.isEmpty {
            let rank = out["candidates"].list.first { $0["node"].string == pod.nodeName }?["rank"].int
            let now = rank.map { "it would be number \($0) of \(feasible) candidates today" } ?? "it would not be put there today"
            return "the pod is on \(pod.nodeName); \(now)"
        }
        if pod.isGated { return "the pod waits for its scheduling gates: \(out["gates"].stringList.joined(separator: ", "))" }
        if cluster.devices.parked[pod.uid] != nil { return "the pod waits for its resource claims to be made" }
        if pod.isTerminating { return "the pod is being deleted" }
        if feasible > 0 { return "the pod has no node yet; \(feasible) of \(total) nodes would have it" }
        return total == 0 ? "no nodes available to schedule pods" : out["message"].string ?? "no node will have the pod"
    }
}

package import Client
package import Core
import Kinds
import Machinery
package import Schema
package import Tree

/// The scheduler without input and output: fed with the changes of the cluster, it says for one pod after the other where it
/// goes. What it decides it believes at once, so that the next pod finds the room taken.
package struct SchedulerCore: Sendable {
    /// What is to be done about one pod.
    package enum Decision: Sendable {
        case bind(Binding)
        case refuse(Refused)
    }

    package struct Binding: Sendable {
        package let pod: PodInfo
        package let node: String
        let volumes: VolumeState.Choice
    }

    package struct Refused: Sendable {
        package let pod: PodInfo
        package let message: String
        /// Pods that are to go for it, and the node where.
        package var preemption: Preemption?
        /// A node that it was promised but cannot have any more.
        package var dropsNomination = false
    }

    private(set) var cluster = SchedulingCluster()
    private(set) var queue: SchedulingQueue
    private let profiles: [String: Profile]
    private var rotation = 0

    package init(_ configuration: SchedulerConfiguration = SchedulerConfiguration()) {
        profiles = Dictionary(configuration.profiles.map { ($0.name, $0) }) { first, _ in first }
        queue = SchedulingQueue(initialBackoff: configuration.initialBackoff, longestBackoff: configuration.longestBackoff)
    }

    private func profile(_ pod: PodInfo) -> Profile { profiles[pod.schedulerName] ?? .standard }

    /// What the scheduler reads.
    package static let resources: [GroupVersionResource] = [
        .nodes, .pods, .namespaces, .persistentVolumeClaims, .persistentVolumes, .storageClasses, .podDisruptionBudgets, .csiNodes,
    ]

    // MARK: - Changes

    package mutating func observe(_ resource: GroupVersionResource, _ key: ObjectKey, old: Node?, new: Node?, now: Timestamp) {
        switch resource {
        case .nodes: observeNode(key.name, old, new, now)
        case .pods: observePod(old, new, now)
        case .namespaces: cluster.namespaceLabels[key.name] = new?.labels
        case .persistentVolumeClaims:
            cluster.claims[key] = new
            queue.changed(.volume, now: now)
        case .persistentVolumes:
            cluster.volumes[key.name] = new
            queue.changed(.volume, now: now)
        case .storageClasses:
            cluster.storageClasses[key.name] = new
            queue.changed(.volume, now: now)
        case .podDisruptionBudgets: cluster.budgets[key] = new
        case .csiNodes:
            let limits = (new?["spec"]["drivers"].list ?? []).compactMap { driver in
                driver["allocatable"]["count"].int.map { (driver["name"].string ?? "", $0) }
            }
            cluster.attachLimits[key.name] = limits.isEmpty ? nil : Dictionary(limits) { first, _ in first }
            queue.changed(.volume, now: now)
        default: break
        }
    }

    private mutating func observeNode(_ name: String, _ old: Node?, _ new: Node?, _ now: Timestamp) {
        cluster.setNode(name, new)
        guard let new else { return }
        // Heartbeats change nothing that a pod could wait for.
        func facet(_ node: Node?) -> [Node] {
            guard let node else { return [] }
            return [node["metadata"]["labels"], node["spec"]["taints"], node["spec"]["unschedulable"], node["status"]["allocatable"]]
        }
        if facet(old) != facet(new) { queue.changed(.node, now: now) }
    }

    private mutating func observePod(_ old: Node?, _ new: Node?, _ now: Timestamp) {
        let uid = new?.uid ?? old?.uid ?? ""
        if let old, let new, old.uid != new.uid { observePod(old, nil, now) }
        guard let new, !PodView(new).isTerminal else {
            queue.remove(uid: uid)
            cluster.nominate(PodInfo(new ?? old ?? .emptyMap), on: nil)
            if cluster.remove(uid: uid) { queue.changed(.podGone, now: now) }
            return
        }
        let pod = PodInfo(new)
        if !pod.nodeName.isEmpty {
            let isNew = cluster.places[uid] != pod.nodeName
            let hasChanged = old?["metadata"]["labels"] != new["metadata"]["labels"] || old?["spec"] != new["spec"] || old?.isBeingDeleted != new.isBeingDeleted
            if isNew || hasChanged { cluster.place(pod, on: pod.nodeName) }
            queue.remove(uid: uid)
            if isNew || old?["metadata"]["labels"] != new["metadata"]["labels"] { queue.changed(.podPlaced, now: now) }
            return
        }
        // Assumed, its binding is under way: the watch is behind.
        if cluster.places[uid] != nil { return }
        let isOurs = profiles[pod.schedulerName] != nil
        guard isOurs, !new.isBeingDeleted, !pod.isGated else {
            queue.remove(uid: uid)
            return
        }
        if !pod.nominatedNode.isEmpty { cluster.nominate(pod, on: pod.nominatedNode) }
        let isBetter = old.map { $0["spec"] != new["spec"] || $0["metadata"]["labels"] != new["metadata"]["labels"] } ?? false
        queue.upsert(pod, isBetter: isBetter, now: now)
    }

    // MARK: - Deciding

    package var nextTime: Timestamp? { queue.nextTime }

    /// The decision about the next pod; nil when none is due.
    package mutating func next(now: Timestamp) -> Decision? {
        queue.flush(now: now)
        guard let pod = queue.pop(now: now) else { return nil }
        return decide(pod, now)
    }

    private mutating func decide(_ pod: PodInfo, _ now: Timestamp) -> Decision {
        let volumes = pod.claims.isEmpty ? .none : VolumeState(pod, cluster)
        if cluster.names.isEmpty { return refuse(pod, "no nodes available to schedule pods", [], now) }
        let total = cluster.names.count
        if let refusal = volumes.refusal {
            let unhelpful = "preemption: 0/\(total) nodes are available: \(total) Preemption is not helpful for scheduling."
            return refuse(pod, "0/\(total) nodes are available: \(refusal). " + unhelpful, [.volumes], now)
        }
        let profile = profile(pod)
        let filters = Filters(pod, cluster, volumes: volumes, profile)
        let (feasible, refusals) = search(pod, filters)
        if let best = best(pod, feasible) {
            queue.scheduled(uid: pod.uid)
            cluster.place(pod, on: best.name)
            return .bind(Binding(pod: pod, node: best.name, volumes: volumes.choice(best) ?? VolumeState.Choice()))
        }
        let preemption = PreemptionSearch(pod, cluster, volumes, profile, refusals).run()
        var message = "0/\(total) nodes are available: " + SchedulerCore.histogram(refusals.map(\.refusal.reasons)) + "."
        if case .failure(let why) = preemption { message += " preemption: " + why }
        var decision = refuse(pod, message, Set(refusals.map(\.refusal.filter)), now)
        guard case .refuse(var refused) = decision else { return decision }
        switch preemption {
        case .success(let found):
            cluster.nominate(pod, on: found.node)
            refused.preemption = found
        case .failure:
            if !pod.nominatedNode.isEmpty, PreemptionSearch.victimsLeaving(pod, cluster) == false {
                cluster.nominate(pod, on: nil)
                refused.dropsNomination = true
            }
        }
        decision = .refuse(refused)
        return decision
    }

    private mutating func refuse(_ pod: PodInfo, _ message: String, _ filters: Set<Filter>, _ now: Timestamp) -> Decision {
        queue.refused(uid: pod.uid, by: filters, now: now)
        return .refuse(Refused(pod: pod, message: message))
    }

    /// `2 Insufficient cpu, 1 node(s) were unschedulable`, in upstream's order.
    static func histogram(_ reasons: [[String]]) -> String {
        var counts: [String: Int] = [:]
        for reason in reasons.joined() { counts[reason, default: 0] += 1 }
        return counts.map { "\($0.value) \($0.key)" }.sorted().joined(separator: ", ")
    }

    /// How many feasible nodes are enough to choose from: all of a hundred, a falling share of more.
    private static func enough(_ count: Int, _ percentage: Int64) -> Int {
        if count < 100 || percentage >= 100 { return count }
        return max(100, count * (percentage > 0 ? Int(percentage) : max(5, 50 - count / 125)) / 100)
    }

    private mutating func search(_ pod: PodInfo, _ filters: Filters) -> (feasible: [NodeInfo], refusals: [(node: String, refusal: Refusal)]) {
        let names = cluster.names
        var feasible: [NodeInfo] = []
        var refusals: [(node: String, refusal: Refusal)] = []
        if !pod.nominatedNode.isEmpty, let node = cluster[pod.nominatedNode], check(pod, node, filters) == nil { return ([node], []) }
        let wanted = SchedulerCore.enough(names.count, filters.profile.percentageOfNodes)
        for step in names.indices {
            let name = names[(rotation + step) % names.count]
            guard let node = cluster[name] else { continue }
            if let refusal = check(pod, node, filters) {
                refusals.append((name, refusal))
            } else {
                feasible.append(node)
                if feasible.count == wanted {
                    rotation = (rotation + step + 1) % names.count
                    break
                }
            }
        }
        return (feasible, refusals)
    }

    /// With and without those that the node is promised to: either state may come true.
    private func check(_ pod: PodInfo, _ node: NodeInfo, _ filters: Filters) -> Refusal? {
        if let crowded = cluster.node(node.name, withNominatedFor: pod) {
            let crowdedFilters = Filters(pod, cluster.replacing(crowded), volumes: filters.volumes, filters.profile)
            if let refusal = crowdedFilters.refusal(crowded) { return refusal }
        }
        return filters.refusal(node)
    }

    private mutating func best(_ pod: PodInfo, _ feasible: [NodeInfo]) -> NodeInfo? {
        guard feasible.count > 1 else { return feasible.first }
        let totals = Scores(pod, cluster, profile(pod)).totals(feasible)
        guard let top = totals.max() else { return nil }
        // Among equals, whichever comes first from where the last search ended.
        let equals = totals.indices.filter { totals[$0] == top }
        rotation = (rotation + 1) % max(1, cluster.names.count)
        return feasible[equals[rotation % equals.count]]
    }

    // MARK: - Outcomes

    /// The binding did not come about.
    package mutating func unbind(_ pod: PodInfo, now: Timestamp) {
        cluster.remove(uid: pod.uid)
        queue.failed(pod, now: now)
        queue.changed(.podGone, now: now)
    }

    /// The pod is gone or somebody else's: nothing to try again.
    package mutating func forget(_ pod: PodInfo, now: Timestamp) {
        cluster.remove(uid: pod.uid)
        queue.remove(uid: pod.uid)
        queue.changed(.podGone, now: now)
    }
}

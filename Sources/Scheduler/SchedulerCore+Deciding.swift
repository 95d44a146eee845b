package import Core
import Kinds
import Machinery
package import Tree

extension SchedulerCore {
    /// One pod's way through the filters: the nodes that would have it, and why the others would not.
    package struct Attempt {
        package let pod: PodInfo
        let profile: Profile
        let volumes: VolumeState
        let devices: DeviceState?
        private(set) var feasible: [NodeInfo]
        private(set) var refusals: [(node: String, refusal: Refusal)]
        /// What programs outside add to the scores.
        private(set) var outsideScores: [String: Int64] = [:]

        init(
            pod: PodInfo, profile: Profile, volumes: VolumeState, devices: DeviceState?, feasible: [NodeInfo], refusals: [(node: String, refusal: Refusal)]
        ) {
            self.devices = devices
            self.pod = pod
            self.profile = profile
            self.volumes = volumes
            self.feasible = feasible
            self.refusals = refusals
        }

        package var extenders: [Extender] { profile.extenders.filter { $0.isInterested(in: pod) } }
        package var nodes: [Node] { feasible.map(\.node) }

        /// Only these are left, the others with their reasons.
        package mutating func keep(_ names: Set<String>, failed: [String: String], unresolvable: [String: String]) {
            for node in feasible where !names.contains(node.name) {
                let reason = unresolvable[node.name] ?? failed[node.name] ?? "node(s) were refused by an extender"
                refusals.append((node.name, Refusal(.extender, reason, isResolvable: unresolvable[node.name] == nil)))
            }
            feasible = feasible.filter { names.contains($0.name) }
        }

        package mutating func add(_ scores: [String: Int64], weight: Int64) {
            // Theirs go to 10, ours to 100.
            for (name, score) in scores { outsideScores[name, default: 0] += score * weight * 10 }
        }
    }

    mutating func decide(_ pod: PodInfo, _ now: Timestamp) -> Decision {
        let volumes = pod.claims.isEmpty ? .none : VolumeState(pod, cluster)
        if cluster.nodes.isEmpty { return .refuse(refuse(pod, "no nodes available to schedule pods", [], now)) }
        let total = cluster.nodes.count
        let devices = DeviceState.make(pod, cluster.devices)
        if let refusal = volumes.refusal ?? devices?.refusal {
            let unhelpful = "\(SchedulerCore.noDevices), preemption: 0/\(total) nodes are available: \(total) Preemption is not helpful for scheduling."
            return .refuse(refuse(pod, "0/\(total) nodes are available: \(refusal). " + unhelpful, [volumes.refusal == nil ? .devices : .volumes], now))
        }
        let profile = profile(pod)
        let filters = Filters(pod, cluster, volumes: volumes, profile, devices: devices)
        let (feasible, refusals) = search(pod, filters)
        if let failure = devices?.failure {
            var refused = refuse(pod, "running \"DynamicResources\" filter plugin: " + failure, [.devices], now)
            refused.isFailure = true
            return .refuse(refused)
        }
        let attempt = Attempt(pod: pod, profile: profile, volumes: volumes, devices: devices, feasible: feasible, refusals: refusals)
        if !profile.extenders.isEmpty, !feasible.isEmpty, !attempt.extenders.isEmpty { return .consult(attempt) }
        return resume(attempt, now: now)
    }

    /// Decides with what is left.
    package mutating func resume(_ attempt: Attempt, now: Timestamp) -> Decision {
        if let best = best(attempt) {
            queue.scheduled(uid: attempt.pod.uid)
            cluster.place(attempt.pod, on: best.name)
            let devices = attempt.devices?.choice(best) ?? DeviceState.Choice()
            cluster.devices.assume(devices, for: attempt.pod)
            return .bind(
                Binding(
                    pod: attempt.pod, node: best.name, volumes: attempt.volumes.choice(best) ?? VolumeState.Choice(), profile: attempt.profile, devices: devices))
        }
        guard attempt.profile.preempts else { return .refuse(refuse(attempt, nil, now)) }
        let search = preemptionSearch(attempt)
        switch search.candidates() {
        case .failure(let why): return .refuse(refuse(attempt, why.message, now))
        case .success(let candidates):
            if attempt.extenders.contains(where: \.preempts) { return .consultVictims(attempt, candidates) }
            return resume(attempt, preempting: candidates, now: now)
        }
    }

    /// Takes the best of the candidates, if any is left.
    package mutating func resume(_ attempt: Attempt, preempting candidates: [Preemption], now: Timestamp) -> Decision {
        guard let best = PreemptionSearch.best(candidates) else {
            return .refuse(refuse(attempt, "0/\(attempt.refusals.count) nodes are available: no candidate was left by the extenders.", now))
        }
        var refused = refuse(attempt.pod, message(attempt), Set(attempt.refusals.map(\.refusal.filter)), now)
        refused.outdone = cluster.nominated.values.filter { $0.node == best.node && $0.pod.priority < attempt.pod.priority }.map(\.pod)
        for pod in refused.outdone { cluster.nominate(pod, on: nil) }
        cluster.nominate(attempt.pod, on: best.node)
        refused.preemption = best
        return .refuse(refused)
    }

    private func preemptionSearch(_ attempt: Attempt) -> PreemptionSearch {
        PreemptionSearch(attempt.pod, cluster, attempt.volumes, attempt.profile, attempt.refusals, devices: attempt.devices, from: rotation)
    }

    /// What preemption would come to, without anything being done.
    func preemption(_ attempt: Attempt) -> Result<[Preemption], PreemptionSearch.Fruitless> { preemptionSearch(attempt).candidates() }

    func message(_ attempt: Attempt) -> String {
        "0/\(cluster.nodes.count) nodes are available: " + SchedulerCore.histogram(attempt.refusals.map(\.refusal.reasons)) + "."
    }

    private mutating func refuse(_ attempt: Attempt, _ why: String?, _ now: Timestamp) -> Refused {
        let pod = attempt.pod
        let message = message(attempt) + " \(attempt.devices?.deallocatable == nil ? SchedulerCore.noDevices : "deallocation of ResourceClaim completed")" + (why.map { ", preemption: " + $0 } ?? "")
        var refused = refuse(pod, message, Set(attempt.refusals.map(\.refusal.filter)), now)
        refused.deallocates = attempt.devices?.deallocatable
        if !pod.nominatedNode.isEmpty, PreemptionSearch.victimsLeaving(pod, cluster) == false {
            cluster.nominate(pod, on: nil)
            refused.dropsNomination = true
        }
        return refused
    }

    /// Upstream's plugin for claims is asked for help before preemption is, and answers for every pod.
    private static let noDevices = "no new claims to deallocate"

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
        let nodes = cluster.nodes
        var feasible: [NodeInfo] = []
        var refusals: [(node: String, refusal: Refusal)] = []
        if !pod.nominatedNode.isEmpty, let node = cluster[pod.nominatedNode], check(pod, node, filters) == nil { return ([node], []) }
        let wanted = SchedulerCore.enough(nodes.count, filters.profile.percentageOfNodes)
        feasible.reserveCapacity(wanted)
        var index = rotation % nodes.count
        for step in nodes.indices {
            let node = nodes[index]
            if let refusal = check(pod, node, filters) {
                refusals.append((node.name, refusal))
            } else {
                feasible.append(node)
                if feasible.count == wanted {
                    rotation = (rotation + step + 1) % nodes.count
                    break
                }
            }
            index += 1
            if index == nodes.count { index = 0 }
        }
        return (feasible, refusals)
    }

    /// With and without those that the node is promised to: either state may come true.
    func check(_ pod: PodInfo, _ node: NodeInfo, _ filters: Filters) -> Refusal? {
        if let crowded = cluster.node(node, withNominatedFor: pod) {
            let crowdedFilters = Filters(pod, cluster.replacing(crowded), volumes: filters.volumes, filters.profile, devices: filters.devices)
            if let refusal = crowdedFilters.refusal(crowded) { return refusal }
        }
        return filters.refusal(node)
    }

    private mutating func best(_ attempt: Attempt) -> NodeInfo? {
        let feasible = attempt.feasible
        guard feasible.count > 1 else { return feasible.first }
        var totals = Scores(attempt.pod, cluster, attempt.profile, devices: attempt.devices).totals(feasible)
        if !attempt.outsideScores.isEmpty { for index in totals.indices { totals[index] += attempt.outsideScores[feasible[index].name] ?? 0 } }
        guard let top = totals.max() else { return nil }
        // Among equals, whichever comes first from where the last search ended.
        let equals = totals.indices.filter { totals[$0] == top }
        rotation = (rotation + 1) % max(1, cluster.nodes.count)
        return feasible[equals[rotation % equals.count]]
    }
}

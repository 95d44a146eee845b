import Client
import Core
import Kinds
import Machinery
import Tree

extension Rollout {
    // MARK: - RollingUpdate

    mutating func rollingUpdate() {
        findNewSet(create: true)
        guard let new else { return }
        // A set that is only just made has its size already.
        var changed = created != nil
        if !changed { changed = growNew(new) }
        if !changed { changed = shrinkOld() }
        if !changed, isComplete(deployment["status"]) { cleanUp() }
        syncRolloutStatus()
    }

    private mutating func growNew(_ new: Node) -> Bool {
        let size = Rollout.replicas(new)
        if size == wanted { return false }
        return scale(new, to: size > wanted ? wanted : newSize(of: new, among: old))
    }

    /// Old pods go as far as availability allows, the unhealthy ones first.
    private mutating func shrinkOld() -> Bool {
        guard Rollout.total(activeOld) > 0, let new else { return false }
        let least = wanted - maxUnavailable
        let budget = Rollout.total(all) - least - (Rollout.replicas(new) - Rollout.available(new))
        guard budget > 0 else { return false }
        var sizes = Dictionary(uniqueKeysWithValues: activeOld.map { ($0.name, Rollout.replicas($0)) })
        var total: Int64 = 0
        for set in activeOld where total < budget {
            let size = sizes[set.name] ?? 0
            guard size != Rollout.available(set) else { continue }
            let count = min(budget - total, size - Rollout.available(set))
            sizes[set.name] = size - count
            total += count
        }
        // As upstream, availability counts what the sets report, also of those just shrunk.
        var spare = all.reduce(-least) { $0 + Rollout.available($1) }
        for set in activeOld where spare > 0 {
            let count = min(sizes[set.name] ?? 0, spare)
            sizes[set.name, default: 0] -= count
            spare -= count
            total += count
        }
        var changed = false
        for set in activeOld { if scale(set, to: sizes[set.name] ?? 0) { changed = true } }
        return changed
    }

    // MARK: - Recreate

    /// `pods` by the uid of their set.
    mutating func recreate(_ pods: [String: [Node]]) {
        findNewSet(create: false)
        var changed = false
        for set in activeOld { if scale(set, to: 0) { changed = true } }
        if changed || oldPodsRun(pods) {
            syncRolloutStatus()
            return
        }
        if new == nil { findNewSet(create: true) }
        if created == nil, let new { scale(new, to: wanted) }
        if isComplete(deployment["status"]) { cleanUp() }
        syncRolloutStatus()
    }

    private func oldPodsRun(_ pods: [String: [Node]]) -> Bool {
        if old.contains(where: { ($0["status"]["replicas"].int ?? 0) > 0 }) { return true }
        return pods.contains { uid, list in uid != new?.uid && list.contains { !PodView($0).isTerminal } }
    }

    // MARK: - Scaling

    /// Whether the Deployment was resized since the sets were last sized.
    var isScaling: Bool {
        all.contains { Rollout.replicas($0) > 0 && (Rollout.annotatedCount($0, Rollout.desired) ?? wanted) != wanted }
    }

    /// Sizes the sets without moving the rollout on: while paused, and when the Deployment was resized.
    mutating func scaleAll() {
        findNewSet(create: false)
        resize()
        if deployment["spec"]["paused"].bool == true { cleanUp() }
        syncStatus()
    }

    private mutating func resize() {
        let active = all.filter { Rollout.replicas($0) > 0 }
        if active.count <= 1 {
            // The newest old set stands in where there is no new one.
            if let only = active.first ?? new ?? old.last { scale(only, to: wanted) }
            return
        }
        if let new, isSaturated(new) {
            for set in activeOld { scale(set, to: 0) }
            return
        }
        guard isRolling else { return }
        proportionally(active)
    }

    private func isSaturated(_ set: Node) -> Bool {
        Rollout.replicas(set) == wanted && Rollout.annotatedCount(set, Rollout.desired) == wanted && Rollout.available(set) == wanted
    }

    /// Each set grows or shrinks by its share; the largest takes what rounding leaves.
    private mutating func proportionally(_ active: [Node]) {
        let toAdd = (wanted > 0 ? wanted + maxSurge : 0) - Rollout.total(active)
        let bySize = active.sorted { a, b in
            let (x, y) = (Rollout.replicas(a), Rollout.replicas(b))
            if x != y { return x > y }
            return toAdd > 0 ? ClusterState.olderFirst(b, a) : ClusterState.olderFirst(a, b)
        }
        var added: Int64 = 0
        var sizes: [Int64] = []
        for set in bySize {
            let share = toAdd == 0 || toAdd == added ? 0 : proportion(set)
            let part = toAdd > 0 ? min(share, toAdd - added) : toAdd < 0 ? max(share, toAdd - added) : 0
            sizes.append(Rollout.replicas(set) + part)
            added += part
        }
        for (index, set) in bySize.enumerated() {
            let size = index == 0 && toAdd != 0 ? max(0, sizes[0] + toAdd - added) : sizes[index]
            scale(set, to: size, always: true)
        }
    }

    private func proportion(_ set: Node) -> Int64 {
        let size = Rollout.replicas(set)
        if wanted == 0 { return -size }
        var past = Rollout.annotatedCount(set, Rollout.maximum) ?? 0
        if past == 0 { past = deployment["status"]["replicas"].int ?? 0 }
        if past == 0 { return 0 }
        return Int64((Double(size * (wanted + maxSurge)) / Double(past)).rounded(.toNearestOrAwayFromZero)) - size
    }

    // MARK: - Cleaning up

    /// Old sets beyond the history limit go, the oldest revision first.
    private mutating func cleanUp() {
        guard let limit = deployment["spec"]["revisionHistoryLimit"].int, limit != Int64(Int32.max) else { return }
        let alive = old.filter { !$0.isBeingDeleted }
        let excess = alive.count - Int(limit)
        guard excess > 0 else { return }
        let byRevision = alive.sorted { a, b in
            let (x, y) = (Rollout.revision(of: a), Rollout.revision(of: b))
            return x == y ? ClusterState.olderFirst(a, b) : x < y
        }
        deleted += byRevision.prefix(excess).filter {
            ($0["status"]["replicas"].int ?? 0) == 0 && Rollout.replicas($0) == 0 && $0.generation <= ($0["status"]["observedGeneration"].int ?? 0)
        }
    }
}

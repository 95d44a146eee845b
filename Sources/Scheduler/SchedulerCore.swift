package import Client
package import Core
import Kinds
import Machinery
package import Schema
package import Tree

/// The scheduler without input and output: fed with the changes of the cluster, it says for one pod after the other where it
/// goes. What it decides it believes at once, so that the next pod finds the room taken.
package struct SchedulerCore {
    /// What is to be done about one pod.
    package enum Decision {
        case bind(Binding)
        case refuse(Refused)
        /// Programs outside have a say: ask them about these nodes, then `resume`.
        case consult(Attempt)
        /// They are asked which of these candidates may be preempted, then `resume(preempting:)`.
        case consultVictims(Attempt, [Preemption])
    }

    package struct Binding: Sendable {
        package let pod: PodInfo
        package let node: String
        let volumes: VolumeState.Choice
        let profile: Profile
        let devices: DeviceState.Choice
    }

    package struct Refused: Sendable {
        package let pod: PodInfo
        package let message: String
        /// Pods that are to go for it, and the node where.
        package var preemption: Preemption?
        /// A node that it was promised but cannot have any more.
        package var dropsNomination = false
        /// Less important pods that had been promised the node.
        package var outdone: [PodInfo] = []
        /// A claim to give back, so that it can have devices that the pod can reach.
        var deallocates: Node?
        /// Something is wrong beside a lack of room.
        var isFailure = false
    }

    var cluster = SchedulingCluster()
    var queue: SchedulingQueue
    let profiles: [String: Profile]
    var rotation = 0

    package init(_ configuration: SchedulerConfiguration = SchedulerConfiguration()) {
        profiles = Dictionary(configuration.profiles.map { ($0.name, $0) }) { first, _ in first }
        queue = SchedulingQueue(initialBackoff: configuration.initialBackoff, longestBackoff: configuration.longestBackoff)
    }

    func profile(_ pod: PodInfo) -> Profile { profiles[pod.schedulerName] ?? .standard }

    /// What the scheduler reads.
    package static let resources: [GroupVersionResource] = [
        .nodes, .pods, .namespaces, .persistentVolumeClaims, .persistentVolumes, .storageClasses, .podDisruptionBudgets, .csiNodes, .services,
        .replicaSets, .statefulSets, .replicationControllers, .resourceClaims, .resourceSlices, .deviceClasses,
    ]

    // MARK: - Changes

    package mutating func observe(_ resource: GroupVersionResource, _ key: ObjectKey, old: Node?, new: Node?, now: Timestamp) {
        switch resource {
        case .nodes: observeNode(key.name, old, new, now)
        case .pods: observePod(old, new, now)
        case .namespaces: cluster.namespaceLabels[key.name] = new?.labels
        case .persistentVolumeClaims:
            cluster.claims[key] = new
            changed(.volume, now)
        case .persistentVolumes:
            cluster.volumes[key.name] = new
            changed(.volume, now)
        case .storageClasses:
            cluster.storageClasses[key.name] = new
            changed(.volume, now)
        case .podDisruptionBudgets: cluster.budgets[key] = new
        case .csiNodes:
            let limits = (new?["spec"]["drivers"].list ?? []).compactMap { driver in
                driver["allocatable"]["count"].int.map { (driver["name"].string ?? "", $0) }
            }
            cluster.attachLimits[key.name] = limits.isEmpty ? nil : Dictionary(limits) { first, _ in first }
            changed(.volume, now)
        case .resourceClaims, .resourceSlices, .deviceClasses: observeDevices(resource, key, new, now)
        case .services:
            let selector = new?["spec"]["selector"].stringMap ?? [:]
            cluster.serviceSelectors[key.namespace, default: [:]][key.name] = selector.isEmpty ? nil : selector
        case .replicaSets, .statefulSets:
            if let uid = (new ?? old)?.uid { cluster.ownerSelectors[uid] = new.map { LabelSelector(object: $0["spec"]["selector"]) } }
        case .replicationControllers:
            if let uid = (new ?? old)?.uid { cluster.ownerSelectors[uid] = new.map { LabelSelector(equals: $0["spec"]["selector"].stringMap) } }
        default: break
        }
    }

    mutating func changed(_ change: ClusterChange, _ now: Timestamp) {
        let labels = cluster.namespaceLabels
        queue.changed(change, now: now) { QueueingHint.mayHelp($0, refusedBy: $1, $2, labels) }
    }

    private mutating func observeNode(_ name: String, _ old: Node?, _ new: Node?, _ now: Timestamp) {
        cluster.setNode(name, new)
        guard let new, let info = cluster[name] else { return }
        // Heartbeats change nothing that a pod could wait for.
        func facet(_ node: Node?) -> [Node] {
            guard let node else { return [] }
            return [node["metadata"]["labels"], node["spec"]["taints"], node["spec"]["unschedulable"], node["status"]["allocatable"]]
        }
        if facet(old) != facet(new) { changed(.node(info), now) }
    }

    private mutating func observePod(_ old: Node?, _ new: Node?, _ now: Timestamp) {
        let uid = new?.uid ?? old?.uid ?? ""
        if let old, let new, old.uid != new.uid { observePod(old, nil, now) }
        guard let new, !PodView(new).isTerminal else {
            queue.remove(uid: uid)
            cluster.devices.unpark(uid: uid)
            let pod = PodInfo(new ?? old ?? .emptyMap)
            cluster.nominate(pod, on: nil)
            if cluster.remove(uid: uid) { changed(.podGone(pod), now) }
            return
        }
        let node = new["spec"]["nodeName"].string ?? ""
        if !node.isEmpty {
            let isNew = cluster.places[uid] != node
            let isRelabelled = old.map { $0["metadata"]["labels"] != new["metadata"]["labels"] } ?? true
            let hasChanged = isRelabelled || old?["spec"] != new["spec"] || old?.isBeingDeleted != new.isBeingDeleted
            if isNew || hasChanged {
                let pod = PodInfo(new)
                cluster.place(pod, on: node)
                // Also of one that was assumed here before: who waits for it is tried again now that it is there.
                let wasUnbound = old?["spec"]["nodeName"].string?.isEmpty ?? true
                if isNew || wasUnbound || isRelabelled { changed(.podPlaced(pod), now) }
            }
            queue.remove(uid: uid)
            return
        }
        // Assumed, its binding is under way: the watch is behind.
        if cluster.places[uid] != nil { return }
        let pod = PodInfo(new)
        let isOurs = profiles[pod.schedulerName] != nil
        guard isOurs, !new.isBeingDeleted, !pod.isGated else {
            queue.remove(uid: uid)
            return
        }
        // A promise that is not written yet stays; one that was and is no more goes.
        if !pod.nominatedNode.isEmpty || old?["status"]["nominatedNodeName"].string?.isEmpty == false { cluster.nominate(pod, on: pod.nominatedNode) }
        if isParked(pod) { return }
        let isBetter = old.map { $0["spec"] != new["spec"] || $0["metadata"]["labels"] != new["metadata"]["labels"] } ?? false
        queue.upsert(pod, isBetter: isBetter, now: now)
    }

    // MARK: - Deciding

    package var nextTime: Timestamp? { queue.nextTime }

    /// The decision about the next pod; nil when none is due.
    package mutating func next(now: Timestamp) -> Decision? {
        guard let pod = queue.pop(now: now) else { return nil }
        return decide(pod, now)
    }

    mutating func refuse(_ pod: PodInfo, _ message: String, _ filters: Set<Filter>, _ now: Timestamp) -> Refused {
        let labels = cluster.namespaceLabels
        queue.refused(uid: pod.uid, by: filters, message: message, now: now) { QueueingHint.mayHelp($0, refusedBy: $1, $2, labels) }
        return Refused(pod: pod, message: message)
    }

    // MARK: - Outcomes

    /// The binding did not come about.
    package mutating func unbind(_ pod: PodInfo, now: Timestamp) {
        cluster.remove(uid: pod.uid)
        cluster.devices.forget(podUID: pod.uid)
        queue.failed(pod, now: now)
        changed(.podGone(pod), now)
    }

    /// The pod is gone or somebody else's: nothing to try again.
    package mutating func forget(_ pod: PodInfo, now: Timestamp) {
        cluster.remove(uid: pod.uid)
        cluster.devices.forget(podUID: pod.uid)
        queue.remove(uid: pod.uid)
        changed(.podGone(pod), now)
    }

    /// The attempt went wrong before there was a decision.
    package mutating func postpone(_ pod: PodInfo, now: Timestamp) { queue.failed(pod, now: now) }
}

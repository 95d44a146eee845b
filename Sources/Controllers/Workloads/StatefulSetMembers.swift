import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

/// The pods of a StatefulSet by ordinal, and the one next step that its order allows (or all at once, where it is parallel).
struct Members {
    let set: Node
    private let revisions: Revisions
    private let reference: OwnerReference
    private let now: Timestamp
    private var pods: [Int64: Node] = [:]
    private(set) var actions: [Action] = []
    private var claims: StatefulSetClaims
    private let ordinals: Range<Int64>
    private let minReady: Int64

    init(_ set: Node, _ pods: [Node], _ revisions: Revisions, _ reference: OwnerReference, _ claims: StatefulSetClaims, _ now: Timestamp) {
        self.set = set
        self.revisions = revisions
        self.reference = reference
        self.now = now
        self.claims = claims
        ordinals = StatefulSets.ordinals(set)
        minReady = set["spec"]["minReadySeconds"].int ?? 0
        for pod in pods { if let ordinal = StatefulSets.ordinal(pod, of: set) { self.pods[ordinal] = pod } }
    }

    private var isParallel: Bool { self.set["spec"]["podManagementPolicy"].string == "Parallel" }
    private var isOnDelete: Bool { self.set["spec"]["updateStrategy"]["type"].string == "OnDelete" }
    private var rolling: Node { self.set["spec"]["updateStrategy"]["rollingUpdate"] }
    private var condemned: [Int64] { pods.keys.filter { !ordinals.contains($0) }.sorted(by: >) }
    private var updateHash: String { revisions.hash }
    /// The revision that pods below the partition are of.
    private var currentHash: String {
        let stated = set["status"]["currentRevision"].string ?? ""
        return stated.isEmpty || !revisions.all.contains { $0.name == stated } ? updateHash : stated
    }
    /// The first ordinal that is updated.
    private var firstUpdated: Int64 { isOnDelete ? ordinals.lowerBound : ordinals.lowerBound + (rolling["partition"].int ?? 0) }

    private func isReady(_ pod: Node) -> Bool { PodView(pod).phase == "Running" && PodView(pod).isReady }
    private func isAvailable(_ pod: Node) -> Bool { PodView(pod).isAvailable(minReadySeconds: minReady, now: now) }
    private func isUnavailable(_ ordinal: Int64) -> Bool { pods[ordinal].map { $0.isBeingDeleted || !isAvailable($0) } ?? true }

    // MARK: - Steps

    mutating func reconcile() {
        for ordinal in ordinals {
            // In order: none before its predecessor is there and available.
            if process(ordinal), !isParallel { return }
        }
        for ordinal in condemned { if let pod = pods[ordinal] { actions += claims.ownership(of: pod, ordinal) } }
        if shrink() { return }
        if !isOnDelete { if rolling["maxUnavailable"].isNull { updateNext() } else { updateSome() } }
    }

    /// True when those that follow must wait.
    private mutating func process(_ ordinal: Int64) -> Bool {
        guard let pod = pods[ordinal] else {
            create(ordinal)
            return true
        }
        if PodView(pod).isTerminal {
            // An ended pod makes place for its successor.
            if !pod.isBeingDeleted { delete(pod) }
            return true
        }
        if PodView(pod).phase == "Pending" { actions += claims.creations(ordinal).actions }
        if !isParallel, pod.isBeingDeleted || !isReady(pod) || !isAvailable(pod) { return true }
        actions += claims.ownership(of: pod, ordinal)
        if pod.labels["statefulset.kubernetes.io/pod-name"] != pod.name {
            let labels: Node = ["statefulset.kubernetes.io/pod-name": .string(pod.name), "apps.kubernetes.io/pod-index": .string("\(ordinal)")]
            actions.append(.patch(.pods, ObjectKey(pod.namespace, pod.name), .merge, ["metadata": ["uid": .string(pod.uid), "labels": labels]]))
        }
        return false
    }

    /// Removes from the end, one at a time where there is an order, and then never past one in trouble. True when something is to be removed.
    private mutating func shrink() -> Bool {
        let condemned = condemned
        let firstInTrouble = (ordinals.map { $0 } + condemned.reversed()).first(where: isUnavailable)
        for ordinal in condemned {
            guard let pod = pods[ordinal] else { continue }
            if pod.isBeingDeleted {
                if isParallel { continue }
                return true
            }
            if !isParallel, !isReady(pod) || !isAvailable(pod), ordinal != firstInTrouble { return true }
            delete(pod)
            if !isParallel { return true }
        }
        return !condemned.isEmpty
    }

    private func isOld(_ ordinal: Int64) -> Bool {
        pods[ordinal].map { !$0.isBeingDeleted && $0.labels["controller-revision-hash"] != updateHash } ?? false
    }

    /// From the end, the next one when the one before is available.
    private mutating func updateNext() {
        for ordinal in ordinals.reversed() where ordinal >= firstUpdated {
            if isOld(ordinal), let pod = pods[ordinal] {
                delete(pod)
                return
            }
            if isUnavailable(ordinal) { return }
        }
    }

    private mutating func updateSome() {
        let count = Int64(ordinals.count)
        let most = max(1, IntOrPercent.resolve(rolling["maxUnavailable"], of: count, roundUp: true) ?? 1)
        let room = most - Int64(ordinals.filter(isUnavailable).count)
        guard room > 0 else { return }
        for ordinal in ordinals.reversed().filter({ $0 >= firstUpdated && isOld($0) }).prefix(Int(room)) { if let pod = pods[ordinal] { delete(pod) } }
    }

    // MARK: - Pods

    private mutating func create(_ ordinal: Int64) {
        let name = "\(set.name)-\(ordinal)"
        guard !claims.areStale(ordinal) else { return }
        let wanted = claims.creations(ordinal)
        actions += wanted.actions
        if let leaving = wanted.leaving {
            let message = "Create Pod \(name) in StatefulSet \(set.name) failed error: pvc \(leaving) is being deleted"
            actions.append(.event(Event(set, .warning, reason: "FailedCreate", message: message)))
            return
        }
        let hash = ordinal < firstUpdated ? currentHash : updateHash
        var template = set["spec"]["template"]
        if hash != updateHash, let old = revisions.all.first(where: { $0.name == hash }) { template = old["data"]["spec"]["template"] }
        template.remove("$patch")
        var pod = PodTemplates.pod(template, owner: set, reference, name: name)
        pod["metadata"]["labels"]["controller-revision-hash"] = .string(hash)
        pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = .string(name)
        pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = .string("\(ordinal)")
        pod["spec"]["hostname"] = .string(name)
        pod["spec"]["subdomain"] = set["spec"]["serviceName"]
        let volumes = claims.volumes(ordinal, beside: pod["spec"]["volumes"].list)
        if !volumes.isEmpty { pod["spec"]["volumes"] = .list(volumes) }
        actions.append(.create(.pods, pod, announce: announcement("Create", name)))
    }

    private mutating func delete(_ pod: Node) {
        actions.append(.delete(.pods, ObjectKey(pod.namespace, pod.name), DeleteOptions(uid: pod.uid), announce: announcement("Delete", pod.name)))
    }

    private func announcement(_ verb: String, _ name: String) -> Announcement {
        Announcement(
            set, success: "Successful\(verb)", "\(verb) Pod \(name) in StatefulSet \(set.name) successful", failure: "Failed\(verb)",
            "\(verb) Pod \(name) in StatefulSet \(set.name) failed error: ", namesObject: false)
    }

    // MARK: - Status

    func status(into plan: inout Plan) -> Node {
        var status = set["status"]
        let count = Int64(ordinals.count)
        let created = pods.values.filter { !PodView($0).phase.isEmpty }
        let ready = created.filter(isReady)
        let staying = created.filter { !$0.isBeingDeleted }
        var name = currentHash
        var currentCount = Int64(staying.filter { $0.labels["controller-revision-hash"] == name }.count)
        let updated = Int64(staying.filter { $0.labels["controller-revision-hash"] == updateHash }.count)
        for pod in created { if let left = PodView(pod).untilAvailable(minReadySeconds: minReady, now: now) { plan.requeue(after: left) } }
        // The update is done: it is what is current now.
        if !isOnDelete, updated == count, Int64(ready.count) == count, Int64(created.count) == count {
            name = updateHash
            currentCount = updated
        }
        status["replicas"] = .int(Int64(created.count))
        status.setCount("readyReplicas", Int64(ready.count))
        status["availableReplicas"] = .int(Int64(ready.filter(isAvailable).count))
        status.setCount("currentReplicas", currentCount)
        status.setCount("updatedReplicas", updated)
        status["currentRevision"] = .string(name)
        status["updateRevision"] = .string(updateHash)
        status["collisionCount"] = .int(status["collisionCount"].int ?? 0)
        status.setCount("observedGeneration", set.generation)
        return status
    }
}

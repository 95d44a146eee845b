import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

/// The pods of a StatefulSet by ordinal, and the one next step that its order allows (or all at once, where it is parallel).
struct Members {
    struct Claim: Hashable {
        let claim: String
        let template: Int
        let ordinal: Int64
    }

    private let set: Node
    private let revisions: Revisions
    private let reference: OwnerReference
    private let now: Timestamp
    private var pods: [Int64: Node] = [:]
    private(set) var actions: [Action] = []
    private(set) var wantedClaims: [Claim] = []
    private let first: Int64
    private let count: Int64
    private let minReady: Int64

    init(_ set: Node, _ pods: [Node], _ revisions: Revisions, _ reference: OwnerReference, _ now: Timestamp) {
        self.set = set
        self.revisions = revisions
        self.reference = reference
        self.now = now
        first = set["spec"]["ordinals"]["start"].int ?? 0
        count = set["spec"]["replicas"].int ?? 1
        minReady = set["spec"]["minReadySeconds"].int ?? 0
        for pod in pods { if let ordinal = StatefulSets.ordinal(pod, of: set) { self.pods[ordinal] = pod } }
    }

    private var isParallel: Bool { self.set["spec"]["podManagementPolicy"].string == "Parallel" }
    private var wanted: Range<Int64> { first..<(first + count) }
    private var excess: [Int64] { pods.keys.filter { !wanted.contains($0) }.sorted(by: >) }
    private var updateHash: String { revisions.hash }
    /// The revision that pods below the partition are of.
    private var currentHash: String {
        let stated = set["status"]["currentRevision"].string ?? ""
        return stated.isEmpty || !revisions.all.contains { $0.name == stated } ? updateHash : stated
    }
    private var partition: Int64 {
        guard set["spec"]["updateStrategy"]["type"].string != "OnDelete" else { return .max }
        return set["spec"]["updateStrategy"]["rollingUpdate"]["partition"].int ?? 0
    }

    private func isAvailable(_ pod: Node) -> Bool { PodView(pod).isAvailable(minReadySeconds: minReady, now: now) }
    private func isHealthy(_ pod: Node) -> Bool { PodView(pod).isReady && !pod.isBeingDeleted }

    // MARK: - Steps

    mutating func reconcile() {
        for ordinal in wanted {
            guard let pod = pods[ordinal] else {
                create(ordinal)
                if isParallel { continue }
                return
            }
            if PodView(pod).isTerminal {
                // An ended pod makes place for its successor.
                if !pod.isBeingDeleted { delete(pod, announced: "Recreating") }
                if isParallel { continue }
                return
            }
            wantedClaims += claims(of: ordinal)
            if isParallel { continue }
            // In order: none before its predecessor is there and available.
            if pod.isBeingDeleted || !isHealthy(pod) || !isAvailable(pod) { return }
        }
        if shrink() { return }
        update()
    }

    /// Removes from the end, one at a time where there is an order. True when there was something to remove.
    private mutating func shrink() -> Bool {
        let excess = excess
        guard !excess.isEmpty else { return false }
        for ordinal in excess {
            guard let pod = pods[ordinal] else { continue }
            if !pod.isBeingDeleted { delete(pod) }
            if !isParallel { break }
        }
        return true
    }

    private mutating func update() {
        guard set["spec"]["updateStrategy"]["type"].string != "OnDelete" else { return }
        let most = IntOrPercent.resolve(set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"], of: count, roundUp: true) ?? 1
        var unavailable = Int64(wanted.filter { pods[$0].map { !isHealthy($0) || !isAvailable($0) } ?? true }.count)
        for ordinal in wanted.reversed() where ordinal >= partition {
            guard let pod = pods[ordinal] else { return }
            let isOld = pod.labels["controller-revision-hash"] != updateHash
            if isOld, !pod.isBeingDeleted {
                let isBroken = !isHealthy(pod)
                if unavailable >= most, !isBroken { return }
                delete(pod)
                if !isBroken { unavailable += 1 }
                if unavailable >= most { return }
            } else if !isHealthy(pod) || !isAvailable(pod) {
                if unavailable >= most { return }
            }
        }
    }

    // MARK: - Pods

    private mutating func create(_ ordinal: Int64) {
        wantedClaims += claims(of: ordinal)
        let name = "\(set.name)-\(ordinal)"
        let hash = ordinal < partition ? currentHash : updateHash
        var template = set["spec"]["template"]
        if hash != updateHash, let old = revisions.all.first(where: { $0.name == hash }) { template = old["data"]["spec"]["template"] }
        template.remove("$patch")
        var pod = PodTemplates.pod(template, owner: set, reference, name: name)
        pod["metadata"]["labels"]["controller-revision-hash"] = .string(hash)
        pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = .string(name)
        pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = .string("\(ordinal)")
        pod["spec"]["hostname"] = .string(name)
        pod["spec"]["subdomain"] = set["spec"]["serviceName"]
        let own = claimTemplates.enumerated().map { index, claim -> Node in
            ["name": .string(claim.name), "persistentVolumeClaim": ["claimName": .string(claimName(index, ordinal))]]
        }
        let names = Set(claimTemplates.map(\.name))
        let volumes = own + pod["spec"]["volumes"].list.filter { !names.contains($0["name"].string ?? "") }
        if !volumes.isEmpty { pod["spec"]["volumes"] = .list(volumes) }
        actions.append(.create(.pods, pod, announce: announcement("create", name)))
    }

    private mutating func delete(_ pod: Node, announced: String = "") {
        actions.append(.delete(.pods, ObjectKey(pod.namespace, pod.name), DeleteOptions(uid: pod.uid), announce: announcement("delete", pod.name)))
    }

    private func announcement(_ verb: String, _ name: String) -> Announcement {
        let reason = verb == "create" ? "Create" : "Delete"
        return Announcement(
            set, success: "Successful\(reason)", "\(verb) Pod \(name) in StatefulSet \(set.name) successful", failure: "Failed\(reason)",
            "\(verb) Pod \(name) in StatefulSet \(set.name) failed error: ", namesObject: false)
    }

    // MARK: - Claims

    private var claimTemplates: [Node] { self.set["spec"]["volumeClaimTemplates"].list }
    private func claimName(_ template: Int, _ ordinal: Int64) -> String { "\(claimTemplates[template].name)-\(set.name)-\(ordinal)" }
    private func claims(of ordinal: Int64) -> [Claim] {
        claimTemplates.indices.map { Claim(claim: claimName($0, ordinal), template: $0, ordinal: ordinal) }
    }

    func claim(_ name: Claim) -> Node {
        var claim = claimTemplates[name.template]
        claim["apiVersion"] = "v1"
        claim["kind"] = "PersistentVolumeClaim"
        claim["metadata"]["name"] = .string(name.claim)
        claim["metadata"]["namespace"] = .string(set.namespace)
        claim["metadata"].remove("creationTimestamp")
        claim.remove("status")
        var labels = claim.labels
        labels.merge(set["spec"]["selector"]["matchLabels"].stringMap) { $1 }
        claim["metadata"]["labels"] = Node(labels)
        // Claims outlive their set unless it says otherwise.
        let policy = set["spec"]["persistentVolumeClaimRetentionPolicy"]
        if policy["whenDeleted"].string == "Delete" {
            claim["metadata"]["ownerReferences"] = [OwnerReference(controller: set, apiVersion: "apps/v1", kind: "StatefulSet").node]
        }
        return claim
    }

    // MARK: - Status

    func status(into plan: inout Plan) -> Node {
        var status = set["status"]
        let living = pods.values.filter { !PodView($0).isTerminal || $0.isBeingDeleted }
        let ready = living.filter { PodView($0).isReady }
        let available = ready.filter(isAvailable)
        let current = currentHash
        var currentCount = Int64(living.filter { $0.labels["controller-revision-hash"] == current && !$0.isBeingDeleted }.count)
        let updated = Int64(living.filter { $0.labels["controller-revision-hash"] == updateHash && !$0.isBeingDeleted }.count)
        for pod in living { if let left = PodView(pod).untilAvailable(minReadySeconds: minReady, now: now) { plan.requeue(after: left) } }
        var name = current
        // The update is done: it is what is current now.
        if partition == 0, updated == Int64(living.count), updated == count, Int64(ready.count) == count, name != updateHash {
            name = updateHash
            currentCount = updated
        }
        status["replicas"] = .int(Int64(living.count))
        status.setCount("readyReplicas", Int64(ready.count))
        status["availableReplicas"] = .int(Int64(available.count))
        status.setCount("currentReplicas", currentCount)
        status.setCount("updatedReplicas", updated)
        status["currentRevision"] = .string(name)
        status["updateRevision"] = .string(updateHash)
        status["collisionCount"] = .int(status["collisionCount"].int ?? 0)
        status.setCount("observedGeneration", set.generation)
        return status
    }
}

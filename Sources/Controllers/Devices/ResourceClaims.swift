package import Client
package import Core
import Kinds
import Machinery
import Schema
package import Tree

/// Takes consumers that ended off claims, gives back what nobody uses any more, lets go of claims that may be deleted, and deletes
/// those that were generated for pods that are done.
package struct ResourceClaims: Reconciler {
    package init() {}
    package var name: String { "resourceclaim-controller" }

    package var triggers: [Trigger] {
        [
            .own(.resourceClaims),
            Trigger(.pods) { change, _ in
                let pod = change.new ?? change.old ?? .null
                // Both states: a pod that is replaced by one of its name ended too.
                guard change.new == nil || PodClaims.isDone(pod) || change.old?.uid != change.new?.uid else { return [] }
                var names = PodClaims(pod).claimNames
                if let old = change.old { names += PodClaims(old).claimNames.filter { !names.contains($0) } }
                return names.map { ObjectKey(change.key.namespace, $0) }
            },
        ]
    }

    /// What to do about a claim; writes in order, each conditional on the one before.
    package struct Decision: Sendable, Equatable {
        /// The consumers that are left, where some are not.
        package var consumers: [Node]?
        package var deallocates = false
        package var releases = false
        package var deletes = false
    }

    package enum PodState: Sendable { case active, ended, unknown }

    /// `pod` tells of a consumer, `owner` of the pod that the claim was generated for.
    package static func decide(_ claim: Node, pod: (_ consumer: Node) -> PodState, owner: PodState) -> Decision {
        var decision = Decision()
        let consumers = claim["status"]["reservedFor"].list
        let left = consumers.filter { consumer in
            guard consumer["apiGroup"].isEmpty, consumer["resource"].string == "pods" else { return true }
            return pod(consumer) != .ended
        }
        let isOurs = claim["metadata"]["finalizers"].stringList.contains(PodClaims.finalizer)
        let isAllocated = !claim["status"]["allocation"].isNull
        if left.count < consumers.count {
            decision.consumers = left
            decision.deallocates = left.isEmpty && isOurs && isAllocated
            decision.releases = isOurs && (decision.deallocates || !isAllocated)
        } else if isOurs, claim.isBeingDeleted, left.isEmpty {
            decision.deallocates = isAllocated
            decision.releases = true
        }
        decision.deletes = left.isEmpty && owner == .ended && !claim.isBeingDeleted
        return decision
    }

    package func reconcile(_ key: ObjectKey, _ view: ClusterView, _ recorder: EventRecorder, now: Timestamp) async throws -> Duration? {
        guard var claim = view.get(.resourceClaims, key) else { return nil }
        var states: [String: PodState] = [:]
        for consumer in claim["status"]["reservedFor"].list {
            guard let uid = consumer["uid"].string else { continue }
            states[uid] = try await state(key.namespace, consumer["name"].string ?? "", uid, view)
        }
        var owner = PodState.unknown
        if let reference = claim.controllerOwner, reference.kind == "Pod", let pod = view.get(.pods, ObjectKey(key.namespace, reference.name)) {
            owner = pod.uid != reference.uid || PodClaims.isDone(pod) ? .ended : .active
        }
        let decision = ResourceClaims.decide(claim, pod: { states[$0["uid"].string ?? ""] ?? .unknown }, owner: owner)
        if decision.consumers != nil || decision.deallocates {
            if let left = decision.consumers { claim["status"]["reservedFor"] = left.isEmpty ? .null : .list(left) }
            if decision.deallocates { claim["status"].remove("allocation") }
            claim = try await view.client.update(.resourceClaims, claim, subresource: "status")
        }
        if decision.releases {
            let left = claim["metadata"]["finalizers"].list.filter { $0.string != PodClaims.finalizer }
            claim["metadata"]["finalizers"] = left.isEmpty ? .null : .list(left)
            claim = try await view.client.update(.resourceClaims, claim, subresource: nil)
        }
        if decision.deletes {
            do { _ = try await view.client.delete(.resourceClaims, key, DeleteOptions(uid: claim.uid)) } catch let error as APIError where error.code == 404 {}
        }
        await view.reached(claim.revision, .resourceClaims)
        return nil
    }

    /// The view may be behind the reservation: a pod that it does not have is asked for before it counts as gone.
    private func state(_ namespace: String, _ name: String, _ uid: String, _ view: ClusterView) async throws -> PodState {
        let key = ObjectKey(namespace, name)
        var pod = view.get(.pods, key)
        if pod == nil {
            do { pod = try await view.client.get(.pods, key) } catch let error as APIError where error.code == 404 { return .ended }
        }
        guard let pod else { return .unknown }
        return pod.uid != uid || PodClaims.isDone(pod) ? .ended : .active
    }
}

import Client
import Core
import Machinery
import Schema
import Tree

/// The claims of a StatefulSet's pods: made before the pods, kept or given away to be collected as the set's policy says.
struct StatefulSetClaims {
    private let set: Node
    private let templates: [Node]
    private let existing: [String: Node]
    private let deletesWithSet: Bool
    private let deletesWhenScaled: Bool

    init(_ set: Node, _ state: borrowing ClusterState, ordinals: some Sequence<Int64>) {
        self.set = set
        templates = set["spec"]["volumeClaimTemplates"].list
        let policy = set["spec"]["persistentVolumeClaimRetentionPolicy"]
        deletesWithSet = policy["whenDeleted"].string == "Delete"
        deletesWhenScaled = policy["whenScaled"].string == "Delete"
        var existing: [String: Node] = [:]
        for ordinal in ordinals {
            for template in templates {
                let name = StatefulSetClaims.name(template, set, ordinal)
                if let claim = state.get(.persistentVolumeClaims, set.namespace, name) { existing[name] = claim }
            }
        }
        self.existing = existing
    }

    private static func name(_ template: Node, _ set: Node, _ ordinal: Int64) -> String { "\(template.name)-\(set.name)-\(ordinal)" }

    /// Claims that are missing; `leaving` names one that must be gone before its successor can be made.
    func creations(_ ordinal: Int64) -> (actions: [Action], leaving: String?) {
        var out: (actions: [Action], leaving: String?) = ([], nil)
        for template in templates {
            let name = StatefulSetClaims.name(template, set, ordinal)
            if let claim = existing[name] {
                if claim.isBeingDeleted { out.leaving = name }
                continue
            }
            let pod = "\(set.name)-\(ordinal)"
            let announcement = Announcement(
                set, success: "SuccessfulCreate", "Create Claim \(name) Pod \(pod) in StatefulSet \(set.name) success", failure: "FailedCreate",
                "Create Claim \(name) for Pod \(pod) in StatefulSet \(set.name) failed error: ", namesObject: false)
            out.actions.append(.create(.persistentVolumeClaims, claim(template, name), announce: announcement))
        }
        return out
    }

    /// Whether a claim still belongs to a pod of that name that was scaled away: it goes with it, and the next pod has to wait.
    func areStale(_ ordinal: Int64) -> Bool {
        guard deletesWhenScaled else { return false }
        return templates.contains { template in
            existing[StatefulSetClaims.name(template, set, ordinal)]?.owners.contains { $0.kind == "Pod" && $0.name == "\(set.name)-\(ordinal)" } ?? false
        }
    }

    private func claim(_ template: Node, _ name: String) -> Node {
        var claim = template
        claim["apiVersion"] = "v1"
        claim["kind"] = "PersistentVolumeClaim"
        claim["metadata"]["name"] = .string(name)
        claim["metadata"]["namespace"] = .string(set.namespace)
        claim["metadata"].remove("creationTimestamp")
        claim.remove("status")
        var labels = claim.labels
        labels.merge(set["spec"]["selector"]["matchLabels"].stringMap) { $1 }
        claim["metadata"]["labels"] = Node(labels)
        if deletesWithSet { claim["metadata"]["ownerReferences"] = [owner.node] }
        return claim
    }

    func volumes(_ ordinal: Int64, beside others: [Node]) -> [Node] {
        let own = templates.map { template -> Node in
            ["name": .string(template.name), "persistentVolumeClaim": ["claimName": .string(StatefulSetClaims.name(template, set, ordinal))]]
        }
        let names = Set(templates.map(\.name))
        return own + others.filter { !names.contains($0["name"].string ?? "") }
    }

    // MARK: - Ownership

    private var owner: OwnerReference { OwnerReference(controller: set, apiVersion: "apps/v1", kind: "StatefulSet") }

    /// Makes the owners of a pod's claims those that the policy wants: the set, the pod that is scaled away, or nobody.
    func ownership(of pod: Node, _ ordinal: Int64) -> [Action] {
        templates.flatMap { template -> [Action] in
            guard let claim = existing[StatefulSetClaims.name(template, set, ordinal)] else { return [] }
            func isSet(_ owner: Node) -> Bool { owner["kind"].string == "StatefulSet" && owner["apiVersion"].string == "apps/v1" && owner["name"].string == set.name }
            func isPod(_ owner: Node) -> Bool { owner["kind"].string == "Pod" && owner["apiVersion"].string == "v1" && owner["name"].string == pod.name }
            let owners = claim["metadata"]["ownerReferences"].list
            // Left by another set or pod of that name: not ours to touch.
            if owners.contains(where: { (isSet($0) && $0["uid"].string != set.uid) || (isPod($0) && $0["uid"].string != pod.uid) }) { return [] }
            let others = owners.filter { !isSet($0) && !isPod($0) }
            var wanted: [OwnerReference] = []
            var actions: [Action] = []
            if (deletesWithSet || deletesWhenScaled) && others.contains(where: { $0["controller"].bool == true }) {
                let text = "PersistentVolumeClaim \(claim.name) has a conflicting OwnerReference that acts as a manging controller, "
                let message = text + "the retention policy is ignored for this claim"
                if others.count != owners.count { actions.append(.event(Event(set, .warning, reason: "ConflictingController", message: message))) }
            } else {
                let isScaledAway = !StatefulSets.ordinals(set).contains(ordinal)
                if deletesWhenScaled, isScaledAway { wanted.append(OwnerReference(controller: pod, apiVersion: "v1", kind: "Pod")) }
                if deletesWithSet, !(deletesWhenScaled && isScaledAway) { wanted.append(owner) }
            }
            let mine = owners.filter { isSet($0) || isPod($0) }
            let isRight = mine.count == wanted.count && wanted.allSatisfy { reference in mine.contains { $0["uid"].string == reference.uid && $0["controller"].bool == true } }
            if isRight { return actions }
            var changed = claim
            let all = others + wanted.map(\.node)
            changed["metadata"]["ownerReferences"] = all.isEmpty ? .null : .list(all)
            return actions + [.update(.persistentVolumeClaims, changed)]
        }
    }
}

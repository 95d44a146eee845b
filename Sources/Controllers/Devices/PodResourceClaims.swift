package import Client
package import Core
import Kinds
package import Machinery
import Schema
import Tree

/// Makes the claims of pods that name templates, writes their names into the pods, and reserves what pods use that somebody bound
/// without a scheduler's help.
package struct PodResourceClaims: Controller {
    package init() {}
    package var name: String { "resourceclaim-controller" }

    /// Pods by the claims they use.
    static let byClaim = ObjectTable.Index("resource-claim") { pod in PodClaims(pod).claimNames.map { "\(pod.namespace)/\($0)" } }
    static let byTemplate = ObjectTable.Index("resource-claim-template") { pod in
        PodClaims(pod).references.compactMap { $0.template.map { "\(pod.namespace)/\($0)" } }
    }

    package var triggers: [Trigger] {
        [
            Trigger(.pods, indexes: [PodResourceClaims.byClaim, PodResourceClaims.byTemplate]) { change, _ in
                guard let pod = change.new, !pod["spec"]["resourceClaims"].isEmpty else { return [] }
                return [change.key]
            },
            Trigger(.resourceClaims, indexes: [.owner]) { change, view in
                var keys = view.read { Array($0[.pods].keys("resource-claim", change.key.description)) }
                if let owner = (change.new ?? change.old)?.controllerOwner, owner.kind == "Pod" {
                    let key = ObjectKey(change.key.namespace, owner.name)
                    if !keys.contains(key) { keys.append(key) }
                }
                return keys
            },
            Trigger(.resourceClaimTemplates) { change, view in
                view.read { Array($0[.pods].keys("resource-claim-template", change.key.description)) }
            },
        ]
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let pod = state.get(.pods, key), !pod.isBeingDeleted, !PodClaims.isDone(pod) else { return .nothing }
        var plan = Plan()
        var made: [Node] = []
        let claims = PodClaims(pod)
        for reference in claims.references where !reference.isUnneeded {
            guard let template = reference.template else { continue }
            if let name = reference.claim, let claim = state.get(.resourceClaims, key.namespace, name), PodClaims.owns(pod, claim) { continue }
            // One that was made by a plan that ended before the pod heard of it.
            let orphan = state.owned(.resourceClaims, by: pod.uid).first { $0.annotations[PodClaims.podClaimAnnotation] == reference.name }
            if let orphan {
                made.append(["name": .string(reference.name), "resourceClaimName": .string(orphan.name)])
                continue
            }
            guard let source = state.get(.resourceClaimTemplates, key.namespace, template) else {
                let message = "PodResourceClaim \(reference.name): resource claim template \"\(template)\": resourceclaimtemplate.resource.k8s.io \"\(template)\" not found"
                return Plan(plan.actions + [.event(Event(pod, .warning, reason: "FailedResourceClaimCreation", message: message))])
            }
            plan.actions.append(.create(.resourceClaims, PodResourceClaims.claim(pod, reference.name, source)))
        }
        if !made.isEmpty {
            plan.actions.append(.patch(.pods, key, .strategic, ["metadata": ["uid": .string(pod.uid)], "status": ["resourceClaimStatuses": .list(made)]], subresource: "status"))
        }
        if plan.actions.isEmpty, !(pod["spec"]["nodeName"].string ?? "").isEmpty { plan.actions = reservations(pod, claims, state) }
        return plan
    }

    /// The scheduler reserves as it binds; pods that came to their node otherwise are reserved for here.
    private func reservations(_ pod: Node, _ claims: PodClaims, _ state: borrowing ClusterState) -> [Action] {
        var actions: [Action] = []
        for reference in claims.references {
            guard let name = reference.claim, var claim = state.get(.resourceClaims, pod.namespace, name) else { continue }
            if reference.template != nil, !PodClaims.owns(pod, claim) { continue }
            let consumers = claim["status"]["reservedFor"].list
            guard !claim["status"]["allocation"].isNull, !PodClaims.isReserved(claim, for: pod), consumers.count < PodClaims.mostConsumers else { continue }
            claim["status"]["reservedFor"] = .list(consumers + [PodClaims.consumer(pod)])
            actions.append(.updateStatus(.resourceClaims, claim))
        }
        return actions
    }

    private static func claim(_ pod: Node, _ name: String, _ template: Node) -> Node {
        let metadata = template["spec"]["metadata"]
        var annotations = metadata["annotations"].stringMap
        annotations[PodClaims.podClaimAnnotation] = name
        var claim: Node = [
            "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
            "metadata": [
                "generateName": .string(generatedName(pod.name, name)), "namespace": .string(pod.namespace), "annotations": Node(annotations),
                "ownerReferences": [
                    ["apiVersion": "v1", "kind": "Pod", "name": .string(pod.name), "uid": .string(pod.uid), "controller": true]
                ],
            ],
            "spec": template["spec"]["spec"],
        ]
        if !metadata["labels"].isEmpty { claim["metadata"]["labels"] = metadata["labels"] }
        return claim
    }

    /// Room for five random characters and a hyphen; both names are shortened in proportion.
    static func generatedName(_ pod: String, _ claim: String) -> String {
        let most = 57
        let whole = "\(pod)-\(claim)-"
        guard whole.utf8.count > most else { return whole }
        let head = "\(pod.prefix(pod.utf8.count * most / whole.utf8.count))-"
        return head + "\(claim.prefix(claim.utf8.count * most / whole.utf8.count))"
    }

    package func plan(afterRefusal of: Action, _ error: APIError, _ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> [Action] {
        guard let pod = state.get(.pods, key), case .create(_, let claim, _) = of else { return [] }
        let name = claim.annotations[PodClaims.podClaimAnnotation] ?? ""
        return [.event(Event(pod, .warning, reason: "FailedResourceClaimCreation", message: "PodResourceClaim \(name): create ResourceClaim : \(error.message)"))]
    }
}

package import Client
package import Core
import Kinds
import Machinery
import Schema
import Tree

/// Makes the resource claims that pods want from templates, and tells the pods their names.
package struct PodResourceClaims: Controller {
    package init() {}
    package var name: String { "resource-claim-controller" }
    /// Upstream's, by which a claim is known to be for one entry of its pod.
    static let entry = "resource.kubernetes.io/pod-claim-name"

    package var triggers: [Trigger] {
        [
            Trigger(.pods) { change, _ in change.new.map { !PodResourceClaims.templates($0).isEmpty } == true ? [change.key] : [] },
            .owned(.resourceClaims, byKind: "Pod"),
            Trigger(.resourceClaimTemplates) { change, view in
                guard change.old == nil else { return [] }
                return view.read { state in
                    state[.pods].objects.values.filter { pod in
                        pod.namespace == change.key.namespace && PodResourceClaims.templates(pod).contains { $0["resourceClaimTemplateName"].string == change.key.name }
                    }.map { ObjectKey($0.namespace, $0.name) }
                }
            },
        ]
    }

    private static func templates(_ pod: Node) -> [Node] { pod["spec"]["resourceClaims"].list.filter { !$0["resourceClaimTemplateName"].isNull } }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let pod = state.get(.pods, key), !pod.isBeingDeleted, !PodView(pod).isTerminal else { return .nothing }
        var plan = Plan()
        var told = Dictionary(pod["status"]["resourceClaimStatuses"].list.map { ($0["name"].string ?? "", $0["resourceClaimName"].string) }) { first, _ in first }
        let before = told
        let owned = state.owned(.resourceClaims, by: pod.uid)
        for wanted in PodResourceClaims.templates(pod) {
            let entry = wanted["name"].string ?? ""
            let existing = owned.first { $0.annotations[PodResourceClaims.entry] == entry && !$0.isBeingDeleted }
            if let existing {
                told[entry] = existing.name
                continue
            }
            let templateName = wanted["resourceClaimTemplateName"].string ?? ""
            guard let template = state.get(.resourceClaimTemplates, key.namespace, templateName) else {
                let message = "PodResourceClaim \(entry): resource claim template \"\(templateName)\": resourceclaimtemplate.resource.k8s.io \"\(templateName)\" not found"
                plan.actions.append(.event(Event(pod, .warning, reason: "FailedResourceClaimCreation", message: message)))
                continue
            }
            plan.actions.append(.create(.resourceClaims, PodResourceClaims.claim(pod, entry, template)))
        }
        if told != before {
            let list = told.sorted { $0.key < $1.key }.map { name, claim -> Node in
                claim.map { ["name": .string(name), "resourceClaimName": .string($0)] } ?? ["name": .string(name)]
            }
            plan.actions.append(
                .patch(
                    .pods, key, .strategic, ["metadata": ["uid": .string(pod.uid)], "status": ["resourceClaimStatuses": .list(list)]], subresource: "status"))
        }
        return plan
    }

    private static func claim(_ pod: Node, _ entry: String, _ template: Node) -> Node {
        let metadata = template["spec"]["metadata"]
        var annotations = metadata["annotations"].stringMap
        annotations[PodResourceClaims.entry] = entry
        var owner = OwnerReference(controller: pod, apiVersion: "v1", kind: "Pod").node
        owner["blockOwnerDeletion"] = true
        var out: Node = [
            "generateName": .string("\(pod.name)-\(entry)-"), "namespace": .string(pod.namespace), "annotations": Node(annotations), "ownerReferences": [owner],
        ]
        if !metadata["labels"].isEmpty { out["labels"] = metadata["labels"] }
        return ["apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": out, "spec": template["spec"]["spec"]]
    }
}

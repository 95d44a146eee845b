import Machinery
package import Tree

/// Which resource claims a pod uses, by the names that the pod gives them.
package struct PodClaims: Sendable {
    package struct Reference: Sendable {
        /// As the pod's containers say it.
        package let name: String
        package let template: String?
        /// Nil while the claim has not been made from its template.
        package let claim: String?
        /// The controller decided that none is needed.
        package let isUnneeded: Bool
    }

    package let references: [Reference]
    /// The claim made for the extended resources that devices stand for.
    package let extended: String?

    package init(_ pod: Node) {
        let statuses = pod["status"]["resourceClaimStatuses"].list
        references = pod["spec"]["resourceClaims"].list.map { entry in
            let name = entry["name"].string ?? ""
            if let claim = entry["resourceClaimName"].string { return Reference(name: name, template: nil, claim: claim, isUnneeded: false) }
            let status = statuses.first { $0["name"].string == name }
            let made = status?["resourceClaimName"].string
            return Reference(name: name, template: entry["resourceClaimTemplateName"].string, claim: made, isUnneeded: status != nil && made == nil)
        }
        extended = pod["status"]["extendedResourceClaimStatus"]["resourceClaimName"].string
    }

    package var isEmpty: Bool { references.isEmpty && extended == nil }
    /// The names of the claims that exist or should, without those of unmade ones.
    package var claimNames: [String] { references.compactMap(\.claim) + (extended.map { [$0] } ?? []) }

    /// Nobody will run this pod any more.
    package static func isDone(_ pod: Node) -> Bool {
        let phase = pod["status"]["phase"].string
        return phase == "Succeeded" || phase == "Failed" || (pod.isBeingDeleted && (pod["spec"]["nodeName"].string ?? "").isEmpty)
    }

    /// A claim that was generated belongs to the pod alone.
    package static func owns(_ pod: Node, _ claim: Node) -> Bool {
        claim["metadata"]["ownerReferences"].list.contains { $0["controller"].bool == true && $0["uid"].string == pod.uid }
    }

    package static func isReserved(_ claim: Node, for pod: Node) -> Bool {
        claim["status"]["reservedFor"].list.contains { $0["uid"].string == pod.uid }
    }

    /// The entry of `reservedFor` that stands for a pod.
    package static func consumer(_ pod: Node) -> Node { ["resource": "pods", "name": .string(pod.name), "uid": .string(pod.uid)] }

    package static let finalizer = "resource.kubernetes.io/delete-protection"
    package static let podClaimAnnotation = "resource.kubernetes.io/pod-claim-name"
    package static let extendedAnnotation = "resource.kubernetes.io/extended-resource-claim"
    package static let mostConsumers = 256
}

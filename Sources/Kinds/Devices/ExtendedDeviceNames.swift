package import Machinery
package import Tree

/// The names of extended resources by which pods may ask for devices of classes, and what claims count for under them: a device counts
/// the same whichever way it was asked for.
package struct ExtendedDeviceNames: Sendable {
    package static let collection = "resource.k8s.io/resourceclaims"
    private static let requests = "requests."
    private static let implicit = "deviceclass.resource.kubernetes.io/"

    /// By class, for those that have one.
    private let names: [String: String]

    package init(classes: [Node]) {
        var names: [String: String] = [:]
        for one in classes { if let name = one["spec"]["extendedResourceName"].string, !name.isEmpty { names[one.name] = name } }
        self.names = names
    }

    package var isEmpty: Bool { names.isEmpty }

    /// Whether a limited resource is about devices that claims may ask for.
    package func isCounted(_ resource: String) -> Bool {
        guard resource.hasPrefix(ExtendedDeviceNames.requests) else { return false }
        let name = resource.dropFirst(ExtendedDeviceNames.requests.count)
        if name.hasPrefix(ExtendedDeviceNames.implicit) { return names[String(name.dropFirst(ExtendedDeviceNames.implicit.count))] != nil }
        return names.values.contains { $0 == name }
    }

    /// What a claim counts for. `pod` is whose extended resources the claim was made for: what it is charged with already does not
    /// count again.
    package func usage(of claim: Node, pod: Node?) -> [String: Quantity] {
        var usage = QuotaUsage.of(claim, collection: ExtendedDeviceNames.collection)
        let charged = pod.map { QuotaUsage.of($0, collection: "pods") } ?? [:]
        var extended: [String: Quantity] = [:]
        for (resource, amount) in usage where resource.hasSuffix(QuotaUsage.classSuffix) {
            let name = String(resource.dropLast(QuotaUsage.classSuffix.count))
            extended[ExtendedDeviceNames.requests + ExtendedDeviceNames.implicit + name] = amount
            if let other = names[name] { extended[ExtendedDeviceNames.requests + other] = amount }
        }
        for (name, amount) in extended {
            let rest = amount - (charged[name] ?? .zero)
            if rest.sign > 0 { usage[name] = rest }
        }
        return usage
    }

    /// The pod whose extended resources a claim stands for, where the two agree on that. `pod` finds one of the claim's namespace by
    /// its name, `claims` are all of that namespace.
    package static func owner(of claim: Node, pod: (String) -> Node?, claims: () -> [Node]) -> Node? {
        func owner(_ claim: Node) -> Node? {
            guard claim.annotations[PodClaims.extendedAnnotation] == "true" else { return nil }
            return claim["metadata"]["ownerReferences"].list.first { $0["controller"].bool == true && $0["kind"] == "Pod" && $0["apiVersion"] == "v1" }
        }
        guard let reference = owner(claim), let found = pod(reference["name"].string ?? ""), found.uid == reference["uid"].string else { return nil }
        let named = found["status"]["extendedResourceClaimStatus"]["resourceClaimName"].string
        if let named { return named == claim.name ? found : nil }
        // A pod that does not say which one is its own has the oldest.
        func order(_ claim: Node) -> (String, String) { (claim["metadata"]["creationTimestamp"].string ?? "~", claim.name) }
        let hasOlder = claims().contains { $0.name != claim.name && owner($0)?["uid"] == reference["uid"] && order($0) < order(claim) }
        return hasOlder ? nil : found
    }
}

import Machinery
import Tree

/// Names of what containers ask for and quotas count: the native ones, and those that carry a domain.
enum ResourceNames {
    private static let container: Set<String> = ["cpu", "memory", "ephemeral-storage"]
    private static let quota: Set<String> = [
        "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage", "requests.ephemeral-storage", "limits.cpu",
        "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers", "secrets",
        "persistentvolumeclaims", "configmaps", "services.nodeports", "services.loadbalancers",
    ]
    private static let standard = quota.union(["storage"])

    /// Objects that are counted come whole.
    static func isWhole(_ name: String) -> Bool { whole.contains(name) }
    private static let whole: Set<String> = [
        "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims", "services.nodeports",
        "services.loadbalancers",
    ]

    static func isStandardQuota(_ name: String) -> Bool { quota.contains(name) || isHugePages(name) || name.hasPrefix("requests.hugepages-") }
    static func isHugePages(_ name: String) -> Bool { name.hasPrefix("hugepages-") }
    static func isNative(_ name: String) -> Bool { !name.contains("/") || name.contains("kubernetes.io/") }
    static func isExtended(_ name: String) -> Bool {
        !isNative(name) && !name.hasPrefix("requests.") && NameFormat.qualifiedName("requests." + name).isEmpty
    }
    static func allowsOvercommit(_ name: String) -> Bool { isNative(name) && !isHugePages(name) }
    static func isStandard(_ name: String) -> Bool { standard.contains(name) || isHugePages(name) || name.hasPrefix("requests.hugepages-") }

    /// What is wrong with any resource's name.
    static func errors(_ name: String) -> [String] {
        let malformed = NameFormat.qualifiedName(name)
        if !malformed.isEmpty { return malformed }
        return name.contains("/") || isStandard(name) ? [] : ["must be a standard resource type or fully qualified"]
    }

    static func containerErrors(_ name: String) -> [String] {
        var found = errors(name)
        if !name.contains("/") {
            if !container.contains(name), !isHugePages(name) { found.append("must be a standard resource for containers") }
        } else if !isNative(name), !isExtended(name) {
            found.append("doesn't follow extended resource name standard")
        }
        return found
    }

    static func quotaErrors(_ name: String) -> [String] {
        if name.hasPrefix("count/") { return NameFormat.qualifiedName(name) }
        var found = errors(name)
        if !name.contains("/"), !quota.contains(name), !isHugePages(name), !name.hasPrefix("requests.hugepages-") {
            found.append("must be a standard resource for quota")
        }
        return found
    }
}

extension Findings {
    /// An amount of a resource: not negative, and whole where nothing can be divided.
    mutating func quantity(_ path: NodePath, _ value: Node, of name: String) {
        guard let amount = PodRequests.quantity(value) else { return }
        let shown = Node.string(amount.description)
        if amount.sign < 0 { invalid(path, shown, Findings.negative) }
        if ResourceNames.isExtended(name) || ResourceNames.isWhole(name), amount.milliValue % 1000 != 0 { invalid(path, shown, "must be an integer") }
    }

    /// The `resources` of a container or pod.
    mutating func resources(_ path: NodePath, _ resources: Node, claims: Set<String>, names: (String) -> [String] = ResourceNames.containerErrors) {
        let (limits, requests) = (path.child("limits"), path.child("requests"))
        for (name, value) in resources["limits"].fields {
            format(limits.entry(name), name, names)
            quantity(limits.entry(name), value, of: name)
        }
        for (name, value) in resources["requests"].fields {
            format(requests.entry(name), name, names)
            quantity(requests.entry(name), value, of: name)
            guard let amount = PodRequests.quantity(value) else { continue }
            if let limit = PodRequests.quantity(resources["limits"][name]) {
                if amount != limit, !ResourceNames.allowsOvercommit(name) {
                    invalid(requests, .string(amount.description), "must be equal to \(name) limit of \(limit)")
                } else if amount > limit {
                    invalid(requests, .string(amount.description), "must be less than or equal to \(name) limit of \(limit)")
                }
            } else if !ResourceNames.allowsOvercommit(name) {
                required(limits, "Limit must be set for non overcommitable resources")
            }
        }
        let asked = (Array(resources["limits"].fields.keys) + Array(resources["requests"].fields.keys))
        if asked.contains(where: ResourceNames.isHugePages), !asked.contains("cpu"), !asked.contains("memory") {
            forbidden(path, "HugePages require cpu or memory")
        }
        claimReferences(path.child("claims"), resources["claims"].list, claims)
    }

    /// Which of the pod's claims a container uses: whole ones, or one request of them, none twice.
    private mutating func claimReferences(_ path: NodePath, _ references: [Node], _ claims: Set<String>) {
        var seen: Set<String> = []
        for (index, reference) in references.enumerated() {
            let (at, name, request) = (path.element(index), reference["name"].string ?? "", reference["request"].string ?? "")
            if name.isEmpty {
                required(at)
                continue
            }
            let key = request.isEmpty ? name : "\(name)/\(request)"
            if seen.contains(name) {
                duplicate(at, name)
            } else {
                if !request.isEmpty { format(at.child("request"), request, NameFormat.dnsLabel) }
                if seen.contains(key) || (request.isEmpty && seen.contains { $0.hasPrefix(name + "/") }) { duplicate(at, key) }
                seen.insert(key)
            }
            if !claims.contains(name) {
                let known = claims.isEmpty ? " which is empty" : ": " + claims.sorted().joined(separator: ", ")
                add(.notFound("\(at)", FieldError.quoted(name) + ": must be one of the names in pod.spec.resourceClaims" + known))
            }
        }
    }
}

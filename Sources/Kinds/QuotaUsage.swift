package import Machinery
package import Tree

/// What an object counts against quotas, and which quotas it falls under. Admission charges by it, and the quota controller
/// recounts by it, so the two agree.
package enum QuotaUsage {
    /// `collection` is the group and plural: `pods`, `apps/deployments`.
    package static func of(_ object: Node, collection: String, isAlive: Bool = true) -> [String: Quantity] {
        let one = Quantity(1)
        var usage = [countName(collection): one]
        switch collection {
        case "pods":
            let phase = object["status"]["phase"].string
            guard isAlive, phase != "Failed", phase != "Succeeded" else { return usage }
            compute(PodRequests.total(object, "requests"), PodRequests.total(object, "limits"), &usage)
        case "services": services(object, &usage)
        case "persistentvolumeclaims": claims(object, &usage)
        case "resource.k8s.io/resourceclaims": devices(object, &usage)
        case "configmaps", "resourcequotas", "replicationcontrollers", "secrets": usage[collection] = one
        default: break
        }
        return usage
    }

    /// `count/pods`, `count/deployments.apps`.
    package static func countName(_ collection: String) -> String {
        let parts = collection.split(separator: "/")
        return parts.count == 2 ? "count/\(parts[1]).\(parts[0])" : "count/\(collection)"
    }

    private static func compute(_ requests: [String: Quantity], _ limits: [String: Quantity], _ usage: inout [String: Quantity]) {
        usage["pods"] = Quantity(1)
        for name in ["cpu", "memory", "ephemeral-storage"] {
            if let amount = requests[name] {
                usage[name] = amount
                usage["requests.\(name)"] = amount
            }
            if let amount = limits[name] { usage["limits.\(name)"] = amount }
        }
        for (name, amount) in requests where name.hasPrefix("hugepages-") || name.contains("/") {
            if name.hasPrefix("hugepages-") { usage[name] = amount }
            usage["requests.\(name)"] = amount
        }
    }

    private static func services(_ service: Node, _ usage: inout [String: Quantity]) {
        let ports = service["spec"]["ports"].list
        usage["services"] = Quantity(1)
        usage["services.loadbalancers"] = .zero
        usage["services.nodeports"] = .zero
        switch service["spec"]["type"].string {
        case "NodePort": usage["services.nodeports"] = Quantity(Int64(ports.count))
        case "LoadBalancer":
            let takesPorts = service["spec"]["allocateLoadBalancerNodePorts"].bool ?? true
            let count = takesPorts ? ports.count : ports.filter { ($0["nodePort"].int ?? 0) != 0 }.count
            usage["services.nodeports"] = Quantity(Int64(count))
            usage["services.loadbalancers"] = Quantity(1)
        default: break
        }
    }

    private static func claims(_ claim: Node, _ usage: inout [String: Quantity]) {
        let named = claim.annotations["volume.beta.kubernetes.io/storage-class"] ?? claim["spec"]["storageClassName"].string ?? ""
        let prefix = named.isEmpty ? nil : "\(named).storageclass.storage.k8s.io/"
        usage["persistentvolumeclaims"] = Quantity(1)
        if let prefix { usage[prefix + "persistentvolumeclaims"] = Quantity(1) }
        guard let storage = PodRequests.quantity(claim["spec"]["resources"]["requests"]["storage"]) else { return }
        usage["requests.storage"] = storage
        if let prefix { usage[prefix + "requests.storage"] = storage }
    }

    static let classSuffix = ".deviceclass.resource.k8s.io/devices"

    /// As many devices of each class as the requests of a ResourceClaim may get at most.
    private static func devices(_ claim: Node, _ usage: inout [String: Quantity]) {
        /// Of one request: a class, and how many.
        func most(_ request: Node) -> (String, Int64) {
            let name = (request["deviceClassName"].string ?? "") + classSuffix
            switch request["allocationMode"].string ?? "ExactCount" {
            case "ExactCount": return (name, request["count"].int ?? 1)
            case "All": return (name, 32)
            default: return (name, 0)
            }
        }
        for request in claim["spec"]["devices"]["requests"].list {
            var worst: [String: Int64] = [:]
            let alternatives = request["firstAvailable"].list
            // v1beta1 has the fields of `exactly` in the request itself.
            for one in alternatives.isEmpty ? [request["exactly"].isNull ? request : request["exactly"]] : alternatives {
                let (name, count) = most(one)
                worst[name] = max(worst[name] ?? 0, count)
            }
            for (name, count) in worst where name != classSuffix { usage[name] = (usage[name] ?? .zero) + Quantity(count) }
        }
    }

    // MARK: - Which quotas

    /// Whether an object falls under a quota: one of its scopes' conditions fails, or none of its resources is about the object, and it does not.
    package static func matches(_ quota: Node, _ object: Node, collection: String, _ devices: ExtendedDeviceNames? = nil) -> Bool {
        guard !restricted(quota, collection: collection, devices).isEmpty else { return false }
        let scopes = quota["spec"]["scopes"].stringList.map { (name: $0, op: "Exists", values: [String]()) }
            + quota["spec"]["scopeSelector"]["matchExpressions"].list.map {
                (name: $0["scopeName"].string ?? "", op: $0["operator"].string ?? "", values: $0["values"].stringList)
            }
        return scopes.allSatisfy { scope in
            switch collection {
            case "pods": podMatches(object, scope.name, scope.op, scope.values)
            case "persistentvolumeclaims": claimMatches(object, scope.name, scope.op, scope.values)
            default: false
            }
        }
    }

    /// The limited resources of a quota (its `status.hard`) that objects of a collection consume.
    package static func restricted(_ quota: Node, collection: String, _ devices: ExtendedDeviceNames? = nil) -> [String] {
        quota["status"]["hard"].fields.map(\.key).filter { name in
            isCounted(name, collection) || (collection == ExtendedDeviceNames.collection && devices?.isCounted(name) ?? false)
        }
    }

    private static let computeNames: Set<String> = [
        "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
        "limits.ephemeral-storage", "pods",
    ]

    /// Whether objects of a collection count against a limited resource.
    package static func isCounted(_ name: String, _ collection: String) -> Bool {
        if name == countName(collection) { return true }
        switch collection {
        case "pods":
            if computeNames.contains(name) || name.hasPrefix("hugepages-") || name.hasPrefix("requests.hugepages-") { return true }
            return name.hasPrefix("requests.") && name.contains("/") && !name.contains(".storageclass.storage.k8s.io/")
        case "services": return ["services", "services.nodeports", "services.loadbalancers"].contains(name)
        case "persistentvolumeclaims":
            return ["persistentvolumeclaims", "requests.storage"].contains(name) || name.contains(".storageclass.storage.k8s.io/")
        case "resource.k8s.io/resourceclaims": return name.hasSuffix(classSuffix)
        case "configmaps", "resourcequotas", "replicationcontrollers", "secrets": return name == collection
        default: return false
        }
    }

    private static func podMatches(_ pod: Node, _ scope: String, _ op: String, _ values: [String]) -> Bool {
        switch scope {
        case "Terminating": return !pod["spec"]["activeDeadlineSeconds"].isNull
        case "NotTerminating": return pod["spec"]["activeDeadlineSeconds"].isNull
        case "BestEffort": return isBestEffort(pod)
        case "NotBestEffort": return !isBestEffort(pod)
        case "PriorityClass":
            let name = pod["spec"]["priorityClassName"].string ?? ""
            switch op {
            case "Exists": return !name.isEmpty
            case "DoesNotExist": return name.isEmpty
            case "In": return !name.isEmpty && values.contains(name)
            case "NotIn": return !values.contains(name)
            default: return false
            }
        case "CrossNamespacePodAffinity": return crossesNamespaces(pod)
        default: return false
        }
    }

    /// By the classes of attributes that a claim has, is given, or asks for.
    private static func claimMatches(_ claim: Node, _ scope: String, _ op: String, _ values: [String]) -> Bool {
        guard scope == "VolumeAttributesClass" else { return false }
        let status = claim["status"]
        let names = [
            claim["spec"]["volumeAttributesClassName"], status["currentVolumeAttributesClassName"], status["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
        ].compactMap(\.string).filter { !$0.isEmpty }
        switch op {
        case "Exists": return !names.isEmpty
        case "DoesNotExist": return names.isEmpty
        case "In": return names.contains(where: values.contains)
        case "NotIn": return names.isEmpty || names.contains { !values.contains($0) }
        default: return false
        }
    }

    private static func isBestEffort(_ pod: Node) -> Bool {
        if !pod["spec"]["resources"]["requests"].fields.isEmpty || !pod["spec"]["resources"]["limits"].fields.isEmpty { return false }
        return (pod["spec"]["containers"].list + pod["spec"]["initContainers"].list).allSatisfy { container in
            ["requests", "limits"].allSatisfy { field in
                container["resources"][field].fields.allSatisfy { name, value in
                    (name != "cpu" && name != "memory") || PodRequests.quantity(value)?.isZero ?? true
                }
            }
        }
    }

    private static func crossesNamespaces(_ pod: Node) -> Bool {
        let affinity = pod["spec"]["affinity"]
        var terms: [Node] = []
        for kind in ["podAffinity", "podAntiAffinity"] {
            terms += affinity[kind]["requiredDuringSchedulingIgnoredDuringExecution"].list
            terms += affinity[kind]["preferredDuringSchedulingIgnoredDuringExecution"].list.map { $0["podAffinityTerm"] }
        }
        return terms.contains { !$0["namespaces"].list.isEmpty || !$0["namespaceSelector"].isNull }
    }
}

import Machinery
import Tree

/// The rules of a claim's status: what is allocated stays, what is reserved is allocated, device statuses are of allocated devices.
struct ResourceClaimStatusRules {
    private var findings = Findings()

    static func errors(_ claim: Node, old: Node) -> [FieldError] {
        var rules = ResourceClaimStatusRules()
        rules.run(claim, old)
        return rules.findings.errors
    }

    /// What tells one allocated device (and, of a device that is shared, one share) from another.
    static func key(_ device: Node) -> String {
        let id = "\(device["driver"].string ?? "")/\(device["pool"].string ?? "")/\(device["device"].string ?? "")"
        return device["shareID"].string.map { id + "/" + $0 } ?? id
    }

    private mutating func run(_ claim: Node, _ old: Node) {
        let (status, before, path) = (claim["status"], old["status"], NodePath([.key("status")]))
        let consumers = status["reservedFor"].list
        let reserved = path.child("reservedFor")
        if DeviceFormat.fits(reserved, consumers, 256, &findings) {
            for (index, consumer) in consumers.enumerated() {
                for field in ["resource", "name", "uid"] { findings.present(reserved.element(index).child(field), consumer[field]) }
            }
            DeviceFormat.unique(reserved, consumers.map { $0["uid"].string ?? "" }, &findings)
        }
        let allocation = status["allocation"]
        let allocated = Set(allocation["devices"]["results"].list.map(ResourceClaimStatusRules.key))
        let devices = status["devices"].list
        for (index, device) in devices.enumerated() { self.device(path.child("devices").element(index), device, allocated) }
        DeviceFormat.unique(path.child("devices"), devices.map(ResourceClaimStatusRules.key), &findings)
        if !consumers.isEmpty {
            if allocation.isNull {
                findings.forbidden(reserved, "may not be specified when `allocated` is not set")
            } else if claim.isBeingDeleted, !Set(consumers).subtracting(before["reservedFor"].list).isEmpty {
                findings.forbidden(reserved, "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set")
            }
        }
        guard !allocation.isNull else { return }
        if before["allocation"].isNull {
            self.allocation(path.child("allocation"), allocation, RequestNames(claim["spec"]["devices"]))
        } else {
            findings.immutable(path.child("allocation"), allocation, before["allocation"])
        }
    }

    private mutating func allocation(_ path: NodePath, _ allocation: Node, _ names: RequestNames) {
        let at = path.child("devices").child("results")
        let results = allocation["devices"]["results"].list
        if DeviceFormat.fits(at, results, 32, &findings) {
            for (index, result) in results.enumerated() {
                let place = at.element(index)
                names.check(place.child("request"), result["request"].string ?? "", &findings)
                identity(place, result)
                DeviceFormat.bindingConditions(place, result, &findings)
            }
        }
        let configs = allocation["devices"]["config"].list
        let place = path.child("devices").child("config")
        if DeviceFormat.fits(place, configs, 64, &findings) {
            for (index, config) in configs.enumerated() {
                let at = place.element(index)
                if config["source"].isEmpty { findings.required(at.child("source")) } else { findings.oneOf(at.child("source"), config["source"], ["FromClaim", "FromClass"]) }
                names.check(at.child("requests"), config["requests"].stringList, &findings)
                DeviceFormat.configuration(at, config, &findings)
            }
        }
        if !allocation["nodeSelector"].isNull { findings.nodeSelector(allocation["nodeSelector"], path.child("nodeSelector")) }
    }

    private mutating func identity(_ path: NodePath, _ device: Node) {
        findings.driver(path.child("driver"), device["driver"])
        DeviceFormat.poolName(path.child("pool"), device["pool"], &findings)
        findings.format(path.child("device"), device["device"].string ?? "", NameFormat.dnsLabel)
    }

    private mutating func device(_ path: NodePath, _ device: Node, _ allocated: Set<String>) {
        identity(path, device)
        if !allocated.contains(ResourceClaimStatusRules.key(device)) {
            let id = device["shareID"].string.map { Node.string(ResourceClaimStatusRules.key(device).dropLast($0.utf8.count + 1) + "/" + $0) }
            findings.invalid(path, id ?? .string(ResourceClaimStatusRules.key(device)), "must be an allocated device in the claim")
        }
        let conditions = device["conditions"].list
        if conditions.count > 8 { findings.add(.tooMany("\(path.child("conditions"))", actual: conditions.count, limit: 8)) }
        self.conditions(path.child("conditions"), conditions)
        if !device["data"].isNull { DeviceFormat.raw(path.child("data"), device["data"], &findings) }
        let (network, at) = (device["networkData"], path.child("networkData"))
        for (field, limit) in [("interfaceName", 256), ("hardwareAddress", 128)] where (network[field].string ?? "").utf8.count > limit {
            findings.add(.tooLong("\(at.child(field))", limit: limit))
        }
        let addresses = network["ips"].stringList
        guard DeviceFormat.fits(at.child("ips"), addresses.map(Node.string), 16, &findings) else { return }
        for (index, address) in addresses.enumerated() where !AddressFormat.network(address).isEmpty && !StringFormat.accepts("cidr", address) {
            findings.invalid(at.child("ips").element(index), .string(address), "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)")
        }
        DeviceFormat.unique(at.child("ips"), addresses, &findings)
    }

    private mutating func conditions(_ path: NodePath, _ conditions: [Node]) {
        var seen: Set<String> = []
        for (index, condition) in conditions.enumerated() {
            let at = path.element(index)
            let type = condition["type"].string ?? ""
            if type.isEmpty { findings.required(at.child("type"), "must be set") } else { findings.format(at.child("type"), type, NameFormat.qualifiedName) }
            if !type.isEmpty, !seen.insert(type).inserted { findings.duplicate(at.child("type"), type) }
            let status = condition["status"].string ?? ""
            if !["False", "True", "Unknown"].contains(status) { findings.notSupported(at.child("status"), status, ["False", "True", "Unknown"]) }
            findings.nonNegative(at.child("observedGeneration"), condition["observedGeneration"])
            if condition["lastTransitionTime"].isEmpty { findings.required(at.child("lastTransitionTime"), "must be set") }
            if condition["reason"].isEmpty { findings.required(at.child("reason"), "must be set") }
        }
    }
}

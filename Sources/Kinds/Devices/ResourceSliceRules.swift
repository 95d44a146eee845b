import Machinery
import Tree

/// The rules of what a driver publishes: a pool's slice with devices or counters, on nodes told in one way.
struct ResourceSliceRules {
    private var findings = Findings()
    private let old: Node

    static func errors(_ spec: Node, old: Node) -> [FieldError] {
        var rules = ResourceSliceRules(old: old)
        rules.run(spec, PodStrategy.specPath)
        return rules.findings.errors
    }

    private init(old: Node) { self.old = old }

    private mutating func run(_ spec: Node, _ path: NodePath) {
        findings.driver(path.child("driver"), spec["driver"])
        let (pool, at) = (spec["pool"], path.child("pool"))
        DeviceFormat.poolName(at.child("name"), pool["name"], &findings)
        if (pool["resourceSliceCount"].int ?? 0) <= 0 { findings.positive(at.child("resourceSliceCount"), pool["resourceSliceCount"]) }
        if let generation = pool["generation"].int, generation < 0 {
            findings.invalid(at.child("generation"), .int(generation), "must be greater than or equal to zero")
        }
        nodes(spec, path)
        let devices = spec["devices"].list
        if !spec["sharedCounters"].isNull, !spec["devices"].isNull {
            findings.invalid(path, "", "only one of `sharedCounters` or `devices` is allowed")
        }
        let isAdvanced = devices.contains { !$0["taints"].isEmpty || !$0["consumesCounters"].isEmpty }
        if DeviceFormat.fits(path.child("devices"), devices, isAdvanced ? 64 : 128, &findings) {
            let isPerDevice = spec["perDeviceNodeSelection"].bool == true
            for (index, device) in devices.enumerated() { self.device(path.child("devices").element(index), device, isPerDevice) }
            DeviceFormat.unique(path.child("devices"), devices.map { $0["name"].string ?? "" }, &findings)
        }
        let sets = spec["sharedCounters"].list
        let place = path.child("sharedCounters")
        guard DeviceFormat.fits(place, sets, 8, &findings) else { return }
        for (index, set) in sets.enumerated() {
            findings.named(place.element(index).child("name"), set["name"], NameFormat.dnsLabel)
            counters(place.element(index).child("counters"), set["counters"])
        }
        DeviceFormat.unique(place, sets.map { $0["name"].string ?? "" }, &findings)
    }

    private mutating func counters(_ path: NodePath, _ counters: Node) {
        if counters.isEmpty { return findings.required(path) }
        if counters.fields.count > 32 { return findings.add(.tooMany("\(path)", actual: counters.fields.count, limit: 32)) }
        for (name, _) in counters.fields { findings.format(path, name, NameFormat.dnsLabel) }
    }

    private mutating func nodes(_ spec: Node, _ path: NodePath) {
        var ways: [String] = []
        if let name = spec["nodeName"].string {
            if name.isEmpty {
                findings.invalid(path.child("nodeName"), "", "must be either unset or set to a non-empty string")
            } else {
                ways.append("`nodeName`")
                findings.format(path.child("nodeName"), name, NameFormat.dnsSubdomain)
            }
        }
        if !spec["nodeSelector"].isNull {
            ways.append("`nodeSelector`")
            let terms = spec["nodeSelector"]["nodeSelectorTerms"]
            findings.nodeSelector(spec["nodeSelector"], path.child("nodeSelector"))
            if terms.list.count != 1 {
                findings.invalid(path.child("nodeSelector").child("nodeSelectorTerms"), terms, "must have exactly one node selector term")
            }
        }
        for field in ["allNodes", "perDeviceNodeSelection"] {
            guard let flag = spec[field].bool else { continue }
            if flag { ways.append("`\(field)`") } else { findings.invalid(path.child(field), false, "must be either unset or set to true") }
        }
        let words = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
        if ways.isEmpty { findings.required(path, words) }
        if ways.count > 1 { findings.invalid(path, .string("{\(ways.joined(separator: ", "))}"), words + ", but multiple fields are set") }
    }

    private mutating func nodes(of device: Node, _ path: NodePath, isPerDevice: Bool) {
        guard isPerDevice else {
            if device.has("nodeName") || device.has("nodeSelector") || device.has("allNodes") {
                findings.invalid(
                    path, .null, "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec")
            }
            return
        }
        var ways: [String] = []
        if let name = device["nodeName"].string {
            if name.isEmpty { findings.invalid(path.child("nodeName"), "", "must not be empty") } else {
                ways.append("`nodeName`")
                findings.format(path.child("nodeName"), name, NameFormat.dnsSubdomain)
            }
        }
        if !device["nodeSelector"].isNull {
            ways.append("`nodeSelector`")
            findings.nodeSelector(device["nodeSelector"], path.child("nodeSelector"))
        }
        if let all = device["allNodes"].bool {
            if all { ways.append("`allNodes`") } else { findings.invalid(path.child("allNodes"), false, "must be either unset or set to true") }
        }
        let words = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec"
        if ways.isEmpty { findings.required(path, words) }
        if ways.count > 1 { findings.invalid(path, .string("{\(ways.joined(separator: ", "))}"), words) }
    }

    private mutating func device(_ path: NodePath, _ device: Node, _ isPerDevice: Bool) {
        findings.format(path.child("name"), device["name"].string ?? "", NameFormat.dnsLabel)
        let (attributes, capacity) = (device["attributes"].fields, device["capacity"].fields)
        let count = attributes.count + capacity.count
        if count > 32 { findings.invalid(path, .int(Int64(count)), "the total number of attributes and capacities must not exceed 32") }
        for (name, attribute) in attributes { self.attribute(path.child("attributes"), name, attribute) }
        let isShared = device["allowMultipleAllocations"].bool == true
        for (name, amount) in capacity {
            let at = path.child("capacity")
            DeviceFormat.qualifiedName(at, name, &findings)
            let (policy, place) = (amount["requestPolicy"], at.entry(name).child("requestPolicy"))
            guard !policy.isNull else { continue }
            if !isShared { findings.forbidden(place, "allowMultipleAllocations must be true") } else { findings.add(RequestPolicyRules.errors(policy, of: amount["value"], at: place)) }
        }
        let taints = device["taints"].list
        let before = old["devices"].list.first { $0["name"] == device["name"] }
        if before?["taints"] != device["taints"], DeviceFormat.fits(path.child("taints"), taints, 16, &findings) {
            for (index, taint) in taints.enumerated() { DeviceFormat.taint(path.child("taints").element(index), taint, &findings) }
        }
        let consumptions = device["consumesCounters"].list
        let place = path.child("consumesCounters")
        if DeviceFormat.fits(place, consumptions, 2, &findings) {
            for (index, item) in consumptions.enumerated() {
                findings.named(place.element(index).child("counterSet"), item["counterSet"], NameFormat.dnsLabel)
                counters(place.element(index).child("counters"), item["counters"])
            }
            DeviceFormat.unique(place, consumptions.map { $0["counterSet"].string ?? "" }, &findings)
        }
        nodes(of: device, path, isPerDevice: isPerDevice)
        DeviceFormat.bindingConditions(path, device, &findings)
    }

    private mutating func attribute(_ path: NodePath, _ name: String, _ attribute: Node) {
        DeviceFormat.qualifiedName(path, name, &findings)
        let at = path.entry(name)
        if let text = attribute["string"].string, text.utf8.count > 64 { findings.add(.tooLong("\(at.child("string"))", limit: 64)) }
        if let text = attribute["version"].string {
            if !DeviceExpression.isVersion(text) {
                findings.invalid(at.child("version"), .string(text), "must be a string compatible with semver.org spec 2.0.0")
            }
            if text.utf8.count > 64 { findings.add(.tooLong("\(at.child("version"))", limit: 64)) }
        }
        let set = ["int", "bool", "string", "version"].filter { attribute.has($0) }.count
        if set != 1 { findings.invalid(at, set == 0 ? "" : attribute, "exactly one value must be specified") }
    }
}

/// The rules of how much of a shared device's capacity may be asked for.
struct RequestPolicyRules {
    private var findings = Findings()
    private let capacity: Quantity

    static func errors(_ policy: Node, of capacity: Node, at path: NodePath) -> [FieldError] {
        guard let capacity = PodRequests.quantity(capacity) else { return [] }
        var rules = RequestPolicyRules(capacity: capacity)
        rules.run(policy, path)
        return rules.findings.errors
    }

    private init(capacity: Quantity) { self.capacity = capacity }

    private mutating func run(_ policy: Node, _ path: NodePath) {
        let (values, range) = (policy["validValues"].list, policy["validRange"])
        if !values.isEmpty, !range.isNull {
            return findings.forbidden(path, "exactly one policy can be specified, cannot specify \"validValues\" and \"validRange\" at the same time")
        }
        guard !values.isEmpty || !range.isNull else { return }
        guard let usual = PodRequests.quantity(policy["default"]) else {
            return findings.required(path.child("default"), "required when \(values.isEmpty ? "validRange" : "validValues") is defined")
        }
        if values.isEmpty { self.range(path.child("validRange"), range, usual) } else { self.values(path.child("validValues"), values.compactMap(PodRequests.quantity), usual) }
    }

    private mutating func invalid(_ path: NodePath, _ value: Quantity, _ words: String) { findings.invalid(path, .string(value.description), words) }

    private mutating func values(_ path: NodePath, _ values: [Quantity], _ usual: Quantity) {
        for (index, pair) in zip(values, values.dropFirst()).enumerated() where pair.0 > pair.1 {
            invalid(path.element(index + 1), pair.1, "values must be sorted in ascending order")
        }
        if DeviceFormat.fits(path, values.map { .string($0.description) }, 10, &findings) {
            for (index, value) in values.enumerated() where value > capacity {
                invalid(path.element(index), value, "option is larger than capacity value: \(capacity)")
            }
            DeviceFormat.unique(path, values.map { "\($0.value)" }, &findings)
        }
        if !values.contains(usual) { invalid(path, usual, "default value is not valid according to the requestPolicy") }
    }

    private mutating func range(_ path: NodePath, _ range: Node, _ usual: Quantity) {
        guard let least = PodRequests.quantity(range["min"]) else { return findings.required(path.child("min"), "required when validRange is defined") }
        if least > capacity { invalid(path.child("min"), least, "min is larger than capacity value: \(capacity)") }
        if usual < least { invalid(path.child("min"), usual, "default is less than min: \(least)") }
        let most = PodRequests.quantity(range["max"])
        if let most {
            if least > most { invalid(path.child("max"), least, "min is larger than max: \(most)") }
            if most > capacity { invalid(path.child("max"), most, "max is larger than capacity value: \(capacity)") }
            if usual > most { invalid(path.child("max"), usual, "default is more than max: \(most)") }
        }
        guard let step = PodRequests.quantity(range["step"]) else { return }
        let at = path.child("step")
        if least + step > capacity { invalid(at, step, "one step \(least + step) is larger than capacity value: \(capacity)") }
        for value in [usual, most].compactMap({ $0 }) where step.value == 0 || (value.value - least.value) % step.value != 0 {
            invalid(at, value, "value is not a multiple of a given step (\(step)) from (\(least))")
        }
    }
}

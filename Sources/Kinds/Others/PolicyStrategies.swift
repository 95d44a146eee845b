import Core
package import Machinery
package import Tree

/// Autoscalers: a target, bounds that leave room, metrics of one source each.
package struct AutoscalerStrategy: KindStrategy {
    package init() {}

    private static let kinds = ["Object": "object", "Pods": "pods", "Resource": "resource", "External": "external", "ContainerResource": "containerResource"]

    package func setDefaults(_ object: inout Node) {
        if object["spec"]["minReplicas"].isNull { object["spec"]["minReplicas"] = 1 }
        guard object.apiVersion != "autoscaling/v1" else {
            // The older form of the newer one's default.
            let isSilent = object["spec"]["targetCPUUtilizationPercentage"].isNull && object.annotations["autoscaling.alpha.kubernetes.io/metrics"] == nil
            if isSilent { object["spec"]["targetCPUUtilizationPercentage"] = 80 }
            return
        }
        if object["spec"]["metrics"].isEmpty {
            object["spec"]["metrics"] = [["type": "Resource", "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": 80]]]]
        }
        guard !object["spec"]["behavior"].isNull else { return }
        let percent: Node = ["type": "Percent", "value": 100, "periodSeconds": 15]
        fill(&object["spec"]["behavior"]["scaleUp"], [["type": "Pods", "value": 4, "periodSeconds": 15], percent], stabilization: 0)
        fill(&object["spec"]["behavior"]["scaleDown"], [percent], stabilization: .null)
    }

    private func fill(_ rules: inout Node, _ policies: Node, stabilization: Node) {
        if rules["selectPolicy"].isNull { rules["selectPolicy"] = "Max" }
        if rules["stabilizationWindowSeconds"].isNull { rules["stabilizationWindowSeconds"] = stabilization }
        if rules["policies"].isNull { rules["policies"] = policies }
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        let (low, high) = (spec["minReplicas"].int, spec["maxReplicas"].int ?? 0)
        if let low, low < 1 { findings.invalid(path.child("minReplicas"), .int(low), "must be greater than or equal to 1") }
        if high == 0 {
            findings.required(path.child("maxReplicas"), "must be set and greater than 0")
        } else if high < 0 {
            findings.invalid(path.child("maxReplicas"), .int(high), "must be greater than or equal to 1")
        }
        if let low, high < low { findings.invalid(path.child("maxReplicas"), .int(high), "must be greater than or equal to `minReplicas`") }
        for field in ["kind", "name"] {
            findings.named(path.child("scaleTargetRef").child(field), spec["scaleTargetRef"][field]) { NameFormat.pathSegment($0) }
        }
        let target = spec["scaleTargetRef"]
        if !(target["apiVersion"].string ?? "").contains("/"), target["apiVersion"].string != "v1" || target["kind"].string != "ReplicationController" {
            findings.invalid(path.child("scaleTargetRef").child("apiVersion"), .string(target["apiVersion"].string ?? ""), "apiVersion must specify API group")
        }
        if low == 0, !spec["metrics"].list.contains(where: { $0["type"].string == "Object" || $0["type"].string == "External" }) {
            findings.forbidden(path.child("metrics"), "must specify at least one Object or External metric to support scaling to zero replicas")
        }
        if let share = spec["targetCPUUtilizationPercentage"].int, share < 1 {
            let at = path.child("metrics").element(0).child("resource").child("target").child("averageUtilization")
            findings.invalid(at, .int(share), "must be greater than 0")
        }
        for (index, metric) in spec["metrics"].list.enumerated() { self.metric(metric, path.child("metrics").element(index), &findings) }
        for direction in ["scaleUp", "scaleDown"] where !spec["behavior"][direction].isNull {
            scaling(spec["behavior"][direction], path.child("behavior").child(direction), &findings)
        }
        return findings.errors
    }

    private func metric(_ metric: Node, _ path: NodePath, _ findings: inout Findings) {
        let type = metric["type"].string ?? ""
        if type.isEmpty { findings.required(path.child("type"), "must specify a metric source type") }
        guard let expected = AutoscalerStrategy.kinds[type] else {
            // Upstream finds it twice.
            for _ in 0..<2 { findings.notSupported(path.child("type"), type, AutoscalerStrategy.kinds.keys.sorted()) }
            return
        }
        if metric[expected].isNull { findings.required(path.child(expected), "must populate information for the given metric source") }
        for other in AutoscalerStrategy.kinds.values.sorted() where other != expected && !metric[other].isNull {
            findings.forbidden(path.child(other), "must populate the given metric source only")
        }
        let (source, at) = (metric[expected], path.child(expected))
        guard !source.isNull else { return }
        let target = source["target"]
        if !source["metric"].isNull, source["metric"]["name"].isEmpty { findings.required(at.child("metric").child("name"), "must specify a metric name") }
        if expected.lowercased().contains("resource") {
            if source["name"].isEmpty { findings.required(at.child("name"), "must specify a resource name") }
            if expected == "containerResource" { container(source, at, &findings) }
        }
        let kind = target["type"].string ?? ""
        if kind.isEmpty { findings.required(at.child("target").child("type"), "must specify a metric target type") }
        if !["Utilization", "Value", "AverageValue"].contains(kind) {
            findings.invalid(at.child("target").child("type"), .string(kind), "must be either Utilization, Value, or AverageValue")
        }
        if expected.lowercased().contains("resource") {
            if target["averageUtilization"].isNull, target["averageValue"].isNull {
                findings.required(at.child("target").child("averageUtilization"), "must set either a target raw value or a target utilization")
            }
            if !target["averageUtilization"].isNull, !target["averageValue"].isNull {
                findings.forbidden(at.child("target").child("averageValue"), "may not set both a target raw value and a target utilization")
            }
        }
        let (value, average) = (target["value"], target["averageValue"])
        switch expected {
        case "pods":
            if average.isNull { findings.required(at.child("target").child("averageValue"), "must specify a positive target averageValue") }
        case "object":
            if value.isNull, average.isNull { findings.required(at.child("target").child("averageValue"), "must set either a target value or averageValue") }
        case "external":
            if value.isNull, average.isNull {
                findings.required(at.child("target").child("averageValue"), "must set either a target value for metric or a per-pod target")
            }
        default: break
        }
        if let share = target["averageUtilization"].int, share < 1 {
            findings.invalid(at.child("target").child("averageUtilization"), .int(share), "must be greater than 0")
        }
        for field in ["value", "averageValue"] {
            if let amount = PodRequests.quantity(target[field]), amount.sign <= 0 {
                findings.invalid(at.child("target").child(field), .string(amount.description), "must be positive")
            }
        }
    }

    private func container(_ source: Node, _ path: NodePath, _ findings: inout Findings) {
        if let name = source["name"].string, !name.isEmpty { findings.format(path.child("name"), name, ResourceNames.containerErrors) }
        let container = source["container"].string ?? ""
        if container.isEmpty {
            findings.required(path.child("container"), "must specify a container")
        } else {
            findings.format(path.child("container"), container, NameFormat.dnsLabel)
        }
    }

    private func scaling(_ rules: Node, _ path: NodePath, _ findings: inout Findings) {
        if let window = rules["stabilizationWindowSeconds"].int {
            if window < 0 { findings.invalid(path.child("stabilizationWindowSeconds"), .int(window), "must be greater than or equal to zero") }
            if window > 3600 { findings.invalid(path.child("stabilizationWindowSeconds"), .int(window), "must be less than or equal to 3600") }
        }
        if let select = rules["selectPolicy"].string, !["Disabled", "Max", "Min"].contains(select) {
            findings.notSupported(path.child("selectPolicy"), select, ["Disabled", "Max", "Min"])
        }
        let policies = rules["policies"].list
        if policies.isEmpty { findings.required(path.child("policies"), "must specify at least one Policy") }
        for (index, policy) in policies.enumerated() {
            let at = path.child("policies").element(index)
            let type = policy["type"].string ?? ""
            if type != "Percent", type != "Pods" { findings.notSupported(at.child("type"), type, ["Percent", "Pods"]) }
            if (policy["value"].int ?? 0) <= 0 { findings.invalid(at.child("value"), .int(policy["value"].int ?? 0), "must be greater than zero") }
            let period = policy["periodSeconds"].int ?? 0
            if period <= 0 { findings.invalid(at.child("periodSeconds"), .int(period), "must be greater than zero") }
            if period > 1800 { findings.invalid(at.child("periodSeconds"), .int(period), "must be less than or equal to 1800") }
        }
    }
}

/// Disruption budgets: what must stay or what may go, not both.
package struct DisruptionBudgetStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.allowsUnconditionalUpdate = false
        traits.nameRule = .any
        return traits
    }

    package func validate(_ object: Node) -> [FieldError] {
        let (spec, path) = (object["spec"], PodStrategy.specPath)
        var findings = Findings()
        if !spec["minAvailable"].isNull, !spec["maxUnavailable"].isNull {
            findings.invalid(path, GoStruct.shown(spec, "policy/v1.PodDisruptionBudgetSpec"), "minAvailable and maxUnavailable cannot be both set")
        }
        for field in ["minAvailable", "maxUnavailable"] where !spec[field].isNull {
            findings.amountOrPercent(path.child(field), spec[field])
            findings.atMostAll(path.child(field), spec[field])
        }
        findings.add(LabelSelector.errors(spec["selector"], at: path.child("selector")))
        findings.oneOf(path.child("unhealthyPodEvictionPolicy"), spec["unhealthyPodEvictionPolicy"], ["AlwaysAllow", "IfHealthyBudget"])
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        guard subresource == "status" else { return [] }
        let (status, path) = (object["status"], NodePath([.key("status")]))
        var findings = Findings()
        findings.add(ConditionRules.errors(status["conditions"], at: path.child("conditions")))
        findings.nonNegative(path, fields: ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"], of: status)
        return findings.errors
    }
}

/// Priority classes: a value that stays; the system's are reserved.
package struct PriorityClassStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.hasGeneration = true
        traits.isGenerationFixed = true
        return traits
    }

    private static let system: [String: Int64] = ["system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000]

    package func validate(_ object: Node) -> [FieldError] {
        if object["preemptionPolicy"].string == "" { return [.required("preemptionPolicy")] }
        let value = object["value"].int ?? 0
        if object.name.hasPrefix("system-") {
            let head = "priority class names with 'system-' prefix are reserved for system use only. error: "
            guard let known = PriorityClassStrategy.system[object.name] else {
                return [.forbidden("metadata.name", head + "\(object.name) is not a known system priority class")]
            }
            if value != known { return [.forbidden("metadata.name", head + "value of \(object.name) PriorityClass must be \(known)")] }
            if object["globalDefault"].bool == true { return [.forbidden("metadata.name", head + "globalDefault of \(object.name) PriorityClass must be false")] }
        } else if value > 1_000_000_000 {
            return [.forbidden("value", "maximum allowed value of a user defined priority is 1000000000")]
        }
        return []
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        if (object["value"].int ?? 0) != (old["value"].int ?? 0) { findings.forbidden(NodePath([.key("value")]), "may not be changed in an update.") }
        findings.immutable(NodePath([.key("preemptionPolicy")]), object["preemptionPolicy"], old["preemptionPolicy"])
        return findings.errors
    }
}

/// Storage classes: what they make does not change.
package struct StorageClassStrategy: KindStrategy {
    package init() {}
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.returnsDeletedObject = true
        traits.uncheckedFields = ["reclaimPolicy"]
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        if object["reclaimPolicy"].isNull { object["reclaimPolicy"] = "Delete" }
        if object["volumeBindingMode"].isNull { object["volumeBindingMode"] = "Immediate" }
    }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        let path = NodePath([.key("provisioner")])
        findings.named(path, object["provisioner"].string.map { .string($0.lowercased()) } ?? .null, NameFormat.qualifiedName)
        if object["parameters"].fields.contains(where: { $0.key.isEmpty }) { findings.invalid(NodePath([.key("parameters")]), "", "field can not be empty.") }
        if !object["reclaimPolicy"].isEmpty { findings.oneOf(NodePath([.key("reclaimPolicy")]), object["reclaimPolicy"], ["Delete", "Retain"]) }
        findings.oneOf(NodePath([.key("volumeBindingMode")]), object["volumeBindingMode"], ["Immediate", "WaitForFirstConsumer"])
        topologies(object["allowedTopologies"].list, NodePath([.key("allowedTopologies")]), &findings)
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            findings.immutable(NodePath([.key(field)]), object[field], old[field])
        }
        return findings.errors
    }

    /// No two terms, keys or values of a key are the same.
    private func topologies(_ terms: [Node], _ path: NodePath, _ findings: inout Findings) {
        var seen: [[String: Set<String>]] = []
        for (index, term) in terms.enumerated() {
            let at = path.element(index).child("matchLabelExpressions")
            var values: [String: Set<String>] = [:]
            for (step, expression) in term["matchLabelExpressions"].list.enumerated() {
                let key = expression["key"].string ?? ""
                var own: Set<String> = []
                let place = at.element(step)
                if expression["values"].isEmpty { findings.required(place.child("values")) }
                for (number, value) in expression["values"].stringList.enumerated() where !own.insert(value).inserted {
                    findings.duplicate(place.child("values").element(number), value)
                }
                findings.format(place.child("key"), key, NameFormat.qualifiedName)
                if values.updateValue(own, forKey: key) != nil { findings.duplicate(place.child("key"), key) }
            }
            // Upstream finds a term without expressions to be there already.
            if values.isEmpty || seen.contains(values) { findings.duplicate(at, "") }
            seen.append(values)
        }
    }
}

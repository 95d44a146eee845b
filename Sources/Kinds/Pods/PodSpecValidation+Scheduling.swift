import Machinery
import Tree

extension PodSpecValidation {
    mutating func checkTolerations() { findings.tolerations(spec["tolerations"].list, path.child("tolerations")) }

    mutating func checkSchedulingGates() {
        var seen: Set<String> = []
        for (index, gate) in spec["schedulingGates"].list.enumerated() {
            let at = path.child("schedulingGates").element(index)
            let name = gate["name"].string ?? ""
            findings.format(at, name, NameFormat.qualifiedName)
            if !seen.insert(name).inserted { findings.duplicate(at, name) }
        }
    }

    mutating func checkTopologySpread() {
        let constraints = spec["topologySpreadConstraints"].list
        for (index, constraint) in constraints.enumerated() {
            let at = path.child("topologySpreadConstraints").element(index)
            let (key, action) = (constraint["topologyKey"].string ?? "", constraint["whenUnsatisfiable"].string ?? "")
            findings.positive(at.child("maxSkew"), constraint["maxSkew"])
            if key.isEmpty { findings.required(at.child("topologyKey"), "can not be empty") }
            if !["DoNotSchedule", "ScheduleAnyway"].contains(action) {
                findings.notSupported(at.child("whenUnsatisfiable"), action, ["DoNotSchedule", "ScheduleAnyway"])
            }
            if constraints[(index + 1)...].contains(where: { $0["topologyKey"].string == key && $0["whenUnsatisfiable"].string == action }) {
                findings.duplicate(at.child("{topologyKey, whenUnsatisfiable}"), "{\(key), \(action)}")
            }
            if let domains = constraint["minDomains"].int {
                findings.positive(at.child("minDomains"), .int(domains))
                if action != "DoNotSchedule" {
                    findings.invalid(at.child("minDomains"), .int(domains), "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not \(action)")
                }
            }
            for (step, key) in constraint["matchLabelKeys"].stringList.enumerated() {
                findings.format(at.child("matchLabelKeys").element(step), key, NameFormat.qualifiedName)
            }
            if !constraint["matchLabelKeys"].isEmpty, constraint["labelSelector"].isNull {
                findings.forbidden(at.child("matchLabelKeys"), "must not be specified when labelSelector is not set")
            }
            findings.add(LabelSelector.errors(constraint["labelSelector"], at: at.child("labelSelector")))
        }
    }

    // MARK: - Affinity

    mutating func checkAffinity() {
        let (affinity, path) = (spec["affinity"], path.child("affinity"))
        nodeAffinity(affinity["nodeAffinity"], path.child("nodeAffinity"))
        for field in ["podAffinity", "podAntiAffinity"] {
            let required = path.child(field).child("requiredDuringSchedulingIgnoredDuringExecution")
            for (index, term) in affinity[field]["requiredDuringSchedulingIgnoredDuringExecution"].list.enumerated() { podTerm(term, required.element(index)) }
            let preferred = path.child(field).child("preferredDuringSchedulingIgnoredDuringExecution")
            for (index, weighted) in affinity[field]["preferredDuringSchedulingIgnoredDuringExecution"].list.enumerated() {
                weight(weighted, preferred.element(index))
                podTerm(weighted["podAffinityTerm"], preferred.element(index).child("podAffinityTerm"))
            }
        }
    }

    private mutating func weight(_ term: Node, _ path: NodePath) {
        let weight = term["weight"].int ?? 0
        if !(1...100).contains(weight) { findings.invalid(path.child("weight"), .int(weight), "must be in the range 1-100") }
    }

    private mutating func nodeAffinity(_ affinity: Node, _ path: NodePath) {
        let required = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
        if !required.isNull { findings.nodeSelector(required, path.child("requiredDuringSchedulingIgnoredDuringExecution")) }
        let preferred = path.child("preferredDuringSchedulingIgnoredDuringExecution")
        for (index, term) in affinity["preferredDuringSchedulingIgnoredDuringExecution"].list.enumerated() {
            weight(term, preferred.element(index))
            findings.nodeSelectorTerm(term["preference"], preferred.element(index).child("preference"), checksValues: false)
        }
    }

    private mutating func podTerm(_ term: Node, _ path: NodePath) {
        findings.add(LabelSelector.errors(term["labelSelector"], at: path.child("labelSelector")))
        findings.add(LabelSelector.errors(term["namespaceSelector"], at: path.child("namespaceSelector")))
        for name in term["namespaces"].stringList { findings.format(path.child("namespace"), name, NameFormat.dnsLabel) }
        for field in ["matchLabelKeys", "mismatchLabelKeys"] where !term[field].isEmpty && term["labelSelector"].isNull {
            findings.forbidden(path.child(field), "must not be specified when labelSelector is not set")
        }
        let key = term["topologyKey"].string ?? ""
        if key.isEmpty { findings.required(path.child("topologyKey"), "can not be empty") }
        findings.format(path.child("topologyKey"), key, NameFormat.qualifiedName)
    }

    // MARK: - Security

    mutating func checkSecurityContext() {
        let (context, path) = (spec["securityContext"], path.child("securityContext"))
        for field in ["fsGroup", "runAsUser", "runAsGroup"] { findings.range(path.child(field), context[field], 0...Int64(Int32.max)) }
        for (index, group) in context["supplementalGroups"].list.enumerated() {
            findings.range(path.child("supplementalGroups").element(index), group, 0...Int64(Int32.max))
        }
        if spec["shareProcessNamespace"].bool == true, spec["hostPID"].bool == true {
            findings.invalid(path.child("shareProcessNamespace"), true, "ShareProcessNamespace and HostPID cannot both be enabled")
        }
        var seen: Set<String> = []
        for (index, sysctl) in context["sysctls"].list.enumerated() {
            let at = path.child("sysctls").element(index).child("name")
            let name = sysctl["name"].string ?? ""
            if name.isEmpty {
                findings.required(at)
            } else if !Sysctls.isName(name) {
                findings.invalid(at, .string(name), "must have at most 253 characters and match regex \(Sysctls.regex)")
            } else if !seen.insert(name).inserted {
                findings.duplicate(at, name)
            }
        }
        profile(context["seccompProfile"], path.child("seccompProfile"), "seccomp")
        profile(context["appArmorProfile"], path.child("appArmorProfile"), "AppArmor")
        guard !usesHostUsers else { return }
        for (field, shown) in [("hostPID", "HostPID"), ("hostIPC", "HostIPC"), ("hostNetwork", "hostNetwork")] where spec[field].bool == true {
            findings.forbidden(self.path.child(shown), "when `hostUsers` is false")
        }
    }

    /// As upstream's internal type has it, whose fields stand in another order.
    private static func shown(_ context: Node) -> Node {
        GoStruct.shown(
            context, "core/v1.SecurityContext",
            order: [
                "capabilities", "privileged", "seLinuxOptions", "windowsOptions", "runAsUser", "runAsGroup", "runAsNonRoot", "readOnlyRootFilesystem",
                "allowPrivilegeEscalation", "procMount", "seccompProfile", "appArmorProfile",
            ])
    }

    mutating func containerSecurity(_ context: Node, _ path: NodePath) {
        guard !context.isNull else { return }
        for field in ["runAsUser", "runAsGroup"] { findings.range(path.child(field), context[field], 0...Int64(Int32.max)) }
        if usesHostUsers, context["procMount"].string == "Unmasked" {
            findings.invalid(path.child("procMount"), context["procMount"], "`hostUsers` must be false to use `Unmasked`")
        }
        profile(context["seccompProfile"], path.child("seccompProfile"), "seccomp")
        if context["allowPrivilegeEscalation"].bool == false {
            if context["privileged"].bool == true {
                findings.invalid(path, Self.shown(context), "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
            }
            if context["capabilities"]["add"].stringList.contains("CAP_SYS_ADMIN") {
                findings.invalid(path, Self.shown(context), "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN")
            }
        }
        profile(context["appArmorProfile"], path.child("appArmorProfile"), "AppArmor")
    }

    private mutating func profile(_ profile: Node, _ path: NodePath, _ what: String) {
        guard !profile.isNull else { return }
        let at = path.child("localhostProfile")
        if profile["type"].isEmpty { findings.required(path.child("type"), what == "seccomp" ? "type is required when seccompProfile is set" : "type is required when appArmorProfile is set") }
        if profile["type"].string == "Localhost" {
            if profile["localhostProfile"].isNull {
                findings.required(at, "must be set when \(what) type is Localhost")
            } else if what == "seccomp" {
                findings.descending(at, profile["localhostProfile"].string ?? "")
            }
        } else if !profile["localhostProfile"].isNull {
            findings.invalid(at, what == "seccomp" ? profile : profile["localhostProfile"], "can only be set when \(what) type is Localhost")
        }
    }
}

/// Names of kernel parameters.
enum Sysctls {
    static let regex = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"

    static func isName(_ name: String) -> Bool {
        name.utf8.count <= 253
            && name.split(omittingEmptySubsequences: false, whereSeparator: { $0 == "." || $0 == "/" }).allSatisfy { part in
                guard let first = part.utf8.first, let last = part.utf8.last else { return false }
                func isPlain(_ byte: UInt8) -> Bool { byte &- 48 < 10 || byte &- 97 < 26 }
                return isPlain(first) && isPlain(last) && part.utf8.allSatisfy { isPlain($0) || $0 == 45 || $0 == 95 }
            }
    }
}

extension Findings {
    static let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"]

    /// Of a pod or a runtime class.
    mutating func tolerations(_ tolerations: [Node], _ path: NodePath) {
        for (index, toleration) in tolerations.enumerated() {
            let at = path.element(index)
            let (key, value) = (toleration["key"].string ?? "", toleration["value"].string ?? "")
            let (operation, effect) = (toleration["operator"].string ?? "", toleration["effect"].string ?? "")
            if !key.isEmpty { format(at.child("key"), key, NameFormat.qualifiedName) }
            if key.isEmpty, operation != "Exists" {
                invalid(
                    at.child("operator"), .string(operation), "operator must be Exists when `key` is empty, which means \"match all values and all keys\"")
            }
            if !toleration["tolerationSeconds"].isNull, effect != "NoExecute" {
                invalid(at.child("effect"), .string(effect), "effect must be 'NoExecute' when `tolerationSeconds` is set")
            }
            switch operation {
            case "Equal", "":
                let problems = NameFormat.labelValue(value)
                if !problems.isEmpty { invalid(at.child("operator"), .string(value), problems.joined(separator: ";")) }
            case "Exists":
                if !value.isEmpty { invalid(at.child("operator"), .string(value), "value must be empty when `operator` is 'Exists'") }
            default: notSupported(at.child("operator"), operation, ["Equal", "Exists"])
            }
            if !effect.isEmpty, !Findings.effects.contains(effect) { notSupported(at.child("effect"), effect, Findings.effects) }
        }
    }

    /// A `NodeSelector`, of a pod or a volume.
    mutating func nodeSelector(_ selector: Node, _ path: NodePath) {
        let terms = selector["nodeSelectorTerms"].list
        if terms.isEmpty { return required(path.child("nodeSelectorTerms"), "must have at least one node selector term") }
        for (index, term) in terms.enumerated() { nodeSelectorTerm(term, path.child("nodeSelectorTerms").element(index)) }
    }

    mutating func nodeSelectorTerm(_ term: Node, _ path: NodePath, checksValues: Bool = true) {
        for (index, requirement) in term["matchExpressions"].list.enumerated() {
            let at = path.child("matchExpressions").element(index)
            let values = requirement["values"].stringList
            switch requirement["operator"].string {
            case "In", "NotIn":
                if values.isEmpty { required(at.child("values"), "must be specified when `operator` is 'In' or 'NotIn'") }
            case "Exists", "DoesNotExist":
                if !values.isEmpty { forbidden(at.child("values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'") }
            case "Gt", "Lt":
                if values.count != 1 { required(at.child("values"), "must be specified single value when `operator` is 'Lt' or 'Gt'") }
            default: invalid(at.child("operator"), .string(requirement["operator"].string ?? ""), "not a valid selector operator")
            }
            format(at.child("key"), requirement["key"].string ?? "", NameFormat.qualifiedName)
            if checksValues { for (step, value) in values.enumerated() { format(at.child("values").element(step), value, NameFormat.labelValue) } }
        }
        for (index, requirement) in term["matchFields"].list.enumerated() {
            let at = path.child("matchFields").element(index)
            if !["In", "NotIn"].contains(requirement["operator"].string ?? "") {
                invalid(at.child("operator"), .string(requirement["operator"].string ?? ""), "not a valid selector operator")
            } else if requirement["values"].list.count != 1 {
                required(at.child("values"), "must be only one value when `operator` is 'In' or 'NotIn' for node field selector")
            }
            if requirement["key"].string != "metadata.name" { invalid(at.child("key"), .string(requirement["key"].string ?? ""), "not a valid field selector key") }
        }
    }
}

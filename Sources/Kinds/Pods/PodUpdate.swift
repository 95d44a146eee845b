import Machinery
import Tree

/// What may change in a pod that exists.
enum PodUpdate {
    private static let spec = PodStrategy.specPath
    private static let refusal =
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
        + "`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"

    static func errors(_ pod: Node, old: Node) -> [FieldError] {
        var findings = Findings()
        for list in ["containers", "initContainers"] where pod["spec"][list].list.count != old["spec"][list].list.count {
            findings.forbidden(spec.child(list), "pod updates may not add or remove containers")
            return findings.errors
        }
        deadline(pod["spec"]["activeDeadlineSeconds"], old: old["spec"]["activeDeadlineSeconds"], &findings)
        tolerations(pod["spec"]["tolerations"].list, old: old["spec"]["tolerations"].list, &findings)
        gates(pod["spec"]["schedulingGates"].list, old: old["spec"]["schedulingGates"].list, &findings)
        var munged = pod["spec"]
        for list in ["containers", "initContainers"] {
            guard case .list(var containers) = munged[list] else { continue }
            for index in containers.indices { containers[index]["image"] = old["spec"][list][index]["image"] }
            munged[list] = .list(containers)
        }
        for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] { munged[field] = old["spec"][field] }
        if let before = old["spec"]["terminationGracePeriodSeconds"].int, before < 0, munged["terminationGracePeriodSeconds"].int == 1 {
            munged["terminationGracePeriodSeconds"] = .int(before)
        }
        if !old["spec"]["schedulingGates"].isEmpty { gated(&munged, old: old["spec"], &findings) }
        let changed = differences(munged, old["spec"])
        if !changed.isEmpty { findings.forbidden(spec, refusal + "\n" + changed.joined(separator: "\n")) }
        return findings.errors
    }

    private static func deadline(_ new: Node, old: Node, _ findings: inout Findings) {
        let path = spec.child("activeDeadlineSeconds")
        if let value = new.int {
            if let before = old.int, before < value { findings.invalid(path, new, "must be less than or equal to previous value") }
        } else if !old.isNull {
            findings.invalid(path, .null, "must not update from a positive integer to nil value")
        }
    }

    private static func tolerations(_ new: [Node], old: [Node], _ findings: inout Findings) {
        let kept = old.allSatisfy { before in
            new.contains { after in
                var before = before
                before["tolerationSeconds"] = after["tolerationSeconds"]
                return before == after
            }
        }
        if !kept { findings.forbidden(spec.child("tolerations"), "existing toleration can not be modified except its tolerationSeconds") }
    }

    private static func gates(_ new: [Node], old: [Node], _ findings: inout Findings) {
        let before = Set(old.map { $0["name"].string ?? "" })
        for (index, gate) in new.enumerated() {
            let name = gate["name"].string ?? ""
            if !before.contains(name) {
                findings.forbidden(spec.child("schedulingGates").element(index).child("name"), "only deletion is allowed, but found new scheduling gate '\(name)'")
            }
        }
    }

    /// A pod that the scheduler has not seen yet may be narrowed.
    private static func gated(_ munged: inout Node, old: Node, _ findings: inout Findings) {
        let selector = munged["nodeSelector"].stringMap
        for (key, value) in old["nodeSelector"].stringMap where selector[key] != value {
            findings.invalid(spec.child("nodeSelector"), munged["nodeSelector"], "only additions to spec.nodeSelector are allowed (no mutations or deletions)")
            break
        }
        munged["nodeSelector"] = old["nodeSelector"]
        let key = "requiredDuringSchedulingIgnoredDuringExecution"
        let path = spec.child("affinity").child("nodeAffinity").child(key).child("nodeSelectorTerms")
        let before = old["affinity"]["nodeAffinity"][key]["nodeSelectorTerms"].list
        let after = munged["affinity"]["nodeAffinity"][key]["nodeSelectorTerms"].list
        if !before.isEmpty, before.count != after.count {
            findings.invalid(path, .list(after), "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
        } else if !before.isEmpty {
            for (index, term) in before.enumerated() {
                let onlyAdds = ["matchExpressions", "matchFields"].allSatisfy { list in
                    let new = after[index][list].list
                    return new.count >= term[list].list.count && Array(new.prefix(term[list].list.count)) == term[list].list
                }
                if !onlyAdds { findings.invalid(path.element(index), after[index], "only additions are allowed (no mutations or deletions)") }
            }
        }
        var affinity = munged["affinity"]
        affinity["nodeAffinity"] = old["affinity"]["nodeAffinity"]
        munged["affinity"] = affinity.isEmpty ? old["affinity"] : affinity
    }

    /// The top-level fields that differ, one line each.
    private static func differences(_ new: Node, _ old: Node) -> [String] {
        let keys = Set(new.fields.keys).union(old.fields.keys).sorted()
        return keys.filter { !Findings.same(new[$0], old[$0]) }.map { key in
            "spec.\(key): \(ObjectMeta.shown(old[key])) -> \(ObjectMeta.shown(new[key]))"
        }
    }

    // MARK: - Subresources

    static func ephemeralErrors(_ pod: Node, old: Node) -> [FieldError] {
        var findings = Findings()
        let path = spec.child("ephemeralContainers")
        if old.annotations["kubernetes.io/config.mirror"] != nil { return [.forbidden("", "static pods do not support ephemeral containers")] }
        let now = pod["spec"]["ephemeralContainers"].list
        for before in old["spec"]["ephemeralContainers"].list {
            let name = FieldError.quoted(before["name"].string ?? "")
            guard let after = now.first(where: { $0["name"] == before["name"] }) else {
                findings.forbidden(path, "existing ephemeral containers \(name) may not be removed\n")
                continue
            }
            if after != before { findings.forbidden(path, "existing ephemeral containers \(name) may not be changed\n") }
        }
        return findings.errors
    }

    static func resizeErrors(_ pod: Node, old: Node) -> [FieldError] {
        var findings = Findings()
        if old.annotations["kubernetes.io/config.mirror"] != nil { return [.forbidden("", "static pods cannot be resized")] }
        if (old["status"]["qosClass"].string ?? PodQuality.of(old["spec"])) != PodQuality.of(pod["spec"]) {
            findings.invalid(spec, pod["status"]["qosClass"], "Pod QOS Class may not change as a result of resizing")
        }
        for list in ["containers", "initContainers"] {
            let (after, before) = (pod["spec"][list].list, old["spec"][list].list)
            guard after.map({ $0["name"] }) == before.map({ $0["name"] }) else {
                findings.forbidden(spec.child(list), "containers may not be renamed or reordered on resize")
                return findings.errors
            }
            for (index, container) in after.enumerated() { resize(container, before[index], spec.child(list).element(index).child("resources"), &findings) }
        }
        return findings.errors
    }

    private static func resize(_ new: Node, _ old: Node, _ path: NodePath, _ findings: inout Findings) {
        for (field, shown) in [("limits", "resource limits"), ("requests", "resource requests")] {
            for (name, _) in old["resources"][field].fields where !new["resources"][field].has(name) {
                findings.forbidden(path.child(field), "\(shown) cannot be removed")
                break
            }
            var (after, before) = (new["resources"][field], old["resources"][field])
            for name in ["cpu", "memory"] {
                after.remove(name)
                before.remove(name)
            }
            if !Findings.same(after, before) { findings.forbidden(spec, "only cpu and memory resources are mutable") }
        }
    }
}

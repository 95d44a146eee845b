import Machinery
import Tree

/// Names and values that devices, claims and classes share, in upstream's words.
enum DeviceFormat {
    static func qualifiedName(_ path: NodePath, _ name: String, _ findings: inout Findings) {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        switch parts.count {
        case 1: identifier(path, parts[0], &findings)
        case 2:
            if parts[0].isEmpty { findings.invalid(path, "", "the domain must not be empty") } else { findings.format(path, parts[0], CSIFormat.driverName) }
            if parts[1].isEmpty { findings.invalid(path, "", "the name must not be empty") } else { identifier(path, parts[1], &findings) }
        default: break
        }
    }

    static func fullyQualifiedName(_ path: NodePath, _ name: String, _ findings: inout Findings) {
        qualifiedName(path, name, &findings)
        if !name.contains("/") { findings.invalid(path, .string(name), "a fully qualified name must be a domain and a name separated by a slash") }
    }

    private static func identifier(_ path: NodePath, _ text: String, _ findings: inout Findings) {
        if text.utf8.count > 32 { findings.add(.tooLong("\(path)", limit: 32)) }
        findings.format(path, text, NameFormat.cIdentifier)
    }

    static func poolName(_ path: NodePath, _ value: Node, _ findings: inout Findings) {
        guard let name = value.string, !name.isEmpty else { return findings.required(path) }
        if name.utf8.count > 253 { findings.add(.tooLong("\(path)", limit: 253)) }
        for part in name.split(separator: "/", omittingEmptySubsequences: false) {
            for problem in NameFormat.dnsSubdomain(String(part)) { findings.invalid(path, .string(String(part)), problem) }
        }
    }

    static func selectors(_ path: NodePath, _ selectors: [Node], _ findings: inout Findings) {
        guard fits(path, selectors, 32, &findings) else { return }
        for (index, selector) in selectors.enumerated() {
            let at = path.element(index).child("cel")
            if selector["cel"].isNull {
                findings.required(at)
                continue
            }
            let text = selector["cel"]["expression"].string ?? ""
            let place = at.child("expression")
            if text.utf8.count > DeviceExpression.longestText {
                findings.add(.tooLong("\(place)", limit: DeviceExpression.longestText))
                continue
            }
            do {
                if try DeviceExpression(text).isTooCostly { findings.forbidden(place, "too complex, exceeds cost limit") }
            } catch { findings.invalid(place, .string(text), error.detail) }
        }
    }

    /// An `opaque` configuration: a driver and an object that only the driver understands.
    static func configuration(_ path: NodePath, _ config: Node, _ findings: inout Findings) {
        let (opaque, at) = (config["opaque"], path.child("opaque"))
        if opaque.isNull { return findings.required(at) }
        findings.driver(at.child("driver"), opaque["driver"])
        raw(at.child("parameters"), opaque["parameters"], &findings)
    }

    static func raw(_ path: NodePath, _ value: Node, _ findings: inout Findings) {
        let limit = 10 * 1024
        switch value {
        case .null: findings.required(path)
        case .map: if value.jsonText.utf8.count > limit { findings.add(.tooLong("\(path)", limit: limit)) }
        default: findings.invalid(path, "<value omitted>", "must be a valid JSON object")
        }
    }

    static func tolerations(_ path: NodePath, _ tolerations: [Node], _ findings: inout Findings) {
        for (index, toleration) in tolerations.enumerated() {
            let at = path.element(index)
            if let key = toleration["key"].string, !key.isEmpty { findings.format(at.child("key"), key, NameFormat.qualifiedName) }
            let value = toleration["value"].string ?? ""
            switch toleration["operator"].string ?? "" {
            case "Exists": if !value.isEmpty { findings.invalid(at.child("value"), .string(value), "must be empty for operator `Exists`") }
            case "Equal": findings.format(at.child("value"), value, NameFormat.labelValue)
            case "": findings.required(at.child("operator"))
            case let other: findings.notSupported(at.child("operator"), other, ["Equal", "Exists"])
            }
            if let effect = toleration["effect"].string, !effect.isEmpty, !effects.contains(effect) {
                findings.notSupported(at.child("effect"), effect, effects)
            }
        }
    }

    static let effects = ["NoExecute", "NoSchedule", "None"]

    static func taint(_ path: NodePath, _ taint: Node, _ findings: inout Findings) {
        findings.format(path.child("key"), taint["key"].string ?? "", NameFormat.qualifiedName)
        if let value = taint["value"].string, !value.isEmpty { findings.format(path.child("value"), value, NameFormat.labelValue) }
        let effect = taint["effect"].string ?? ""
        if effect.isEmpty { findings.required(path.child("effect")) } else if !effects.contains(effect) { findings.notSupported(path.child("effect"), effect, effects) }
    }

    /// Conditions that binding waits for: named, different, and both kinds or none.
    static func bindingConditions(_ path: NodePath, _ object: Node, _ findings: inout Findings) {
        let (wanted, failed) = (object["bindingConditions"].stringList, object["bindingFailureConditions"].stringList)
        for (field, names) in [("bindingConditions", wanted), ("bindingFailureConditions", failed)] {
            let at = path.child(field)
            if fits(at, names.map(Node.string), 4, &findings) {
                for (index, name) in names.enumerated() { findings.format(at.element(index), name, NameFormat.qualifiedName) }
            }
            var seen: Set<String> = []
            for (index, name) in names.enumerated() where !seen.insert(name).inserted { findings.duplicate(at.element(index), name) }
        }
        for (index, name) in failed.enumerated() where wanted.contains(name) {
            findings.invalid(path.child("bindingFailureConditions").element(index), .string(name), "bindingFailureConditions must not overlap with bindingConditions")
        }
        if wanted.isEmpty, !failed.isEmpty {
            findings.invalid(path.child("bindingConditions"), Node(wanted), "bindingConditions are required to use bindingFailureConditions")
        }
        if failed.isEmpty, !wanted.isEmpty {
            findings.invalid(path.child("bindingFailureConditions"), Node(failed), "bindingFailureConditions are required to use bindingConditions")
        }
    }

    /// False, with a finding, for a list that is too long: its items are not looked at then.
    static func fits(_ path: NodePath, _ items: [Node], _ limit: Int, _ findings: inout Findings) -> Bool {
        if items.count <= limit { return true }
        findings.add(.tooMany("\(path)", actual: items.count, limit: limit))
        return false
    }

    /// No two items have the same key.
    static func unique(_ path: NodePath, _ keys: [String], _ findings: inout Findings) {
        var seen: Set<String> = []
        for (index, key) in keys.enumerated() where !seen.insert(key).inserted { findings.duplicate(path.element(index), key) }
    }
}

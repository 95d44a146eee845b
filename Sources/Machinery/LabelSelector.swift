package import Tree

/// Which objects are meant, by their labels: what `labelSelector=` says, or a `LabelSelector` object.
package struct LabelSelector: Sendable, Hashable, CustomStringConvertible {
    package enum Operator: String, Sendable {
        case equals = "=", doubleEquals = "==", notEquals = "!=", isIn = "in", notIn = "notin", exists = "exists", doesNotExist = "!"
        case greaterThan = "gt", lessThan = "lt"
    }

    package struct Requirement: Sendable, Hashable {
        package let key: String
        package let op: Operator
        package let values: [String]
        package init(_ key: String, _ op: Operator, _ values: [String] = []) {
            self.key = key
            self.op = op
            self.values = values
        }
    }

    package let requirements: [Requirement]
    /// Set for a selector that is absent, where absent means none.
    package let matchesNothing: Bool

    package init(_ requirements: [Requirement] = [], matchesNothing: Bool = false) {
        self.requirements = requirements.sorted { $0.key < $1.key }
        self.matchesNothing = matchesNothing
    }

    package static let everything = LabelSelector()
    package static let nothing = LabelSelector(matchesNothing: true)
    /// Every pair must be there, as in a Service's `selector`.
    package init(equals labels: [String: String]) { self.init(labels.map { Requirement($0.key, .equals, [$0.value]) }) }
    package var isEverything: Bool { requirements.isEmpty && !matchesNothing }
}

// MARK: - Matching

extension LabelSelector {
    package func matches(_ labels: [String: String]) -> Bool { matches { labels[$0] } }
    /// `labels` is a map node, as `metadata.labels` is; anything else has no labels.
    package func matches(_ labels: Node) -> Bool {
        guard case .map(let fields) = labels else { return matches { _ in nil } }
        return matches { fields[$0]?.string }
    }

    package func matches(_ label: (String) -> String?) -> Bool {
        if matchesNothing { return false }
        return requirements.allSatisfy { requirement in
            let value = label(requirement.key)
            switch requirement.op {
            case .equals, .doubleEquals, .isIn: return value.map(requirement.values.contains) ?? false
            case .notEquals, .notIn: return value.map { !requirement.values.contains($0) } ?? true
            case .exists: return value != nil
            case .doesNotExist: return value == nil
            case .greaterThan, .lessThan:
                guard let have = value.flatMap({ Int64($0) }), let want = requirement.values.first.flatMap({ Int64($0) }) else { return false }
                return requirement.op == .greaterThan ? have > want : have < want
            }
        }
    }

    /// The one value that a key must have, where the selector says so.
    package func exactValue(of key: String) -> String? {
        guard let requirement = requirements.first(where: { $0.key == key }), requirement.values.count == 1 else { return nil }
        switch requirement.op {
        case .equals, .doubleEquals, .isIn: return requirement.values[0]
        default: return nil
        }
    }

    package var description: String {
        requirements.map { requirement in
            let values = requirement.values.sorted().joined(separator: ",")
            switch requirement.op {
            case .equals, .doubleEquals, .notEquals: return requirement.key + requirement.op.rawValue + values
            case .isIn, .notIn: return "\(requirement.key) \(requirement.op.rawValue) (\(values))"
            case .exists: return requirement.key
            case .doesNotExist: return "!" + requirement.key
            case .greaterThan: return requirement.key + ">" + values
            case .lessThan: return requirement.key + "<" + values
            }
        }.joined(separator: ",")
    }
}

// MARK: - Objects

extension LabelSelector {
    /// From a `metav1.LabelSelector` object: null selects nothing, `{}` everything. An operator that is none selects nothing
    /// either; validation refuses it before it gets here.
    package init(object: Node) {
        guard case .map = object else {
            self = .nothing
            return
        }
        var all = object["matchLabels"].stringMap.map { Requirement($0.key, .equals, [$0.value]) }
        for expression in object["matchExpressions"].list {
            let op: Operator
            switch expression["operator"].string {
            case "In": op = .isIn
            case "NotIn": op = .notIn
            case "Exists": op = .exists
            case "DoesNotExist": op = .doesNotExist
            case "Gt": op = .greaterThan
            case "Lt": op = .lessThan
            default:
                self = .nothing
                return
            }
            all.append(Requirement(expression["key"].string ?? "", op, expression["values"].stringList))
        }
        self.init(all)
    }

    /// What is wrong with a `metav1.LabelSelector` object.
    package static func errors(_ object: Node, at path: NodePath) -> [FieldError] {
        guard case .map = object else { return [] }
        var errors = ObjectMeta.labelErrors(object["matchLabels"], at: path.child("matchLabels"))
        for (index, item) in object["matchExpressions"].list.enumerated() {
            let path = path.child("matchExpressions").element(index)
            let values = item["values"].stringList
            switch item["operator"].string {
            case "In", "NotIn":
                if values.isEmpty {
                    errors.append(.required("\(path.child("values"))", "must be specified when `operator` is 'In' or 'NotIn'"))
                }
            case "Exists", "DoesNotExist":
                if !values.isEmpty {
                    errors.append(.forbidden("\(path.child("values"))", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"))
                }
            default: errors.append(.invalid("\(path.child("operator"))", quoted: item["operator"].string ?? "", "not a valid selector operator"))
            }
            let key = item["key"].string ?? ""
            errors += NameFormat.qualifiedName(key).map { .invalid("\(path.child("key"))", quoted: key, $0) }
            for (at, value) in values.enumerated() {
                errors += NameFormat.labelValue(value).map { .invalid("\(path.child("values").element(at))", quoted: value, $0) }
            }
        }
        return errors
    }
}

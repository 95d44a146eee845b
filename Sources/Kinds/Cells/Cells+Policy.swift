import Core
import Machinery
import Tree

extension KindCells {
    static let access: [String: Row] = [
        "rbac.authorization.k8s.io/RoleBinding": binding, "rbac.authorization.k8s.io/ClusterRoleBinding": binding,
        "certificates.k8s.io/CertificateSigningRequest": signingRequest,
    ]
    static let policies: [String: Row] = [
        "scheduling.k8s.io/PriorityClass": priorityClass, "flowcontrol.apiserver.k8s.io/FlowSchema": flowSchema,
        "flowcontrol.apiserver.k8s.io/PriorityLevelConfiguration": priorityLevel,
    ]
    static let registration: [String: Row] = [
        "admissionregistration.k8s.io/MutatingWebhookConfiguration": webhooks, "admissionregistration.k8s.io/ValidatingWebhookConfiguration": webhooks,
        "admissionregistration.k8s.io/MutatingAdmissionPolicy": admissionPolicy, "admissionregistration.k8s.io/ValidatingAdmissionPolicy": admissionPolicy,
        "admissionregistration.k8s.io/MutatingAdmissionPolicyBinding": policyBinding,
        "admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding": policyBinding, "apiregistration.k8s.io/APIService": apiService,
    ]

    @Sendable private static func binding(_ object: Node, _ now: Timestamp) -> [Node] {
        let subjects = object["subjects"].list
        func named(_ kind: String, _ shown: (Node) -> String) -> Node {
            .string(subjects.filter { $0["kind"].string == kind }.map(shown).joined(separator: ", "))
        }
        let role = object["roleRef"]
        return [
            Cell.name(object), .string("\(role["kind"].string ?? "")/\(role["name"].string ?? "")"), Cell.age(of: object, now: now),
            named("User") { $0["name"].string ?? "" }, named("Group") { $0["name"].string ?? "" },
            named("ServiceAccount") { "\($0["namespace"].string ?? "")/\($0["name"].string ?? "")" },
        ]
    }

    @Sendable private static func signingRequest(_ object: Node, _ now: Timestamp) -> [Node] {
        let (spec, status) = (object["spec"], object["status"])
        let types = Set(status["conditions"].list.compactMap { $0["type"].string })
        var state = types.contains("Denied") ? "Denied" : types.contains("Approved") ? "Approved" : "Pending"
        if types.contains("Failed") { state += ",Failed" }
        if !status["certificate"].isEmpty { state += ",Issued" }
        let duration = spec["expirationSeconds"].int.map { HumanDuration.text(.seconds($0)) } ?? "<none>"
        return [
            Cell.name(object), Cell.age(of: object, now: now), text(spec["signerName"], or: "<none>"), text(spec["username"]), .string(duration), .string(state),
        ]
    }

    @Sendable private static func priorityClass(_ object: Node, _ now: Timestamp) -> [Node] {
        [
            Cell.name(object), count(object["value"]), .bool(object["globalDefault"].bool ?? false), Cell.age(of: object, now: now),
            text(object["preemptionPolicy"]),
        ]
    }

    @Sendable private static func flowSchema(_ object: Node, _ now: Timestamp) -> [Node] {
        let spec = object["spec"]
        return [
            Cell.name(object), text(spec["priorityLevelConfiguration"]["name"]), count(spec["matchingPrecedence"]),
            .string(spec["distinguisherMethod"]["type"].string ?? "<none>"), Cell.age(of: object, now: now),
            .string(status(object["status"]["conditions"], "Dangling") ?? "?"),
        ]
    }

    @Sendable private static func priorityLevel(_ object: Node, _ now: Timestamp) -> [Node] {
        let limited = object["spec"]["limited"]
        let queuing = limited["limitResponse"]["queuing"]
        func number(_ value: Node) -> Node { value.isNull ? "<none>" : value }
        return [
            Cell.name(object), text(object["spec"]["type"]), number(limited["nominalConcurrencyShares"]), number(queuing["queues"]),
            number(queuing["handSize"]), number(queuing["queueLengthLimit"]), Cell.age(of: object, now: now),
        ]
    }

    @Sendable private static func webhooks(_ object: Node, _ now: Timestamp) -> [Node] {
        [Cell.name(object), .int(Int64(object["webhooks"].list.count)), Cell.age(of: object, now: now)]
    }

    @Sendable private static func admissionPolicy(_ object: Node, _ now: Timestamp) -> [Node] {
        let spec = object["spec"]
        let kind = spec["paramKind"]
        let rules = spec["validations"].list.count + spec["mutations"].list.count
        let shown: Node = kind.isNull ? "<unset>" : .string("\(kind["apiVersion"].string ?? "")/\(kind["kind"].string ?? "")")
        return [Cell.name(object), .int(Int64(rules)), shown, Cell.age(of: object, now: now)]
    }

    @Sendable private static func policyBinding(_ object: Node, _ now: Timestamp) -> [Node] {
        let spec = object["spec"]
        let reference = spec["paramRef"]
        var shown = "<unset>"
        if let name = reference["name"].string, !name.isEmpty {
            let namespace = reference["namespace"].string ?? ""
            shown = "\(namespace.isEmpty ? "*" : namespace)/\(name)"
        } else if !reference["selector"].isNull {
            shown = LabelSelector(object: reference["selector"]).description
        }
        return [Cell.name(object), text(spec["policyName"]), .string(shown), Cell.age(of: object, now: now)]
    }

    @Sendable private static func apiService(_ object: Node, _ now: Timestamp) -> [Node] {
        let service = object["spec"]["service"]
        let shown: Node = service.isNull ? "Local" : .string("\(service["namespace"].string ?? "")/\(service["name"].string ?? "")")
        var available = "Unknown"
        if let condition = object["status"]["conditions"].list.first(where: { $0["type"].string == "Available" }) {
            available = condition["status"].string ?? "Unknown"
            if available != "True", let reason = condition["reason"].string, !reason.isEmpty { available += " (\(reason))" }
        }
        return [Cell.name(object), shown, .string(available), Cell.age(of: object, now: now)]
    }
}

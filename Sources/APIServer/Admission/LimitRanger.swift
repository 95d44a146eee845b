import Kinds
package import Machinery
package import Store
import Tree

/// The limits of a namespace: defaults for containers that ask for nothing, bounds for all that do.
package struct LimitRanger: AdmissionPlugin {
    private let store: Store
    package init(_ store: Store) { self.store = store }
    package var name: String { "LimitRanger" }

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { ["pods", "persistentvolumeclaims"].contains(request.resource.collection) }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == "pods", request.operation == .create, request.subresource.isEmpty else { return }
        for range in try ranges(request.namespace) { fill(&request.object, range) }
    }

    package func validate(_ request: AdmissionRequest) async throws(APIError) {
        guard request.subresource.isEmpty || request.subresource == "resize" else { return }
        let check: (Node, Node) -> [String]
        switch (request.resource.collection, request.operation) {
        case ("pods", .create): check = LimitRanger.podErrors
        case ("pods", .update) where request.subresource == "resize": check = LimitRanger.podErrors
        case ("persistentvolumeclaims", .create), ("persistentvolumeclaims", .update): check = LimitRanger.claimErrors
        default: return
        }
        for range in try ranges(request.namespace) {
            let errors = check(range, request.object)
            guard !errors.isEmpty else { continue }
            throw request.forbidden(errors.count == 1 ? errors[0] : "[" + errors.joined(separator: ", ") + "]")
        }
    }

    private func ranges(_ namespace: String) throws(APIError) -> [Node] {
        guard let page = try? store.list("limitranges", namespace: namespace), !page.records.isEmpty else { return [] }
        var out: [Node] = []
        for record in page.records { out.append(try record.sharedNode()) }
        return out
    }

    // MARK: - Defaults

    private func fill(_ pod: inout Node, _ range: Node) {
        var requests = Fields()
        var limits = Fields()
        for limit in range["spec"]["limits"].list where limit["type"].string == "Container" {
            for (name, value) in limit["defaultRequest"].fields { requests[name] = value }
            for (name, value) in limit["default"].fields { limits[name] = value }
        }
        guard !requests.isEmpty || !limits.isEmpty else { return }
        var notes: [String] = []
        for (field, word) in [("containers", "container"), ("initContainers", "init container")] {
            var containers = pod["spec"][field].list
            for index in containers.indices {
                let name = containers[index]["name"].string ?? ""
                for (kind, defaults) in [("requests", requests), ("limits", limits)] {
                    var set: [String] = []
                    for (resource, value) in defaults where containers[index]["resources"][kind][resource].isNull {
                        containers[index]["resources"][kind][resource] = value
                        set.append(resource)
                    }
                    if !set.isEmpty { notes.append(set.sorted().joined(separator: ", ") + " \(kind.dropLast()) for \(word) \(name)") }
                }
            }
            if !containers.isEmpty { pod["spec"][field] = .list(containers) }
        }
        guard !notes.isEmpty else { return }
        pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"] = .string("LimitRanger plugin set: " + notes.joined(separator: "; "))
    }

    // MARK: - Bounds

    private static func podErrors(_ range: Node, _ pod: Node) -> [String] {
        var errors: [String] = []
        for limit in range["spec"]["limits"].list {
            switch limit["type"].string {
            case "Container":
                for container in pod["spec"]["containers"].list + pod["spec"]["initContainers"].list {
                    let resources = container["resources"]
                    errors += bounds(limit, PodRequests.amounts(resources["requests"]), PodRequests.amounts(resources["limits"]))
                }
            case "Pod":
                var bare = pod
                bare["spec"].remove("overhead")
                errors += bounds(limit, PodRequests.total(bare, "requests"), PodRequests.total(bare, "limits"))
            default: continue
            }
        }
        return errors
    }

    private static func claimErrors(_ range: Node, _ claim: Node) -> [String] {
        var errors: [String] = []
        let requests = PodRequests.amounts(claim["spec"]["resources"]["requests"])
        for limit in range["spec"]["limits"].list where limit["type"].string == "PersistentVolumeClaim" {
            for (name, value) in ordered(limit["min"]) {
                if let why = minimum("PersistentVolumeClaim", name, value, requests[name], nil) { errors.append(why) }
            }
            for (name, value) in ordered(limit["max"]) {
                guard let asked = requests[name] else {
                    errors.append("maximum \(name) usage per PersistentVolumeClaim is \(value).  No request is specified")
                    continue
                }
                if value < asked { errors.append("maximum \(name) usage per PersistentVolumeClaim is \(value), but request is \(asked)") }
            }
        }
        return errors
    }

    private static func ordered(_ list: Node) -> [(String, Quantity)] { PodRequests.amounts(list).sorted { $0.key < $1.key } }

    private static func bounds(_ limit: Node, _ requests: [String: Quantity], _ limits: [String: Quantity]) -> [String] {
        let type = limit["type"].string ?? ""
        var errors: [String] = []
        for (name, value) in ordered(limit["min"]) {
            if let why = minimum(type, name, value, requests[name], limits[name]) { errors.append(why) }
        }
        for (name, value) in ordered(limit["max"]) {
            if let why = maximum(type, name, value, requests[name], limits[name]) { errors.append(why) }
        }
        for (name, value) in ordered(limit["maxLimitRequestRatio"]) {
            if let why = ratio(type, name, value, requests[name], limits[name]) { errors.append(why) }
        }
        return errors
    }

    private static func minimum(_ type: String, _ name: String, _ bound: Quantity, _ request: Quantity?, _ limit: Quantity?) -> String? {
        let head = "minimum \(name) usage per \(type) is \(bound)"
        guard let request else { return "\(head).  No request is specified" }
        if request < bound { return "\(head), but request is \(request)" }
        if let limit, limit < bound { return "\(head), but limit is \(limit)" }
        return nil
    }

    private static func maximum(_ type: String, _ name: String, _ bound: Quantity, _ request: Quantity?, _ limit: Quantity?) -> String? {
        let head = "maximum \(name) usage per \(type) is \(bound)"
        guard let limit else { return "\(head).  No limit is specified" }
        if bound < limit { return "\(head), but limit is \(limit)" }
        if let request, bound < request { return "\(head), but request is \(request)" }
        return nil
    }

    private static func ratio(_ type: String, _ name: String, _ bound: Quantity, _ request: Quantity?, _ limit: Quantity?) -> String? {
        let head = "\(name) max limit to request ratio per \(type) is \(bound)"
        guard let request, !request.isZero else { return "\(head), but no request is specified or request is 0" }
        guard let limit, !limit.isZero else { return "\(head), but no limit is specified or limit is 0" }
        let observed = Double(limit.milliValue) / Double(request.milliValue)
        guard observed * 1000 > Double(bound.milliValue) else { return nil }
        let millionths = Int64((observed * 1_000_000).rounded())
        let fraction = String(millionths % 1_000_000)
        return "\(head), but provided ratio is \(millionths / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
    }
}

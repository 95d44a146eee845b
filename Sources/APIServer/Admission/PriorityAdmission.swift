package import Machinery
package import Store
import Tree

/// The number behind a pod's priority class; clients name the class and never the number.
package struct PriorityAdmission: AdmissionPlugin {
    private let store: Store
    package init(_ store: Store) { self.store = store }
    package var name: String { "Priority" }

    private static let collection = "scheduling.k8s.io/priorityclasses"

    package func concerns(_ request: AdmissionRequest, _ stage: AdmissionStage) -> Bool { request.resource.collection == (stage == .mutating ? "pods" : PriorityAdmission.collection) }

    package func admit(_ request: inout AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == "pods", request.subresource.isEmpty else { return }
        if request.operation == .update {
            // Older clients leave out what they did not set: it stays as it was.
            for field in ["priority", "preemptionPolicy"] where request.object["spec"][field].isNull {
                request.object["spec"][field] = request.old["spec"][field]
            }
            return
        }
        guard request.operation == .create else { return }
        var className = request.object["spec"]["priorityClassName"].string ?? ""
        var value: Int64 = 0
        var policy = "PreemptLowerPriority"
        if className.isEmpty {
            if let found = try globalDefault() {
                className = found.name
                value = found["value"].int ?? 0
                policy = found["preemptionPolicy"].string ?? policy
            }
        } else {
            guard let record = store.get(Key(PriorityAdmission.collection, name: className)) else {
                throw request.forbidden("no PriorityClass with name \(className) was found")
            }
            let found = try record.sharedNode()
            value = found["value"].int ?? 0
            policy = found["preemptionPolicy"].string ?? policy
        }
        if let given = request.object["spec"]["priority"].int, given != value {
            throw request.forbidden(
                "the integer value of priority (\(given)) must not be provided in pod spec; priority admission controller computed \(value) from the given PriorityClass name")
        }
        if let given = request.object["spec"]["preemptionPolicy"].string, given != policy {
            throw request.forbidden(
                "the string value of PreemptionPolicy (\(given)) must not be provided in pod spec; priority admission controller computed \(policy) from the given PriorityClass name")
        }
        if !className.isEmpty { request.object["spec"]["priorityClassName"] = .string(className) }
        request.object["spec"]["priority"] = .int(value)
        request.object["spec"]["preemptionPolicy"] = .string(policy)
    }

    package func validate(_ request: AdmissionRequest) async throws(APIError) {
        guard request.resource.collection == PriorityAdmission.collection, request.operation != .delete, request.object["globalDefault"].bool == true,
            let current = try globalDefault(), current.name != request.name
        else { return }
        throw request.forbidden("PriorityClass \(current.name) is already marked as default. Only one default can exist")
    }

    /// Of several (made before one was enforced) the lowest counts.
    private func globalDefault() throws(APIError) -> Node? {
        guard let page = try? store.list(PriorityAdmission.collection) else { return nil }
        var best: Node?
        for record in page.records {
            let node = try record.sharedNode()
            guard node["globalDefault"].bool == true else { continue }
            if best.map({ ($0["value"].int ?? 0) > (node["value"].int ?? 0) }) ?? true { best = node }
        }
        return best
    }
}

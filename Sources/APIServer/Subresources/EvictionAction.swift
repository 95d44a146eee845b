import Core
package import Machinery
import Schema
package import Store
package import Tree

/// `pods/eviction`: a deletion that PodDisruptionBudgets may refuse for now (429).
package struct EvictionAction: PostSubresource {
    private let writer: ObjectWriter
    private let catalog: ResourceCatalog
    private let store: Store

    package init(writer: ObjectWriter, catalog: ResourceCatalog, store: Store) {
        self.writer = writer
        self.catalog = catalog
        self.store = store
    }

    package func post(_ object: Node, _ resource: ServedResource, namespace: String, name: String, _ context: WriteContext) async throws(APIError) -> Node {
        guard object.name.isEmpty || object.name == name else { throw APIError.badRequest("name in URL does not match name in Eviction object") }
        guard let record = store.get(Key("pods", namespace: namespace, name: name)) else { throw APIError.notFound("pods", name: name) }
        let pod = try record.node()
        let phase = pod["status"]["phase"].string
        // What has ended, or never ran, or is going already disturbs nobody.
        let isHarmless = phase == "Succeeded" || phase == "Failed" || phase == "Pending" || pod.isBeingDeleted
        if !isHarmless, let budget = try budgets(of: pod).first { try await spend(budget, on: pod, context) }
        let options = try DeletionOptions(object["deleteOptions"]) { _ in nil }
        _ = try await writer.delete(resource, namespace: namespace, name: name, options, context)
        return ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "code": 201]
    }

    private func budgets(of pod: Node) throws(APIError) -> [Node] {
        guard let page = try? store.list("policy/poddisruptionbudgets", namespace: pod.namespace) else { return [] }
        var out: [Node] = []
        for record in page.records {
            let budget = try record.node()
            if LabelSelector(object: budget["spec"]["selector"]).matches(pod["metadata"]["labels"]) { out.append(budget) }
        }
        if out.count > 1 {
            throw APIError.internalError("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
        }
        return out
    }

    /// Takes one disruption from the budget, or refuses.
    private func spend(_ budget: Node, on pod: Node, _ context: WriteContext) async throws(APIError) {
        guard let resource = catalog.resource(.init(group: "policy", version: "v1", resource: "poddisruptionbudgets")) else { return }
        _ = try await writer.update(resource, namespace: budget.namespace, name: budget.name, subresource: "status", context) { current throws(APIError) in
            let observed = current["status"]["observedGeneration"].int ?? 0
            if observed < current.generation {
                throw EvictionAction.refused(current.name, "The disruption budget \(current.name) is still being processed by the server.", retryAfter: 10)
            }
            let allowed = current["status"]["disruptionsAllowed"].int ?? 0
            guard allowed > 0 else {
                let desired = current["status"]["desiredHealthy"].int ?? 0
                let healthy = current["status"]["currentHealthy"].int ?? 0
                throw EvictionAction.refused(
                    current.name, "The disruption budget \(current.name) needs \(desired) healthy pods and has \(healthy) currently", retryAfter: 0)
            }
            var next = current
            next["status"]["disruptionsAllowed"] = .int(allowed - 1)
            next["status"]["disruptedPods"][pod.name] = .string(writerTime())
            return next
        }
    }

    private func writerTime() -> String { writer.time.now().rfc3339 }

    private static func refused(_ budget: String, _ why: String, retryAfter: Int) -> APIError {
        var error = APIError.tooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retryAfter: retryAfter)
        error.details?.causes = [.init(reason: "DisruptionBudget", message: why)]
        return error
    }
}

import Core
import Kinds
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
        let options = try DeletionOptions(object["deleteOptions"]) { _ in nil }
        for attempt in 0... {
            guard let record = store.get(Key("pods", namespace: namespace, name: name)) else { throw APIError.notFound("pods", name: name) }
            let pod = try record.node()
            var guarded = options
            if try await mustStayTheSame(pod, context), options.resourceVersion == nil { guarded.resourceVersion = pod["metadata"]["resourceVersion"].string }
            do {
                try await delete(pod, resource, guarded, context)
                break
            } catch {
                // What was judged has changed meanwhile: it is judged again.
                guard error.reason == "Conflict", options.resourceVersion == nil, attempt < 20 else { throw error }
            }
        }
        return ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "code": 201]
    }

    /// Spends a disruption where one is due. True when the eviction is allowed only as long as the pod is as it was seen.
    private func mustStayTheSame(_ pod: Node, _ context: WriteContext) async throws(APIError) -> Bool {
        let phase = pod["status"]["phase"].string
        // What has ended or is going already disturbs nobody; what never ran neither, as long as it does not run.
        if phase == "Succeeded" || phase == "Failed" || pod.isBeingDeleted { return false }
        if phase == "Pending" { return true }
        guard let budget = try budgets(of: pod).first else { return false }
        if !PodConditions.isTrue(pod, "Ready") {
            // An unready pod is none of the healthy ones that the budget counts.
            let status = budget["status"]
            let (healthy, desired) = (status["currentHealthy"].int ?? 0, status["desiredHealthy"].int ?? 0)
            if budget["spec"]["unhealthyPodEvictionPolicy"].string == "AlwaysAllow" || (healthy >= desired && desired > 0) { return true }
        }
        try await spend(budget, on: pod, context)
        return false
    }

    /// Says on the pod why it goes, and deletes it.
    private func delete(_ pod: Node, _ resource: ServedResource, _ options: DeletionOptions, _ context: WriteContext) async throws(APIError) {
        var options = options
        if !context.options.isDryRun {
            let now = writer.time.now()
            let written = try await writer.update(resource, namespace: pod.namespace, name: pod.name, subresource: "status", context) {
                [options] current throws(APIError) in
                if let uid = options.uid, uid != current.uid { throw EvictionAction.changed(pod, "UID", uid, current.uid) }
                let version = current["metadata"]["resourceVersion"].string ?? ""
                if let wanted = options.resourceVersion, wanted != version { throw EvictionAction.changed(pod, "ResourceVersion", wanted, version) }
                var next = current
                PodConditions.set(
                    &next, type: "DisruptionTarget", status: "True", reason: "EvictionByEvictionAPI", message: "Eviction API: evicting", now: now)
                return next
            }
            if options.resourceVersion != nil, let version = EvictionAction.version(written) { options.resourceVersion = version }
        }
        _ = try await writer.delete(resource, namespace: pod.namespace, name: pod.name, options, context)
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
            if current["status"]["disruptedPods"].fields.count > 2000 {
                let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
                throw APIError.forbidden("poddisruptionbudget", group: "policy", name: current.name, why: why)
            }
            let allowed = current["status"]["disruptionsAllowed"].int ?? 0
            guard allowed > 0 else {
                let desired = current["status"]["desiredHealthy"].int ?? 0
                let healthy = current["status"]["currentHealthy"].int ?? 0
                var why = "The disruption budget \(current.name) does not allow evicting pods currently"
                let condition = current["status"]["conditions"].list.first { $0["type"].string == "DisruptionAllowed" && $0["status"].string == "False" }
                let (reason, message) = (condition?["reason"].string ?? "", condition?["message"].string ?? "")
                if reason == "SyncFailed", !message.isEmpty {
                    why += " because it failed sync: \(message)"
                } else if healthy <= desired {
                    why = "The disruption budget \(current.name) needs \(desired) healthy pods and has \(healthy) currently"
                } else if !message.isEmpty {
                    why += " (\(reason)): \(message)"
                }
                throw EvictionAction.refused(current.name, why, retryAfter: 0)
            }
            var next = current
            next["status"]["disruptionsAllowed"] = .int(allowed - 1)
            next["status"]["disruptedPods"][pod.name] = .string(writerTime())
            return next
        }
    }

    private static func changed(_ pod: Node, _ what: String, _ wanted: String, _ found: String) -> APIError {
        APIError.conflict("pods", name: pod.name, why: "the \(what) in the precondition (\(wanted)) does not match the \(what) in record (\(found))")
    }

    private static func version(_ written: Written) -> String? {
        switch written {
        case .stored(let record, _): "\(record.revision)"
        case .unsaved(let object, _): object["metadata"]["resourceVersion"].string
        }
    }

    private func writerTime() -> String { writer.time.now().rfc3339 }

    private static func refused(_ budget: String, _ why: String, retryAfter: Int) -> APIError {
        var error = APIError.tooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retryAfter: retryAfter)
        error.details?.causes = [.init(reason: "DisruptionBudget", message: why)]
        return error
    }
}

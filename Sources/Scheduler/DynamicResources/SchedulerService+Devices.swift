import Client
import Core
import Kinds
import Logging
import Machinery
import Schema
import Tree

extension SchedulerService {
    private static let attempts = 5
    /// How long a pod's binding waits for its devices.
    private static let bindingTimeout: Duration = .seconds(600)

    /// Writes into the pod's claims what was decided: the devices, and that they are for this pod. Waits for devices that their
    /// driver wants to be waited for.
    func bindDevices(_ binding: SchedulerCore.Binding) async throws {
        let choice = binding.devices
        guard !choice.isEmpty else { return }
        var claims: [Node] = []
        for entry in choice.allocations {
            var claim = entry.claim
            let isExtended = claim.uid.isEmpty
            if isExtended { claim = try await attempt("create claim for extended resources") { try await view.client.create(.resourceClaims, namespace: claim.namespace, claim) } }
            let written = try await reserve(claim, binding.pod, entry.allocation)
            claims.append(written)
            if isExtended { try await tellOfExtended(binding.pod, written, choice.mappings) }
        }
        for claim in choice.reservations { claims.append(try await reserve(claim, binding.pod, nil)) }
        guard claims.contains(where: { BindingConditions($0).isNeeded }) else { return }
        recorder.record(
            Event(binding.pod.node, reason: "BindingConditionsPending", message: "waiting for binding conditions for device on node \(binding.node)"))
        for claim in claims where BindingConditions(claim).isNeeded { try await waitUntilReady(claim) }
    }

    /// A refusal of the API as a failure of this plugin: it does not mean that the pod is gone.
    private func attempt<Result>(_ words: String, _ body: () async throws -> Result) async throws -> Result {
        do { return try await body() } catch let error as APIError { throw DeviceFailure("\(words): \(error.message)") }
    }

    private func reserve(_ claim: Node, _ pod: PodInfo, _ allocation: Node?) async throws -> Node {
        let name = "\(claim.namespace)/\(claim.name)"
        var claim = claim
        var attempts = 0
        while true {
            do { return try await write(claim, name, pod, allocation) } catch let error as APIError where error.code == 409 && attempts < SchedulerService.attempts {
                attempts += 1
                let key = ObjectKey(claim.namespace, claim.name)
                claim = try await attempt("get updated claim \(name) after conflict") { try await view.client.get(.resourceClaims, key) }
            } catch let error as APIError {
                throw DeviceFailure("add \(allocation == nil ? "reservation" : "allocation and reservation") to claim \(name): \(error.message)")
            }
        }
    }

    private func write(_ claim: Node, _ name: String, _ pod: PodInfo, _ allocation: Node?) async throws -> Node {
        var claim = claim
        if claim.isBeingDeleted { throw DeviceFailure("claim \(name) got deleted in the meantime") }
        if let allocation {
            if !claim["status"]["allocation"].isNull { throw DeviceFailure("claim \(name) got allocated elsewhere in the meantime") }
            if !claim["metadata"]["finalizers"].stringList.contains(PodClaims.finalizer) {
                claim["metadata"]["finalizers"].append(.string(PodClaims.finalizer))
                claim = try await view.client.update(.resourceClaims, claim, subresource: nil)
            }
            claim["status"]["allocation"] = allocation
        }
        if claim["status"]["allocation"].isNull { throw DeviceFailure("claim \(name) got deallocated elsewhere in the meantime") }
        if claim["status"]["allocation"]["allocationTimestamp"].isNull { claim["status"]["allocation"]["allocationTimestamp"] = .string(time.now().rfc3339) }
        if !PodClaims.isReserved(claim, for: pod.node) { claim["status"]["reservedFor"].append(PodClaims.consumer(pod.node)) }
        return try await view.client.update(.resourceClaims, claim, subresource: "status")
    }

    private func tellOfExtended(_ pod: PodInfo, _ claim: Node, _ mappings: [Node]) async throws {
        let status: Node = ["extendedResourceClaimStatus": ["requestMappings": .list(mappings), "resourceClaimName": .string(claim.name)]]
        _ = try await attempt("update pod \(pod.key) ExtendedResourceClaimStatus") {
            try await view.client.patch(.pods, pod.key, .strategic, ["metadata": ["uid": .string(pod.uid)], "status": status], subresource: "status")
        }
    }

    private func waitUntilReady(_ claim: Node) async throws {
        switch BindingConditions(claim).state {
        case .ready: return
        case .failed(let reason): throw DeviceFailure(reason)
        case .waiting: break
        }
        let options = ListOptions(namespace: claim.namespace, fieldSelector: "metadata.name=\(claim.name)")
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [time] in
                try await time.sleep(for: SchedulerService.bindingTimeout)
                throw DeviceFailure("device binding timeout: claim=\(claim.name)")
            }
            group.addTask { [view] in
                for try await event in view.client.watch(.resourceClaims, options, from: claim.revision) {
                    switch event {
                    case .added(let now), .modified(let now):
                        switch BindingConditions(now).state {
                        case .ready: return
                        case .failed(let reason): throw DeviceFailure(reason)
                        case .waiting: continue
                        }
                    case .deleted: throw DeviceFailure("claim \(claim.name) got deleted in the meantime")
                    case .bookmark: continue
                    }
                }
                throw DeviceFailure("claim \(claim.name) is not watched any more")
            }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// The pod does not come to the node: its claims may serve others.
    func unbindDevices(_ binding: SchedulerCore.Binding) async {
        let pod = binding.pod
        let keys = Set((binding.devices.allocations.map(\.claim) + binding.devices.reservations).filter { !$0.uid.isEmpty }.map { ObjectKey($0.namespace, $0.name) })
        for key in keys {
            guard let claim = try? await view.client.get(.resourceClaims, key), PodClaims.isReserved(claim, for: pod.node) else { continue }
            let patch: Node = ["metadata": ["uid": .string(claim.uid)], "status": ["reservedFor": [["$patch": "delete", "uid": .string(pod.uid)]]]]
            _ = try? await view.client.patch(.resourceClaims, key, .strategic, patch, subresource: "status")
        }
        guard binding.devices.allocations.contains(where: { $0.claim.uid.isEmpty }) else { return }
        let made = try? await view.client.list(.resourceClaims, ListOptions(namespace: pod.key.namespace)).items
        for claim in made ?? [] where claim.annotations[PodClaims.extendedAnnotation] == "true" && PodClaims.owns(pod.node, claim) { await remove(claim) }
    }

    private func remove(_ claim: Node) async {
        var claim = claim
        let left = claim["metadata"]["finalizers"].list.filter { $0.string != PodClaims.finalizer }
        claim["metadata"]["finalizers"] = left.isEmpty ? .null : .list(left)
        do {
            _ = try await view.client.update(.resourceClaims, claim, subresource: nil)
            _ = try await view.client.delete(.resourceClaims, ObjectKey(claim.namespace, claim.name), DeleteOptions(uid: claim.uid))
        } catch { log.warning("claim for extended resources not removed", metadata: ["claim": "\(claim.namespace)/\(claim.name)", "error": "\(error)"]) }
    }

    /// Gives back devices that no node can reach for the pod, or a claim for extended resources that came of an earlier attempt.
    func deallocate(_ claim: Node) async {
        if claim.annotations[PodClaims.extendedAnnotation] == "true" { return await remove(claim) }
        var claim = claim
        for field in ["reservedFor", "allocation", "devices"] { claim["status"].remove(field) }
        do { _ = try await view.client.update(.resourceClaims, claim, subresource: "status") } catch {
            log.debug("claim not deallocated", metadata: ["claim": "\(claim.namespace)/\(claim.name)", "error": "\(error)"])
        }
    }
}

extension DeviceFailure: CustomStringConvertible {
    var description: String { message }
}

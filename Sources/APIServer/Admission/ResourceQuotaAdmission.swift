import Kinds
package import Machinery
import Schema
package import Store
import Tree

/// What is charged together with a write, in the same transaction.
package protocol CommitCharge: Sendable {
    /// The commands that the write needs beside its own. Throws where the write would exceed what is allowed. Asked again when one of
    /// them lost a race.
    func commands(for request: AdmissionRequest) throws(APIError) -> [Command]
}

/// Quotas of namespaces: a write that consumes more than is left is refused, and what it consumes is counted in the
/// transaction that makes it, so that no two writes get the same rest.
package struct ResourceQuotaAdmission: CommitCharge {
    private let store: Store
    private let catalog: ResourceCatalog

    package init(_ store: Store, catalog: ResourceCatalog) {
        self.store = store
        self.catalog = catalog
    }

    package func commands(for request: AdmissionRequest) throws(APIError) -> [Command] {
        guard !request.namespace.isEmpty, ResourceQuotaAdmission.handles(request), request.resource.collection != "events" else { return [] }
        guard let page = try? store.list("resourcequotas", namespace: request.namespace), !page.records.isEmpty else { return [] }
        let collection = request.resource.collection
        let devices = collection == ExtendedDeviceNames.collection ? extendedDevices() : nil
        let usage = usage(of: request.object, request, devices)
        let before = request.operation == .update ? self.usage(of: request.old, request, devices) : [:]
        var charges: [(record: Record, quota: Node, delta: [String: Quantity])] = []
        for record in page.records {
            let quota = try record.sharedNode()
            guard QuotaUsage.matches(quota, request.object, collection: collection, devices) else { continue }
            let restricted = QuotaUsage.restricted(quota, collection: collection, devices)
            try checkConstraints(restricted, quota, request)
            let unknown = restricted.filter { quota["status"]["used"][$0].isNull }
            guard unknown.isEmpty else {
                throw request.forbidden("status unknown for quota: \(quota.name), resources: \(restricted.sorted().joined(separator: ","))")
            }
            let counted = request.operation == .update && QuotaUsage.matches(quota, request.old, collection: collection, devices) ? before : [:]
            var delta: [String: Quantity] = [:]
            for name in restricted {
                guard let now = usage[name] else { continue }
                let change = now - (counted[name] ?? .zero)
                if change.sign > 0 { delta[name] = change }
            }
            if !delta.isEmpty { charges.append((record, quota, delta)) }
        }
        var commands: [Command] = []
        for charge in charges { commands.append(try command(charge.record, charge.quota, charge.delta, request)) }
        return commands
    }

    private func extendedDevices() -> ExtendedDeviceNames? {
        let classes = (try? store.list("resource.k8s.io/deviceclasses").records.map { try $0.sharedNode() }) ?? []
        let names = ExtendedDeviceNames(classes: classes)
        return names.isEmpty ? nil : names
    }

    private func usage(of object: Node, _ request: AdmissionRequest, _ devices: ExtendedDeviceNames?) -> [String: Quantity] {
        guard let devices else { return QuotaUsage.of(object, collection: request.resource.collection) }
        let pod = ExtendedDeviceNames.owner(of: object) { name in
            store.get(Key("pods", namespace: request.namespace, name: name)).flatMap { try? $0.sharedNode() }
        } claims: {
            (try? store.list(ExtendedDeviceNames.collection, namespace: request.namespace).records.map { try $0.sharedNode() }) ?? []
        }
        return devices.usage(of: object, pod: pod)
    }

    private static func handles(_ request: AdmissionRequest) -> Bool {
        switch (request.resource.collection, request.operation) {
        case (_, .create): return request.subresource.isEmpty
        case ("pods", .update):
            if request.subresource == "resize" { return true }
            guard request.subresource.isEmpty else { return false }
            return request.object["spec"]["activeDeadlineSeconds"].isNull != request.old["spec"]["activeDeadlineSeconds"].isNull
        case ("services", .update), ("resource.k8s.io/resourceclaims", .update): return request.subresource.isEmpty
        case ("persistentvolumeclaims", .update):
            guard request.subresource == "status" else { return request.subresource.isEmpty }
            let fields = ["currentVolumeAttributesClassName", "modifyVolumeStatus", "allocatedResources"]
            return fields.contains { request.object["status"][$0] != request.old["status"][$0] }
        default: return false
        }
    }

    /// A quota on processors or memory asks of every container to say how much it wants.
    private func checkConstraints(_ restricted: [String], _ quota: Node, _ request: AdmissionRequest) throws(APIError) {
        guard request.resource.collection == "pods", request.object["spec"]["resources"].isEmpty else { return }
        let required = ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"].filter(restricted.contains)
        guard !required.isEmpty else { return }
        var missing: [String: Set<String>] = [:]
        for container in request.object["spec"]["containers"].list + request.object["spec"]["initContainers"].list {
            for name in required {
                let parts = name.split(separator: ".")
                let kind = parts.count == 2 ? String(parts[0]) : "requests"
                if container["resources"][kind][String(parts[parts.count - 1])].isNull { missing[name, default: []].insert(container["name"].string ?? "") }
            }
        }
        guard !missing.isEmpty else { return }
        let text = missing.sorted { $0.key < $1.key }.map { "\($0.key) for: \($0.value.sorted().joined(separator: ","))" }.joined(separator: "; ")
        throw request.forbidden("failed quota: \(quota.name): must specify \(text)")
    }

    private func command(_ record: Record, _ quota: Node, _ delta: [String: Quantity], _ request: AdmissionRequest) throws(APIError) -> Command {
        var next = quota
        var exceeded: [String] = []
        let hard = PodRequests.amounts(quota["status"]["hard"])
        let used = PodRequests.amounts(quota["status"]["used"])
        for (name, amount) in delta {
            let sum = (used[name] ?? .zero) + amount
            if let limit = hard[name], limit < sum { exceeded.append(name) }
            next["status"]["used"][name] = .string(sum.description)
        }
        guard exceeded.isEmpty else {
            exceeded.sort()
            func list(_ amounts: [String: Quantity]) -> String { exceeded.map { "\($0)=\(amounts[$0] ?? .zero)" }.joined(separator: ",") }
            throw request.forbidden("exceeded quota: \(quota.name), requested: \(list(delta)), used: \(list(used)), limited: \(list(hard))")
        }
        guard let resource = catalog.resource(.init(group: "", version: "v1", resource: "resourcequotas")) else { throw .internalError("no resourcequotas") }
        return .update(record.key, ObjectDraft.make(next, resource), expected: record.revision)
    }
}

package import Client
package import Core
import Kinds
import Machinery
import Schema
import Synchronization
import Tree

/// Recounts what the objects of a namespace use of its quotas. Admission charges with each write; this takes back what went, and
/// counts what was there before the quota.
///
/// Only what some quota counts is watched. A count is written on the revision of the quota that was read before the objects: a charge
/// in between makes the write lose, and it is counted again.
package final class ResourceQuotas: Reconciler {
    private let served: @Sendable () -> [GarbageCollector.Served]
    private let watched = Mutex<Set<GroupVersionResource>>([])
    private let wake = Mutex<(@Sendable (ObjectKey) -> Void)?>(nil)

    /// `served` are all resources that can be listed and watched, one version each, as of now.
    package init(served: @escaping @Sendable () -> [GarbageCollector.Served]) { self.served = served }

    package var name: String { "resourcequota-controller" }

    package var triggers: [Trigger] {
        [
            Trigger(.resourceQuotas, indexes: [.namespace]) { change, _ in
                guard let new = change.new else { return [] }
                // Its own and admission's writes of the status need no new count.
                return change.old.map { $0["spec"] == new["spec"] && $0["status"]["hard"] == new["status"]["hard"] } == true ? [] : [change.key]
            }
        ]
    }

    package func attach(_ wake: @escaping @Sendable (ObjectKey) -> Void) { self.wake.withLock { $0 = wake } }

    package func reconcile(_ key: ObjectKey, _ view: ClusterView, _ recorder: EventRecorder, now: Timestamp) async throws -> Duration? {
        let counted: [String: GroupVersionResource]
        do {
            counted = collections(try await view.client.get(.resourceQuotas, key)["spec"]["hard"])
            for (collection, resource) in counted { await watch(resource, collection, view) }
            let old = try await view.client.get(.resourceQuotas, key)
            var objects: [String: [Node]] = [:]
            for (collection, resource) in counted { objects[collection] = try await view.client.list(resource, ListOptions(namespace: key.namespace)).items }
            let new = ResourceQuotas.recounted(old, objects, try await devices(counted, view), now: now)
            guard new != old else { return nil }
            _ = try await view.client.update(.resourceQuotas, new, subresource: "status")
        } catch let error as APIError where error.code == 404 {}
        return nil
    }

    /// Nil where no claim counts under the name of an extended resource.
    private func devices(_ counted: [String: GroupVersionResource], _ view: ClusterView) async throws -> ExtendedDeviceNames? {
        guard counted["pods"] != nil, counted[ExtendedDeviceNames.collection] != nil else { return nil }
        let names = ExtendedDeviceNames(classes: try await view.client.list(.deviceClasses, ListOptions()).items)
        return names.isEmpty ? nil : names
    }

    /// The quota with its limits in force and what the objects use of them, by collection.
    static func recounted(_ quota: Node, _ objects: [String: [Node]], _ devices: ExtendedDeviceNames? = nil, now: Timestamp) -> Node {
        var quota = quota
        let hard = quota["spec"]["hard"]
        let before = quota["status"]
        quota["status"]["hard"] = hard
        var used: [String: Quantity] = [:]
        for (collection, items) in objects {
            let names = QuotaUsage.restricted(quota, collection: collection, devices)
            for name in names { used[name] = used[name] ?? .zero }
            for object in items where QuotaUsage.matches(quota, object, collection: collection, devices) {
                let usage: [String: Quantity]
                if let devices, collection == ExtendedDeviceNames.collection {
                    let pod = ExtendedDeviceNames.owner(of: object) { name in objects["pods"]?.first { $0.name == name } } claims: { items }
                    usage = devices.usage(of: object, pod: pod)
                } else {
                    usage = QuotaUsage.of(object, collection: collection, isAlive: isAlive(object, now))
                }
                for name in names { if let amount = usage[name] { used[name] = (used[name] ?? .zero) + amount } }
            }
        }
        // What nobody counts keeps what was said of it.
        let stated = PodRequests.amounts(before["used"])
        let all = used.merging(stated.filter { !hard[$0.key].isNull }) { counted, _ in counted }
        guard hard != before["hard"] || all != stated else {
            quota["status"] = before
            return quota
        }
        quota["status"]["used"] = all.isEmpty ? .null : Node(all.mapValues(\.description))
        return quota
    }

    /// Past its grace a pod that is still there only waits to be seen to go.
    private static func isAlive(_ object: Node, _ now: Timestamp) -> Bool {
        guard let deletion = object["metadata"].time("deletionTimestamp") else { return true }
        return now <= deletion + .seconds(object["metadata"]["deletionGracePeriodSeconds"].int ?? 0)
    }

    private static let plain: [String: GroupVersionResource] = [
        "pods": .pods, "services": .services, "persistentvolumeclaims": .persistentVolumeClaims, "configmaps": .configMaps, "secrets": .secrets,
        "replicationcontrollers": .replicationControllers, "resourcequotas": .resourceQuotas,
    ]

    /// Which collections of objects the names in a quota are about.
    private func collections(_ hard: Node) -> [String: GroupVersionResource] {
        var out: [String: GroupVersionResource] = [:]
        lazy var served = served()
        for (name, _) in hard.fields {
            for (collection, resource) in ResourceQuotas.plain where QuotaUsage.isCounted(name, collection) { out[collection] = resource }
            // What pods ask for by the name of an extended resource may be devices, which claims count for too.
            if QuotaUsage.isCounted(name, ExtendedDeviceNames.collection) || (name.hasPrefix("requests.") && name.contains("/")),
                let claims = served.first(where: { $0.resource.group == "resource.k8s.io" && $0.resource.resource == "resourceclaims" })
            {
                out["resource.k8s.io/resourceclaims"] = claims.resource
            }
            guard name.hasPrefix("count/") else { continue }
            let parts = name.dropFirst("count/".count).split(separator: ".", maxSplits: 1)
            guard let resource = parts.first.map(String.init) else { continue }
            let group = parts.count == 2 ? String(parts[1]) : ""
            guard let found = served.first(where: { $0.isNamespaced && $0.resource.group == group && $0.resource.resource == resource }) else { continue }
            out[group.isEmpty ? resource : "\(group)/\(resource)"] = found.resource
        }
        return out
    }

    /// Listens to what lowers the use of quotas: objects that go, and those that change what they count for.
    private func watch(_ resource: GroupVersionResource, _ collection: String, _ view: ClusterView) async {
        if watched.withLock({ $0.insert(resource).inserted }) {
            view.listen(resource) { [self] change in
                guard let old = change.old else { return }
                if let new = change.new, !ResourceQuotas.differs(old, new, collection) { return }
                let quotas = view.read { $0[.resourceQuotas].keys("namespace", change.key.namespace) }
                if let wake = wake.withLock({ $0 }) { for quota in quotas { wake(quota) } }
            }
            view.declare(resource)
        }
        // Nothing that goes from now on is missed.
        await view.reached(1, resource)
    }

    private static func differs(_ old: Node, _ new: Node, _ collection: String) -> Bool {
        guard ["pods", "services", "persistentvolumeclaims", "resource.k8s.io/resourceclaims"].contains(collection) else { return false }
        if collection == "persistentvolumeclaims" {
            // The classes of attributes decide which quotas a claim falls under.
            let fields = [("spec", "volumeAttributesClassName"), ("status", "currentVolumeAttributesClassName"), ("status", "modifyVolumeStatus")]
            if fields.contains(where: { old[$0.0][$0.1] != new[$0.0][$0.1] }) { return true }
        }
        if collection == "pods", old["spec"]["activeDeadlineSeconds"] != new["spec"]["activeDeadlineSeconds"] { return true }
        return QuotaUsage.of(old, collection: collection) != QuotaUsage.of(new, collection: collection)
    }
}

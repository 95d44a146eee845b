package import Client
package import Core
import Machinery
import Schema
import Tree

/// Keeps classes of attributes that a claim or a volume has or is to get.
package struct AttributesClassProtection: Reconciler {
    private static let finalizer = "kubernetes.io/vac-protection"

    package init() {}
    package var name: String { "volumeattributesclass-protection-controller" }

    package var triggers: [Trigger] {
        [
            .own(.volumeAttributesClasses),
            Trigger(.persistentVolumeClaims) { change, view in AttributesClassProtection.freed(change.old, change.new, view) },
            Trigger(.persistentVolumes) { change, view in AttributesClassProtection.freed(change.old, change.new, view) },
        ]
    }

    /// The classes under deletion that an object does not name any more.
    private static func freed(_ old: Node?, _ new: Node?, _ view: ClusterView) -> [ObjectKey] {
        let gone = names(old ?? .null).subtracting(names(new ?? .null))
        return gone.map { ObjectKey("", $0) }.filter { view.get(.volumeAttributesClasses, $0)?.isBeingDeleted == true }
    }

    private static func names(_ object: Node) -> Set<String> {
        let status = object["status"]
        let told = [object["spec"]["volumeAttributesClassName"], status["currentVolumeAttributesClassName"], status["modifyVolumeStatus"]["targetVolumeAttributesClassName"]]
        return Set(told.compactMap(\.string).filter { !$0.isEmpty })
    }

    package func reconcile(_ key: ObjectKey, _ view: ClusterView, _ recorder: EventRecorder, now: Timestamp) async throws -> Duration? {
        guard let item = view.get(.volumeAttributesClasses, key) else { return nil }
        let isProtected = item.finalizers.contains(AttributesClassProtection.finalizer)
        if !item.isBeingDeleted {
            if !isProtected { try await Finalizers.set(item, .volumeAttributesClasses, item.finalizers + [AttributesClassProtection.finalizer], view) }
            return nil
        }
        guard isProtected else { return nil }
        // The view may be behind: ask.
        for resource in [GroupVersionResource.persistentVolumeClaims, .persistentVolumes] {
            let all = try await view.client.list(resource, ListOptions()).items
            if all.contains(where: { AttributesClassProtection.names($0).contains(key.name) }) { return nil }
        }
        try await Finalizers.set(item, .volumeAttributesClasses, item.finalizers.filter { $0 != AttributesClassProtection.finalizer }, view)
        return nil
    }
}

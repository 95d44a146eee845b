package import Client
package import Core
import Machinery
package import Schema
import Tree

/// Empties a namespace that is being deleted, pods first, and then lets it go.
package struct Namespaces: Reconciler {
    private let resources: @Sendable () -> [GroupVersionResource]

    /// `resources` are the namespaced ones that can be listed and deleted, one version each, as of now.
    package init(resources: @escaping @Sendable () -> [GroupVersionResource]) { self.resources = resources }

    package var name: String { "namespace-controller" }

    package var triggers: [Trigger] {
        // What takes long to go wakes the controller when it is gone.
        let slow: [GroupVersionResource] = [.pods, .persistentVolumeClaims]
        return [Trigger(.namespaces) { change, _ in change.new?.isBeingDeleted == true ? [change.key] : [] }]
            + slow.map { resource in
                Trigger(resource) { change, view in
                    let key = ObjectKey("", change.key.namespace)
                    return change.new == nil && view.get(.namespaces, key)?.isBeingDeleted == true ? [key] : []
                }
            }
    }

    /// What one pass found left.
    private struct Remaining: Sendable {
        var counts: [GroupVersionResource: Int] = [:]
        var finalizers: [String: Int] = [:]
        var errors: [String] = []

        mutating func merge(_ other: Remaining) {
            counts.merge(other.counts) { $1 }
            finalizers.merge(other.finalizers, uniquingKeysWith: +)
            errors += other.errors
        }
    }

    package func reconcile(_ key: ObjectKey, _ view: ClusterView, _ recorder: EventRecorder, now: Timestamp) async throws -> Duration? {
        guard let seen = view.get(.namespaces, key), seen.isBeingDeleted, seen["spec"]["finalizers"].stringList.contains("kubernetes") else { return nil }
        let all = resources()
        var left = all.contains(.pods) ? await empty(.pods, key.name, view.client) : Remaining()
        if left.counts.isEmpty {
            await withTaskGroup(of: Remaining.self) { group in
                for resource in all where resource != .pods { group.addTask { await empty(resource, key.name, view.client) } }
                for await one in group { left.merge(one) }
            }
        }
        var namespace: Node
        do { namespace = try await view.client.get(.namespaces, key) } catch let error as APIError where error.code == 404 { return nil }
        let status = Namespaces.status(namespace["status"], left, now)
        if status != namespace["status"] {
            namespace = try await view.client.update(.namespaces, namespace.with(status: status), subresource: "status")
        }
        guard left.counts.isEmpty, left.errors.isEmpty else { return .seconds(left.errors.isEmpty ? 2 : 5) }
        namespace["spec"]["finalizers"] = Node(namespace["spec"]["finalizers"].stringList.filter { $0 != "kubernetes" })
        do {
            _ = try await view.client.update(.namespaces, namespace, subresource: "finalize")
        } catch let error as APIError where error.code == 404 {}
        return nil
    }

    private func empty(_ resource: GroupVersionResource, _ namespace: String, _ client: any ClusterClient) async -> Remaining {
        var out = Remaining()
        do {
            let options = ListOptions(namespace: namespace)
            let items = try await client.list(resource, options).items
            if items.isEmpty { return out }
            for item in items where !item.isBeingDeleted {
                do {
                    _ = try await client.delete(resource, ObjectKey(namespace, item.name), DeleteOptions(propagation: .background, uid: item.uid))
                } catch let error as APIError where error.code == 404 || error.code == 405 || error.code == 409 {}
            }
            let left = try await client.list(resource, options).items
            if !left.isEmpty { out.counts[resource] = left.count }
            for item in left { for finalizer in item.finalizers { out.finalizers[finalizer, default: 0] += 1 } }
        } catch let error as APIError where error.code == 404 || error.code == 405 {
            // The resource is not served any more.
        } catch {
            out.errors.append("\(error)")
        }
        return out
    }

    // MARK: - Conditions

    private static let types: [(type: String, reason: String, message: String)] = [
        ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
        ("NamespaceDeletionContentFailure", "ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
        ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
    ]

    private static func status(_ old: Node, _ left: Remaining, _ now: Timestamp) -> Node {
        var found: [String: (reason: String, message: String)] = [:]
        if !left.errors.isEmpty {
            let text = left.errors.sorted().joined(separator: ", ")
            found["NamespaceDeletionContentFailure"] = (
                "ContentDeletionFailed", "Failed to delete all resource types, \(left.errors.count) remaining: \(text)"
            )
        }
        if !left.counts.isEmpty {
            let text = left.counts.map { "\($0.resource).\($0.group) has \($1) resource instances" }.sorted().joined(separator: ", ")
            found["NamespaceContentRemaining"] = ("SomeResourcesRemain", "Some resources are remaining: \(text)")
        }
        if !left.finalizers.isEmpty {
            let text = left.finalizers.map { "\($0) in \($1) resource instances" }.sorted().joined(separator: ", ")
            found["NamespaceFinalizersRemaining"] = ("SomeFinalizersRemain", "Some content in the namespace has finalizers remaining: \(text)")
        }
        var status = old
        status["phase"] = "Terminating"
        for (type, reason, message) in types {
            let bad = found[type]
            status.setCondition(type, bad == nil ? "False" : "True", reason: bad?.reason ?? reason, message: bad?.message ?? message, now: now)
        }
        return status
    }
}

import Client
import Core
import Logging
import Machinery
import Schema
import Tree

/// Keeps the node's object and its lease.
struct NodeAgent: Sendable {
    let kubelet: Kubelet
    private var node: NodeConfiguration { kubelet.parts.node }
    var client: any ClusterClient { kubelet.parts.client }
    var key: ObjectKey { ObjectKey("", node.name) }

    init(_ kubelet: Kubelet) { self.kubelet = kubelet }

    func run() async {
        await register()
        var about = NodeObject.make(node)
        about["metadata"]["uid"] = .string(node.name)
        kubelet.parts.recorder.record(Event(about, reason: "Starting", message: "Starting kubelet."))
        await withDiscardingTaskGroup { group in
            group.addTask { await self.keepLease() }
            group.addTask { await self.keepStatus() }
            group.addTask { await self.keepForeignResources() }
        }
    }

    /// Until it succeeded once.
    private func register() async {
        var backoff = Backoff(base: .milliseconds(100), limit: .seconds(7))
        while !Task.isCancelled {
            do { return try await registerOnce() } catch {
                kubelet.parts.log.warning("node not registered", metadata: ["error": "\(error)"])
                try? await Task.sleep(for: backoff.next())
            }
        }
    }

    private func registerOnce() async throws {
        var object = NodeObject.make(node)
        object["status"] = NodeObject.status(node, images: kubelet.parts.images.summaries())
        object["status"]["conditions"] = .list(NodeObject.conditions(old: [], now: .now()))
        do { _ = try await client.create(.nodes, namespace: "", object) } catch let error as APIError where error.reason == "AlreadyExists" {
            _ = try await client.patch(.nodes, key, .merge, ["metadata": ["labels": Node(NodeObject.labels(node))]], subresource: nil)
        }
        try await writeStatus()
    }

    /// Conditions merge by type, so that those of others stay.
    private func writeStatus() async throws {
        let current = try await client.get(.nodes, key)
        var status = NodeObject.status(node, images: kubelet.parts.images.summaries())
        status["conditions"] = .list(NodeObject.conditions(old: current["status"]["conditions"].list, now: .now()))
        status["addresses"] = .list([["$patch": "replace"]] + status["addresses"].list)
        _ = try await client.patch(.nodes, key, .strategic, ["status": status], subresource: "status")
    }

    /// From time to time, and at once where somebody believes this kubelet to be silent.
    private func keepStatus() async {
        let key = key
        let (wishes, wish) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        kubelet.view.listen(.nodes) { if $0.key == key, let node = $0.new, NodeObject.isDoubted(node) { wish.yield() } }
        if let node = kubelet.view.get(.nodes, key), NodeObject.isDoubted(node) { wish.yield() }
        await withDiscardingTaskGroup { group in
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: self.node.statusInterval)
                    wish.yield()
                }
            }
            var backoff = Backoff(base: .seconds(1), limit: .seconds(60))
            for await _ in wishes {
                do {
                    do { try await writeStatus() } catch let error as APIError where error.code == 404 { await register() }
                    backoff.reset()
                } catch {
                    kubelet.parts.log.warning("node status not written", metadata: ["error": "\(error)"])
                    try? await Task.sleep(for: backoff.next())
                    wish.yield()
                }
            }
        }
    }

    // MARK: - Lease

    private func keepLease() async {
        while !Task.isCancelled {
            var backoff = Backoff(base: .milliseconds(200), limit: .seconds(7))
            while !Task.isCancelled {
                do {
                    try await renew()
                    break
                } catch {
                    kubelet.parts.log.debug("lease not renewed", metadata: ["error": "\(error)"])
                    try? await Task.sleep(for: backoff.next())
                }
            }
            try? await Task.sleep(for: .seconds(node.leaseSeconds / 4))
        }
    }

    private func renew() async throws {
        let place = ObjectKey("kube-node-lease", node.name)
        let spec: Node = [
            "holderIdentity": .string(node.name), "leaseDurationSeconds": .int(Int64(node.leaseSeconds)), "renewTime": .string(Timestamp.now().rfc3339Micro),
        ]
        do { _ = try await client.patch(.leases, place, .merge, ["spec": spec], subresource: nil) } catch let error as APIError where error.code == 404 {
            var lease: Node = ["apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": ["name": .string(node.name), "namespace": "kube-node-lease"], "spec": spec]
            if let object = try? await client.get(.nodes, key) {
                lease["metadata"]["ownerReferences"] = [
                    ["apiVersion": "v1", "kind": "Node", "name": .string(node.name), "uid": .string(object.uid)]
                ]
            }
            _ = try await client.create(.leases, namespace: "kube-node-lease", lease)
        }
    }
}

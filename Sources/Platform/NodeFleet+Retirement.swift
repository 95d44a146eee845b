import Client
import Containers
import Core
import Emulation
import HostNetwork
import Kubelet
import Linux
import Logging
import Machinery
import Schema
import Tree

/// Nodes that the cluster had and that were chosen away: what is left of them goes before the others begin.
extension NodeFleet {
    /// Adopts their networks and ends them.
    static func removeStrayNetworks(_ network: NetworkBoot, besides names: Set<String>) throws {
        for name in try NodeNetwork.existing(network.plan) where !names.contains(name) {
            _ = try network.addNode(name, warmPods: 0)
            try network.removeNode(name)
        }
    }

    /// Ends containers of such nodes, then tells the API that there are neither the nodes nor their pods.
    func retireStrays() async throws {
        for sandbox in runtime.all where !(sandbox.labels[Label.node].map(names.contains) ?? true) { try await sandbox.remove() }
        for resource in [GroupVersionResource.nodes, .pods] { await view.reached(1, resource) }
        let gone = view.read { state in state[.nodes].objects.values.filter { !EmulatedNode.isOne($0) }.map(\.name).filter { isOurs($0) && !names.contains($0) } }
        for name in gone {
            log.info("removing a node that was chosen away", metadata: ["node": "\(name)"])
            let pods = view.read { state in state[.pods].objects.filter { $0.value["spec"]["nodeName"].string == name }.map(\.key) }
            try await delete(.nodes, ObjectKey("", name))
            for pod in pods { try await delete(.pods, pod) }
            try removeDirectories(of: name)
        }
    }

    /// Named as this fleet names its nodes; one that joined from elsewhere is not for us to delete.
    private func isOurs(_ name: String) -> Bool {
        let prefix = "\(clusterName)-"
        return name == clusterName || (name.hasPrefix(prefix) && Int(name.dropFirst(prefix.count)) != nil)
    }

    private func delete(_ resource: GroupVersionResource, _ key: ObjectKey) async throws {
        do { _ = try await view.client.delete(resource, key, DeleteOptions(gracePeriodSeconds: 0)) } catch let error as APIError where error.reason == "NotFound" {}
    }

    private func removeDirectories(of name: String) throws {
        for path in ["\(directory.pods)/\(name)", "\(directory.kubelets)/\(name)", "\(directory.run)/nodes/\(name)", "\(directory.logs)/\(name)"] {
            for mount in try Mounts.below(path) { try Mounts.unmount(mount.target) }
            try FileSystem.removeTree(path)
        }
    }
}

package import Client
import Machinery
import Schema
package import Tree

/// The StorageClass that a cluster starts with, and that claims get which name none.
package enum StandardClass {
    package static let name = "standard"

    package static let object: Node = [
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": ["name": .string(name), "annotations": ["storageclass.kubernetes.io/is-default-class": "true"]],
        "provisioner": .string(LocalVolumes.provisioner), "reclaimPolicy": "Delete", "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": true,
    ]

    /// Makes it where there is none of its name; one that somebody changed stays as it is.
    package static func ensure(_ client: any ClusterClient) async throws {
        do { _ = try await client.create(.storageClasses, namespace: "", object) } catch let error as APIError where error.reason == "AlreadyExists" {}
    }
}

import Client
import Containers
import Core
import Logging
import Machinery
import Tree

/// What the pods of one node share.
struct KubeletParts: Sendable {
    let node: NodeConfiguration
    let client: any ClusterClient
    let objects: ObjectSource
    let runtime: ContainerRuntime
    let network: any PodNetworking
    let images: NodeImages
    let recorder: EventRecorder
    let drivers: DriverPlugins
    let claims: ClaimPreparation
    /// For calls that block for a short time: files, netlink.
    let threads = BlockingThreads(limit: 8)
    /// For connections of probes and port-forwards, which may block until they time out.
    let dialing = BlockingThreads(limit: 32)
    let startedAt = Timestamp.now()
    let log: Logger
}

package import Client
package import Emulation
package import ImageBuilder
package import Tree

/// What the control socket commands: a running cluster with its images and its registry.
package protocol ControlledCluster: AnyObject, Sendable {
    var directory: StateDirectory { get }
    var registry: RegistryService { get }
    var builder: ImageBuilder { get }
    var emulation: NodeEmulation { get }

    /// `name`, `version`, `pid`, `started`, `server`, `nodes`, `services`: what `ClusterStatus` makes of a view.
    func status() async throws -> Node

    /// What the scheduler says of a pod; nil where there is none.
    func explain(_ pod: ObjectKey) async throws -> Node?

    /// Returns when the API answers and every node is Ready; says meanwhile what it waits for.
    func waitUntilReady(_ progress: @escaping @Sendable (String) -> Void) async throws

    /// Ends the cluster: pods too, unless they are kept for the next daemon; their containers have `grace` to end by themselves. Returns
    /// before the process ends; the process ends soon after, without being asked again.
    func stop(keeping: Bool, grace: Duration, _ progress: @escaping @Sendable (String) -> Void) async throws
}

import Tree

/// What the demo asks of the cluster's API: by kubectl where there is one, else by itself.
protocol DemoClient: Sendable {
    /// How a step names the tool: `kubectl`, or `API`.
    var name: String { get }
    func apply(_ objects: [Node]) async throws
    func createPullSecret(_ name: String, server: String, user: String, password: String) async throws
    /// Objects of the demo's namespace, by plural name and label selector (empty: all).
    func list(_ resource: String, selector: String) async throws -> [Node]
    func scale(_ deployment: String, to replicas: Int) async throws
    /// Returns once the deployment's newest template is what runs, and nothing else.
    func rollout(_ deployment: String) async throws
    func undo(_ deployment: String) async throws
    func deletePods(selector: String) async throws
    /// Deletes the demo's namespace and returns when it is gone; one that is not there is fine.
    func deleteNamespace() async throws
}

enum DemoNames {
    static let namespace = "loja"
    static let registry = "meu-registry"
    static let user = "demo"
    static let api = "checkout-api"
    static let worker = "order-worker"
    static let secret = "meu-registry-pull"
    static let rolloutSeconds = 120
}

import Tree

/// The demo's requests as a person would type them.
struct KubectlClient: DemoClient {
    let program: String
    let kubeconfig: String
    var name: String { "kubectl" }

    func apply(_ objects: [Node]) async throws {
        try await run(["apply", "-f", "-"], input: YAMLWriter.write(documents: objects))
    }

    func createPullSecret(_ name: String, server: String, user: String, password: String) async throws {
        try await run([
            "create", "secret", "docker-registry", name, "--docker-server=\(server)", "--docker-username=\(user)", "--docker-password=\(password)",
        ])
    }

    func list(_ resource: String, selector: String) async throws -> [Node] {
        try JSONReader.read(try await run(["get", resource, "-o", "json"] + (selector.isEmpty ? [] : ["-l", selector])))["items"].list
    }

    func scale(_ deployment: String, to replicas: Int) async throws { try await run(["scale", "deployment/\(deployment)", "--replicas=\(replicas)"]) }

    func rollout(_ deployment: String) async throws {
        try await run(["rollout", "status", "deployment/\(deployment)", "--timeout=\(DemoNames.rolloutSeconds)s"])
    }

    func undo(_ deployment: String) async throws { try await run(["rollout", "undo", "deployment/\(deployment)"]) }

    func deletePods(selector: String) async throws { try await run(["delete", "pods", "-l", selector, "--wait=false"]) }

    func deleteNamespace() async throws {
        try await run(["delete", "namespace", DemoNames.namespace, "--ignore-not-found", "--timeout=\(DemoNames.rolloutSeconds)s"])
    }

    @discardableResult
    private func run(_ arguments: [String], input: [UInt8] = []) async throws -> [UInt8] {
        let all = ["--kubeconfig", kubeconfig, "--namespace", DemoNames.namespace] + arguments
        let (outcome, errors) = try await Subprocess.run(program, all, input: input)
        guard outcome.code == 0 else {
            let words = arguments.prefix(2).joined(separator: " ")
            let said = (errors.isEmpty ? outcome.text : errors).split(separator: "\n").last.map(String.init) ?? "code \(outcome.code)"
            throw CommandFailure("kubectl \(words): \(said)")
        }
        return outcome.output
    }
}

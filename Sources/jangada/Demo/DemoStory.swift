import Core
import Glibc
import Platform
import Tree

/// The story of checkout-api and order-worker: registry, image, deployment, scale, rolling update under load, and back.
struct DemoStory: Sendable {
    let cluster: ClusterOptions
    let control: ControlClient
    let client: any DemoClient
    let images: String
    /// Kill the daemon in the middle of the rolling update and start it again.
    let killsDaemon: Bool
    let timeline: Timeline

    private struct Login { var user: String, token: String }

    /// Plays it; the counts are those of the load while it was on.
    func play() async throws -> LoadGenerator.Counts {
        let status = try await control.get("/v1/status")
        let registry = status["registry"]["address"].string ?? "localhost:5000"
        let manifests = DemoManifests(prefix: "\(registry)/\(DemoNames.registry)")
        try await timeline.step("what an earlier demo left is deleted") { try await client.deleteNamespace() }

        timeline.chapter("1. A private registry")
        let login = try await makeRegistry()
        timeline.chapter("2. Images: built and pushed")
        try await makeImages(manifests, login)
        timeline.chapter("3. A deployment of a private image, behind a load balancer")
        let address = try await deploy(manifests, registry, login)

        timeline.chapter("4. Growing, a new version and back, under constant load")
        let load = LoadGenerator(host: address, port: 80)
        try await timeline.step("the load balancer answers at http://\(address)/", note: { (_: Void) in "requests go on from here to the end" }) {
            try await waitForAnswer(address)
            load.start()
            try await load.waitFor(version: "v1", atMost: .seconds(10))
        }
        do { try await update(manifests, load) } catch {
            _ = await load.stop()
            throw error
        }
        return await load.stop()
    }

    // MARK: - 1

    private func makeRegistry() async throws -> Login {
        let name = DemoNames.registry
        let known = try await control.get("/v1/registries")["items"].list.contains { $0["name"].string == name }
        try await timeline.step("jangada registry create \(name)", note: { (_: Void) in known ? "it is there already" : "" }) {
            if !known { _ = try await control.send("POST", "/v1/registries", ["name": .string(name)]) }
        }
        let before = try await control.get("/v1/credentials?registry=\(name)")["items"].list
        for old in before where old["user"].string == DemoNames.user {
            _ = try await control.send("DELETE", "/v1/credentials/\((old["id"].string ?? "").urlEscaped)")
        }
        let made = try await timeline.step("jangada registry credentials create \(name) --user \(DemoNames.user)") {
            try await control.send("POST", "/v1/credentials", ["registry": .string(name), "user": .string(DemoNames.user)])
        }
        let id = made["id"].string ?? ""
        let rotated = try await timeline.step("jangada registry credentials rotate \(id)", note: { (_: Node) in "the first token is void" }) {
            try await control.send("POST", "/v1/credentials/\(id.urlEscaped)/rotate")
        }
        return Login(user: DemoNames.user, token: rotated["token"].string ?? "")
    }

    // MARK: - 2

    private func makeImages(_ manifests: DemoManifests, _ login: Login) async throws {
        for (name, version) in [(DemoNames.api, "v1"), (DemoNames.api, "v2"), (DemoNames.worker, "v1")] {
            let image = manifests.image(name, version)
            let request: Node = [
                "context": .string("\(images)/\(name)"), "tags": [.string(image)], "arguments": ["VERSION": .string(version)],
            ]
            try await timeline.step("jangada build -t \(image)") { try await control.stream("/v1/build", request) { _ in } }
            let push: Node = ["image": .string(image), "user": .string(login.user), "password": .string(login.token)]
            try await timeline.step("jangada image push \(image)", note: { $0["digest"].string.map { String($0.prefix(19)) } ?? "" }) {
                try await control.stream("/v1/images/push", push) { _ in }
            }
            // What is local needs no secret: from here on only the registry has it.
            _ = try await control.send("DELETE", "/v1/images?name=\(image.urlEscaped)")
        }
    }

    // MARK: - 3

    private func deploy(_ manifests: DemoManifests, _ registry: String, _ login: Login) async throws -> String {
        let selector = "app=\(DemoNames.api)"
        try await timeline.step("\(client.name) apply: Deployment (2 replicas), Service of type LoadBalancer") {
            try await client.apply([DemoManifests.namespace])
            try await client.apply([manifests.deployment(version: "v1", replicas: 2), DemoManifests.service] + manifests.worker(version: "v1"))
        }
        let reason = try await timeline.step("without the pull secret the pods cannot start", note: { (waiting: Node) in waiting["reason"].string ?? "" }) {
            try await waitForPullError(selector)
        }
        timeline.detail(String((reason["message"].string ?? "").prefix(400)))
        try await timeline.step("\(client.name) create secret docker-registry \(DemoNames.secret)") {
            try await client.createPullSecret(DemoNames.secret, server: registry, user: login.user, password: login.token)
            // Their back-off would end soon; fresh pods do not wait for it.
            try await client.deletePods(selector: selector)
            try await client.deletePods(selector: "app=\(DemoNames.worker)")
        }
        try await timeline.step("2 replicas of checkout-api and the order-worker are available") {
            try await client.rollout(DemoNames.api)
            try await client.rollout(DemoNames.worker)
        }
        return try await timeline.step("the Service has an address", note: { $0 }) { try await waitForAddress() }
    }

    private func waitForPullError(_ selector: String) async throws -> Node {
        try await poll("no pod says that it cannot pull its image") {
            for pod in try await client.list("pods", selector: selector) {
                for container in pod["status"]["containerStatuses"].list {
                    let waiting = container["state"]["waiting"]
                    if ["ErrImagePull", "ImagePullBackOff"].contains(waiting["reason"].string) { return waiting }
                }
            }
            return nil
        }
    }

    private func waitForAddress() async throws -> String {
        try await poll("the Service gets no address") {
            let services = try await client.list("services", selector: "").first { $0["metadata"]["name"].string == DemoNames.api }
            return services?["status"]["loadBalancer"]["ingress"][0]["ip"].string
        }
    }

    /// Endpoints reach the rules a moment after the pods are Ready.
    private func waitForAnswer(_ address: String) async throws {
        let probe = LoadGenerator(host: address, port: 80)
        probe.start()
        do { try await probe.waitFor(version: "v1", atMost: .seconds(30)) } catch {
            let counts = await probe.stop()
            throw CommandFailure("http://\(address)/ does not answer: \(counts.failures.last ?? "")")
        }
        _ = await probe.stop()
    }

    private func poll<Result>(_ failure: String, _ body: () async throws -> Result?) async throws -> Result {
        let deadline = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < deadline {
            if let result = try await body() { return result }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw CommandFailure(failure, hint: "See: kubectl -n \(DemoNames.namespace) describe pods")
    }

    // MARK: - 4

    private func update(_ manifests: DemoManifests, _ load: LoadGenerator) async throws {
        try await measured("\(client.name) scale --replicas=4", load) {
            try await client.scale(DemoNames.api, to: 4)
            try await client.rollout(DemoNames.api)
        }
        try await measured("\(client.name) apply with \(DemoNames.api):v2: a rolling update" + (killsDaemon ? ", daemon killed in its middle" : ""), load) {
            try await client.apply([manifests.deployment(version: "v2", replicas: 4)])
            if killsDaemon { try await killDaemon(load) }
            try await client.rollout(DemoNames.api)
            try await load.waitFor(version: "v2", atMost: .seconds(20))
        }
        try await measured("\(client.name) rollout undo", load) {
            try await client.undo(DemoNames.api)
            try await client.rollout(DemoNames.api)
            try await load.waitFor(version: "v1", atMost: .seconds(20))
        }
    }

    /// A step with the requests that were answered and failed in its time.
    private func measured(_ text: String, _ load: LoadGenerator, _ body: () async throws -> Void) async throws {
        let before = load.snapshot
        try await timeline.step(text, note: { (_: Void) in
            let now = load.snapshot
            let versions = now.versions.keys.sorted().compactMap { version -> String? in
                let count = (now.versions[version] ?? 0) - (before.versions[version] ?? 0)
                return count > 0 ? "\(version): \(count)" : nil
            }
            return "\(now.answered - before.answered) answered (\(versions.joined(separator: ", "))), \(now.failed - before.failed) failed"
        }, body)
    }

    private func killDaemon(_ load: LoadGenerator) async throws {
        try await load.waitFor(version: "v2", atMost: .seconds(60))
        guard let pid = try await control.get("/v1/status")["pid"].int.flatMap(Int32.init(exactly:)), kill(pid, SIGKILL) == 0 else {
            throw CommandFailure("the daemon cannot be killed")
        }
        _ = try await DaemonProcess.waitForEnd(of: pid, atMost: .seconds(10))
        let daemon = DaemonProcess(cluster)
        try await daemon.waitForSocket(try daemon.start())
        _ = try await control.stream("/v1/ready", [:]) { _ in }
    }
}

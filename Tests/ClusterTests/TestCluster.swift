import Core
import Glibc
import Linux
import Platform
import Testing
import Tree

/// A cluster of its own, with its own directories, number and ports, run by the built program; gone when the body ends, however it ends.
final class TestCluster: Sendable {
    /// Clusters need the kernel's consent.
    static let isPossible = geteuid() == 0

    let directory: StateDirectory
    /// What the commands get to know which cluster is meant.
    let options: [String]
    let home: String
    var kubeconfig: String { "\(home)/kubeconfig" }

    /// Where the build put its programs: beside this test; `JANGADA_PROGRAM` is another build's to be tested.
    static func program() throws -> String {
        if let other = getenv("JANGADA_PROGRAM") { return String(cString: other) }
        return FileSystem.parent(of: try FileSystem.readLink("/proc/self/exe")) + "/jangada"
    }
    static let sources = #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }

    private init(name: String?) throws {
        home = "/tmp/jangada-cluster-\(Identifier.suffix(8))"
        try FileSystem.makeDirectories(home, mode: 0o755)
        directory = name.map(StateDirectory.named) ?? StateDirectory(root: "\(home)/state", run: "\(home)/run")
        options = name.map { ["--name", $0] } ?? ["--state", directory.root, "--run", directory.run]
    }

    /// With `name`, the cluster is where a person's would be. `berths` is how many clusters there will be at once, 0 inside another's body.
    static func with(name: String? = nil, berths: Int = 1, _ body: (TestCluster) async throws -> Void) async throws {
        await Berths.shared.take(berths)
        let cluster: TestCluster
        do {
            cluster = try TestCluster(name: name)
            do { try await body(cluster) } catch {
                cluster.showLog()
                try await cluster.close()
                throw error
            }
            try await cluster.close()
        } catch {
            await Berths.shared.leave(berths)
            throw error
        }
        await Berths.shared.leave(berths)
    }

    private func close() async throws {
        let reset = try await jangada("reset", "--yes")
        #expect(reset.code == 0, "\(reset.said)")
        #expect(try Inventory.of(self) == [])
        try FileSystem.removeTree(home)
    }

    private func showLog() {
        guard let log = try? FileSystem.readFile(directory.daemonLog) else { return }
        print(String(decoding: log.suffix(3000), as: UTF8.self))
    }

    // MARK: - Commands

    func jangada(_ words: String..., limit: Duration = .seconds(120)) async throws -> Command { try await jangada(words, limit: limit) }

    func jangada(_ words: [String], limit: Duration = .seconds(120)) async throws -> Command {
        try await Command.run(try TestCluster.program(), words + options, environment: ["KUBECONFIG": kubeconfig], limit: limit)
    }

    /// Expects success, and gives what was printed.
    @discardableResult
    func succeed(_ words: String..., limit: Duration = .seconds(120), at location: SourceLocation = #_sourceLocation) async throws -> String {
        let command = try await jangada(words, limit: limit)
        try #require(command.code == 0, "\(command.said)", sourceLocation: location)
        return command.output
    }

    func status() async throws -> Node { try JSONReader.read(Array(try await succeed("status", "-o", "json").utf8)) }

    var api: TestAPI { get throws { try TestAPI(kubeconfig: directory.adminKubeconfig) } }

    // MARK: - The daemon

    var daemon: Int32? { DaemonLock.holder(directory).pid }

    func killDaemon() async throws {
        let pid = try #require(daemon)
        kill(pid, SIGKILL)
        try await eventually("the daemon has ended") { DaemonLock.holder(self.directory).isHeld == false }
    }

    // MARK: - Something to run

    /// Builds checkout-api under a name.
    func buildImage(_ name: String, version: String = "v1") async throws {
        let compiled = try await Command.run("/bin/sh", ["\(TestCluster.sources)/Images/build"])
        try #require(compiled.code == 0, "\(compiled.said)")
        try await succeed("build", "-t", name, "--build-arg", "VERSION=\(version)", "\(TestCluster.sources)/Images/checkout-api")
    }

    /// A Deployment `web`, with a claimed volume and one in memory where asked, behind a load balancer; returns its address when it answers.
    func deployWeb(replicas: Int, withVolume: Bool = false) async throws -> String {
        try await buildImage("web:1")
        let api = try api
        if withVolume {
            try await api.send(
                "POST", "/api/v1/namespaces/default/persistentvolumeclaims",
                "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}")
        }
        try await api.send(
            "POST", "/apis/apps/v1/namespaces/default/deployments",
            """
            apiVersion: apps/v1
            kind: Deployment
            metadata: {name: web}
            spec:
              replicas: \(replicas)
              selector: {matchLabels: {app: web}}
              template:
                metadata: {labels: {app: web}}
                spec:
                  terminationGracePeriodSeconds: 1
                  containers:
                  - {name: web, image: 'web:1', ports: [{containerPort: 8080}], readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}\(withVolume ? ", volumeMounts: [{name: data, mountPath: /data}, {name: scratch, mountPath: /scratch}]" : "")}
            \(withVolume ? "      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}, {name: scratch, emptyDir: {medium: Memory}}]" : "")
            """)
        try await api.send(
            "POST", "/api/v1/namespaces/default/services",
            "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}")
        try await eventually("\(replicas) replicas are ready") {
            try await api.get("/apis/apps/v1/namespaces/default/deployments/web")["status"]["readyReplicas"].int == Int64(replicas)
        }
        let service = "/api/v1/namespaces/default/services/web"
        try await eventually("the service has an address") { try await TestCluster.address(api, service) != nil }
        let host = try #require(try await TestCluster.address(api, service))
        try await eventually("the load balancer answers") { try await TestAPI.answers(host) }
        return host
    }

    private static func address(_ api: TestAPI, _ service: String) async throws -> String? {
        try await api.get(service)["status"]["loadBalancer"]["ingress"][0]["ip"].string
    }

    /// Pods of `web` by name: uid, container id, restarts, node.
    struct RunningPod: Sendable, Equatable {
        var uid: String
        var container: String
        var restarts: Int64
        var node: String
    }

    func pods() async throws -> [String: RunningPod] {
        var found: [String: RunningPod] = [:]
        for pod in try await api.get("/api/v1/namespaces/default/pods")["items"].list {
            let status = pod["status"]["containerStatuses"][0]
            found[pod["metadata"]["name"].string ?? ""] = RunningPod(
                uid: pod["metadata"]["uid"].string ?? "", container: status["containerID"].string ?? "", restarts: status["restartCount"].int ?? -1,
                node: pod["spec"]["nodeName"].string ?? "")
        }
        return found
    }
}

/// How many clusters of these tests live at once: as many as two processors carry.
private actor Berths {
    static let shared = Berths()
    private var free = 3
    private var waiting: [(count: Int, ship: CheckedContinuation<Void, Never>)] = []

    func take(_ count: Int) async {
        if waiting.isEmpty, free >= count { return free -= count }
        await withCheckedContinuation { waiting.append((count, $0)) }
    }

    func leave(_ count: Int) {
        free += count
        while let first = waiting.first, free >= first.count {
            free -= first.count
            waiting.removeFirst().ship.resume()
        }
    }
}

/// Asks until it is so; fails after a time that only a broken cluster takes.
func eventually(_ what: String, within limit: Duration = .seconds(90), at location: SourceLocation = #_sourceLocation, _ body: () async throws -> Bool)
    async throws
{
    let deadline = ContinuousClock.now + limit
    var last: (any Error)?
    while ContinuousClock.now < deadline {
        do { if try await body() { return } } catch { last = error }
        try await Task.sleep(for: .milliseconds(20))
    }
    try #require(Bool(false), "\(what) does not come true\(last.map { ": \($0)" } ?? "")", sourceLocation: location)
}

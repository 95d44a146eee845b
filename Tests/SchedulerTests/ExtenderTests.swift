import Client
import Core
import Machinery
import Schema
import Synchronization
import Testing
import Transport
import Tree

@testable import Scheduler

/// Extenders over real HTTP.
@Suite struct ExtenderTests {
    /// Answers by the last part of the path, and keeps what it was asked.
    private final class Outside: HTTPHandler {
        let answers: [String: Node]
        private let heard = Mutex<[(verb: String, body: Node)]>([])

        init(_ answers: [String: Node]) { self.answers = answers }

        var calls: [(verb: String, body: Node)] { heard.withLock { $0 } }

        func handle(_ exchange: HTTPExchange) async {
            let verb = String(exchange.request.path.split(separator: "/").last ?? "")
            let body = (try? JSONReader.read((try? await exchange.body(limit: 1 << 20)) ?? [])) ?? .null
            heard.withLock { $0.append((verb, body)) }
            guard let answer = answers[verb] else { return exchange.respond(status: 500, headers: [:], body: []) }
            exchange.respond(status: 200, headers: ["content-type": "application/json"], body: JSONWriter.write(answer))
        }
    }

    private func with(_ answers: [String: Node], _ body: (Outside, String) async throws -> Void) async throws {
        let outside = Outside(answers)
        let server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: outside)
        _ = try await server.start()
        do { try await body(outside, "http://127.0.0.1:\(server.port ?? 0)/prefix/") } catch {
            await server.shutdown()
            throw error
        }
        await server.shutdown()
    }

    private func extender(_ url: String, _ more: Node = [:]) throws -> Extender {
        var entry: Node = [
            "urlPrefix": .string(url), "filterVerb": "filter", "prioritizeVerb": "prioritize", "preemptVerb": "preempt", "bindVerb": "bind", "weight": 2,
        ]
        for (key, value) in more.fields { entry[key] = value }
        return try #require(try Extender.all([entry]).first)
    }

    private static let nodes: [Node] = [["metadata": ["name": "a"]], ["metadata": ["name": "b"]]]

    @Test func filterAndPrioritizeSpeakGo() async throws {
        let answers: [String: Node] = [
            "filter": ["nodenames": .null, "Nodes": ["items": [["metadata": ["name": "b"]]]], "FailedNodes": ["a": "too hot"], "Error": ""],
            "prioritize": [["Host": "a", "Score": 3], ["host": "b", "score": 10]],
        ]
        try await with(answers) { outside, url in
            let extender = try extender(url)
            let filtered = try await extender.filter(TestCluster.pod("p"), Self.nodes)
            #expect(filtered.names == ["b"] && filtered.failed == ["a": "too hot"])
            #expect(try await extender.prioritize(TestCluster.pod("p"), Self.nodes) == ["a": 3, "b": 10])
            let asked = try #require(outside.calls.first)
            #expect(asked.body["Pod"]["metadata"]["name"] == "p" && asked.body["Nodes"]["items"].list.count == 2)
        }
    }

    @Test func oneThatKnowsTheNodesGetsNames() async throws {
        try await with(["filter": ["NodeNames": ["a"]]]) { outside, url in
            let filtered = try await extender(url, ["nodeCacheCapable": true]).filter(TestCluster.pod("p"), Self.nodes)
            #expect(filtered.names == ["a"])
            #expect(outside.calls.first?.body["NodeNames"] == ["a", "b"] && outside.calls.first?.body.has("Nodes") == false)
        }
    }

    @Test func errorsAreTold() async throws {
        try await with(["filter": ["Error": "no idea"], "bind": ["Error": "bound already"]]) { _, url in
            let extender = try extender(url)
            await #expect(throws: APIError.badRequest("no idea")) { try await extender.filter(TestCluster.pod("p"), Self.nodes) }
            await #expect(throws: APIError.badRequest("bound already")) { try await extender.bind(PodInfo(TestCluster.pod("p")), to: "a") }
            await #expect(throws: APIError.self) { try await extender.prioritize(TestCluster.pod("p"), Self.nodes) }
        }
    }

    @Test func victimsAreCutDown() async throws {
        try await with(["preempt": ["NodeNameToMetaVictims": ["a": ["Pods": [["UID": "v1"]], "NumPDBViolations": 0]]]]) { outside, url in
            let victims = ["v1", "v2"].map { PodInfo(TestCluster.pod($0)) }
            let candidates = [Preemption(node: "a", victims: victims, violations: 1), Preemption(node: "b", victims: victims, violations: 0)]
            let left = try await extender(url).preempt(TestCluster.pod("p"), candidates)
            #expect(left.map(\.node) == ["a"] && left[0].victims.map(\.uid) == ["v1"] && left[0].violations == 0)
            #expect(outside.calls.first?.body["NodeNameToVictims"]["b"]["Pods"].list.count == 2)
        }
    }

    @Test func thosePodsAreShownThatAskForWhatItManages() throws {
        let extender = try extender("http://127.0.0.1:1", ["managedResources": [["name": "example.com/foo", "ignoredByScheduler": true]]])
        let pod = TestCluster.pod("p") { $0["spec"]["containers"][0]["resources"] = ["limits": ["example.com/foo": "1"]] }
        #expect(extender.isInterested(in: PodInfo(pod)) && !extender.isInterested(in: PodInfo(TestCluster.pod("q"))))
        #expect(extender.uncountedResources == ["example.com/foo"])
    }

    @Test func theCoreWaitsForAnswersAndCountsThem() throws {
        var cluster = TestCluster()
        cluster.core = SchedulerCore(
            try SchedulerConfiguration([
                "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
                "extenders": [["urlPrefix": "http://127.0.0.1:1/x", "filterVerb": "filter", "managedResources": [["name": "example.com/foo", "ignoredByScheduler": true]]]],
            ]))
        for name in ["a", "b", "c"] { cluster.node(name) }
        #expect(cluster.schedule(TestCluster.pod("plain"))?.hasPrefix("plain to ") == true)
        cluster.put(.pods, TestCluster.pod("p") { $0["spec"]["containers"][0]["resources"] = ["requests": ["example.com/foo": "1"], "limits": ["example.com/foo": "1"]] })
        // No node has it, but it is not for the scheduler to count.
        guard case .consult(var attempt) = cluster.core.next(now: cluster.now) else { throw TestFailure() }
        attempt.keep(["a", "c"], failed: ["b": "busy"], unresolvable: [:])
        attempt.add(["a": 10, "c": 1], weight: 5)
        guard case .bind(let binding) = cluster.core.resume(attempt, now: cluster.now) else { throw TestFailure() }
        #expect(binding.node == "a")
    }
}

import APIServer
import Client
import Core
import Kinds
import Machinery
import Schema
import Synchronization
import Testing
import Tree

@testable import Controllers

/// Autoscalers over the real API, with metrics and a clock that the test gives: nothing here waits for time to pass.
@Suite(.timeLimit(.minutes(10))) struct AutoscalerLiveTests {
    /// Metrics as a test wants them; scales are the API's.
    private final class Source: ScalingSource {
        struct Numbers: Sendable {
            /// Thousandths of a processor that each pod uses.
            var cpu: Int64?
            var custom: [Node] = []
            var external: [Node] = []
            var refusal: APIError?
        }
        let numbers = Mutex(Numbers())
        private let client: any ClusterClient
        private let targets: ScaleTargets

        init(_ client: any ClusterClient) {
            self.client = client
            targets = ScaleTargets(catalog: ResourceCatalog(graph: Graph.builtIn), client: client)
        }

        func scale(apiVersion: String, kind: String, namespace: String, name: String) async throws -> Node {
            try await targets.scale(apiVersion: apiVersion, kind: kind, namespace: namespace, name: name)
        }

        func setReplicas(_ replicas: Int64, apiVersion: String, kind: String, namespace: String, name: String) async throws {
            try await targets.setReplicas(replicas, apiVersion: apiVersion, kind: kind, namespace: namespace, name: name)
        }

        func podMetrics(namespace: String) async throws -> [Node] {
            guard let cpu = numbers.withLock({ $0.cpu }) else { return [] }
            return try await client.list(.pods, ListOptions(namespace: namespace)).items.map { pod in
                [
                    "metadata": ["name": .string(pod.name), "labels": pod["metadata"]["labels"]], "timestamp": .string(Timestamp.now().rfc3339), "window": "15s",
                    "containers": [["name": "c", "usage": ["cpu": .string("\(cpu)m")]]],
                ]
            }
        }

        func podsMetric(_ name: String, namespace: String, pods: LabelSelector, metric: Node) async throws -> [Node] { try custom() }
        func objectMetric(_ name: String, namespace: String, object: Node, metric: Node) async throws -> Node { try custom().first ?? .null }
        func externalMetric(_ name: String, namespace: String, metric: Node) async throws -> [Node] {
            if let refusal = numbers.withLock({ $0.refusal }) { throw refusal }
            return numbers.withLock { $0.external }
        }
        private func custom() throws -> [Node] {
            if let refusal = numbers.withLock({ $0.refusal }) { throw refusal }
            return numbers.withLock { $0.custom }
        }
    }

    /// A Deployment of two with an autoscaler, and what drives it.
    private struct Stage: Sendable {
        let cluster: LiveCluster
        let source: Source
        let autoscalers: HorizontalPodAutoscalers
        let recorder: EventRecorder
        let key: ObjectKey
        /// The first look's time: before, the autoscaler is too young for one.
        let start: Timestamp

        /// One look at a time after the start.
        func look(at seconds: Int64) async throws -> Node {
            _ = try await autoscalers.reconcile(key, cluster.view, recorder, now: start + .seconds(seconds))
            let made = try await cluster.client.get(.horizontalPodAutoscalers, key)
            await cluster.view.reached(made.revision, .horizontalPodAutoscalers)
            return made["status"]
        }

        func settled(_ replicas: Int64) async throws {
            try await cluster.until("\(replicas) ready") { [cluster] in
                let status = cluster.view.get(.deployments, ObjectKey("default", "checkout-api"))?["status"]
                return status?["readyReplicas"].int == replicas && status?["replicas"].int == replicas
                    && cluster.view.read { $0[.pods].objects.values.filter { PodView($0).isReady }.count } == Int(replicas)
            }
        }

        func reason(_ status: Node, _ type: String) -> String { status.condition(type)?["reason"].string ?? "" }
        func message(_ status: Node, _ type: String) -> String { status.condition(type)?["message"].string ?? "" }
    }

    private func stage(_ metric: Node, _ body: @escaping @Sendable (Stage) async throws -> Void) async throws {
        try await LiveCluster.run { cluster in
            try await cluster.addNode("n1")
            _ = try await cluster.client.create(
                .deployments, namespace: "default",
                [
                    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "checkout-api", "namespace": "default"],
                    "spec": [
                        "replicas": 2, "selector": ["matchLabels": ["app": "checkout-api"]],
                        "template": [
                            "metadata": ["labels": ["app": "checkout-api"]],
                            "spec": ["containers": [["name": "c", "image": "i", "resources": ["requests": ["cpu": "100m"]]]]],
                        ],
                    ],
                ])
            cluster.view.declare(.horizontalPodAutoscalers, indexes: [.namespace])
            let made = try await AutoscalerLiveTests.autoscaler("checkout-api", metric, on: cluster)
            let source = Source(cluster.client)
            let stage = Stage(
                cluster: cluster, source: source, autoscalers: HorizontalPodAutoscalers(source),
                recorder: EventRecorder(client: cluster.client, component: "horizontal-pod-autoscaler"), key: ObjectKey("default", "checkout-api"),
                start: made + .seconds(15))
            try await stage.settled(2)
            try await body(stage)
        }
    }

    /// Returns when it was made.
    private static func autoscaler(_ name: String, _ metric: Node, on cluster: LiveCluster) async throws -> Timestamp {
        let made = try await cluster.client.create(
            .horizontalPodAutoscalers, namespace: "default",
            [
                "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": ["name": .string(name), "namespace": "default"],
                "spec": [
                    "minReplicas": 2, "maxReplicas": 6, "metrics": [metric],
                    "scaleTargetRef": ["apiVersion": "apps/v1", "kind": "Deployment", "name": "checkout-api"],
                ],
            ])
        await cluster.view.reached(made.revision, .horizontalPodAutoscalers)
        return try #require(Timestamp(rfc3339: made["metadata"]["creationTimestamp"].string ?? ""))
    }

    private static let cpu: Node = ["type": "Resource", "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": 50]]]

    @Test func aYoungAutoscalerDoesNotJudgeByWhatWasUsedBeforeIt() async throws {
        try await stage(Self.cpu) { stage in
            stage.source.numbers.withLock { $0.cpu = 100 }
            let made = try #require(Timestamp(rfc3339: try await stage.cluster.client.get(.horizontalPodAutoscalers, stage.key)["metadata"]["creationTimestamp"].string ?? ""))
            let wait = try await stage.autoscalers.reconcile(stage.key, stage.cluster.view, stage.recorder, now: made + .seconds(5))
            #expect(wait == .seconds(10))
            #expect(stage.cluster.view.get(.deployments, stage.key)?["spec"]["replicas"].int == 2)
            #expect(try await stage.look(at: 0)["desiredReplicas"].int == 4)
        }
    }

    @Test func loadDoublesTheReplicasUpToTheMostAndTheyComeBackAfterTheWindow() async throws {
        try await stage(Self.cpu) { stage in
            stage.source.numbers.withLock { $0.cpu = 100 }
            var status = try await stage.look(at: 0)
            #expect(status["desiredReplicas"].int == 4)
            #expect(stage.reason(status, "AbleToScale") == "SucceededRescale")
            #expect(stage.message(status, "AbleToScale") == "the HPA controller was able to update the target scale to 4")
            #expect(stage.message(status, "ScalingActive") == "the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)")
            #expect(status["currentMetrics"][0]["resource"]["current"] == ["averageUtilization": 100, "averageValue": "100m"])
            try await stage.settled(4)
            status = try await stage.look(at: 15)
            #expect(status["desiredReplicas"].int == 6)
            #expect(stage.reason(status, "ScalingLimited") == "TooManyReplicas")
            try await stage.settled(6)
            stage.source.numbers.withLock { $0.cpu = 10 }
            status = try await stage.look(at: 30)
            #expect(status["desiredReplicas"].int == 6)
            #expect(stage.reason(status, "AbleToScale") == "ScaleDownStabilized")
            // The recommendation of 15 s is the last that wanted more.
            #expect(try await stage.look(at: 315)["desiredReplicas"].int == 6)
            status = try await stage.look(at: 316)
            #expect(status["desiredReplicas"].int == 2)
            #expect(stage.reason(status, "ScalingLimited") == "DesiredWithinRange")
            try await stage.settled(2)
        }
    }

    @Test func objectsAndWhatIsOutsideAreMeasuredToo() async throws {
        let object: Node = [
            "type": "Object",
            "object": [
                "describedObject": ["apiVersion": "v1", "kind": "Service", "name": "front"], "metric": ["name": "requests"], "target": ["type": "Value", "value": "10"],
            ],
        ]
        try await stage(object) { stage in
            stage.source.numbers.withLock { $0.custom = [["value": "15"]] }
            let status = try await stage.look(at: 0)
            #expect(status["desiredReplicas"].int == 3)
            #expect(status["currentMetrics"][0]["object"]["current"] == ["value": "15"])
            #expect(stage.message(status, "ScalingActive").hasSuffix("from Service metric requests"))
        }
        let external: Node = [
            "type": "External",
            "external": ["metric": ["name": "queue", "selector": ["matchLabels": ["q": "a"]]], "target": ["type": "AverageValue", "averageValue": "10"]],
        ]
        try await stage(external) { stage in
            stage.source.numbers.withLock { $0.external = [["value": "20"], ["value": "15"]] }
            let status = try await stage.look(at: 0)
            #expect(status["desiredReplicas"].int == 4)
            #expect(status["currentMetrics"][0]["external"]["current"] == ["averageValue": "17500m"])
            #expect(
                stage.message(status, "ScalingActive").hasSuffix(
                    "from external metric queue(&LabelSelector{MatchLabels:map[string]string{q: a,},MatchExpressions:[]LabelSelectorRequirement{},})"))
        }
    }

    @Test func whatCannotBeHadIsToldInUpstreamsWords() async throws {
        let external: Node = ["type": "External", "external": ["metric": ["name": "queue"], "target": ["type": "Value", "value": "10"]]]
        try await stage(external) { stage in
            stage.source.numbers.withLock {
                $0.refusal = APIError(code: 404, reason: "NotFound", message: "the server could not find the requested resource (get queue.external.metrics.k8s.io)", details: nil)
            }
            let status = try await stage.look(at: 0)
            #expect(stage.reason(status, "ScalingActive") == "FailedGetExternalMetric")
            #expect(
                stage.message(status, "ScalingActive")
                    == "the HPA was unable to compute the replica count: unable to get external metric default/queue/nil: unable to fetch metrics from external metrics API: the server could not find the requested resource (get queue.external.metrics.k8s.io)")
            #expect(status["currentMetrics"].list == [["type": ""]])
            #expect(status["desiredReplicas"].int ?? 0 == 0)
        }
    }

    @Test func podsOfTwoAutoscalersAreScaledByNone() async throws {
        try await stage(Self.cpu) { stage in
            stage.source.numbers.withLock { $0.cpu = 100 }
            let made = try await AutoscalerLiveTests.autoscaler("rival", Self.cpu, on: stage.cluster)
            _ = try await stage.autoscalers.reconcile(ObjectKey("default", "rival"), stage.cluster.view, stage.recorder, now: made + .seconds(15))
            try await stage.settled(4)
            let status = try await stage.look(at: 15)
            #expect(stage.reason(status, "ScalingActive") == "AmbiguousSelector")
            #expect(stage.message(status, "ScalingActive") == "pods by selector app=checkout-api are controlled by multiple HPAs: [{checkout-api default} {rival default}]")
        }
    }
}

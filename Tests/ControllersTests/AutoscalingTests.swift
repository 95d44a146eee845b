import APIServer
import Core
import Machinery
import Testing
import Tree

@testable import Controllers

@Suite struct AutoscalingTests {
    private static func pod(_ name: String, phase: String = "Running", ready: Bool = true) -> Node {
        [
            "metadata": ["name": .string(name), "namespace": "default"],
            "spec": ["containers": [["name": "c", "resources": ["requests": ["cpu": "100m"]]]]],
            "status": [
                "phase": .string(phase), "startTime": .string((Fixture.now + .seconds(-3600)).rfc3339),
                "conditions": [
                    ["type": "Ready", "status": .string(ready ? "True" : "False"), "lastTransitionTime": .string((Fixture.now + .seconds(-3590)).rfc3339)]
                ],
            ],
        ]
    }

    private func calculation(_ pods: [Node], current: Int64? = nil) -> ReplicaCalculation {
        ReplicaCalculation(current: current ?? Int64(pods.count), tolerance: .init(), pods: pods, now: Fixture.now)
    }

    private func samples(_ values: [String: Int64]) -> [String: ReplicaCalculation.Sample] { values.mapValues { .init(value: $0, time: Fixture.now) } }

    @Test func twiceTheTargetTwiceTheReplicas() throws {
        let pods = [AutoscalingTests.pod("a"), AutoscalingTests.pod("b")]
        let result = try calculation(pods).utilization(samples(["a": 100, "b": 100]), target: 50, resource: "cpu", container: "")
        #expect(result == .init(replicas: 4, utilization: 100, average: 100))
    }

    @Test func withinTheToleranceNothingChanges() throws {
        let pods = [AutoscalingTests.pod("a"), AutoscalingTests.pod("b")]
        #expect(try calculation(pods).utilization(samples(["a": 54, "b": 54]), target: 50, resource: "cpu", container: "").replicas == 2)
    }

    @Test func missingPodsHoldAScaleDownBack() throws {
        let pods = [AutoscalingTests.pod("a"), AutoscalingTests.pod("b"), AutoscalingTests.pod("c")]
        // The third counts as using all it asks for.
        #expect(try calculation(pods).utilization(samples(["a": 20, "b": 20]), target: 50, resource: "cpu", container: "").replicas == 3)
    }

    @Test func unreadyPodsHoldAScaleUpBack() throws {
        let pods = [AutoscalingTests.pod("a"), AutoscalingTests.pod("b", phase: "Pending")]
        #expect(try calculation(pods).average(samples(["a": 150]), target: 100).replicas == 2)
        #expect(try calculation([pods[0]]).average(samples(["a": 150]), target: 100).replicas == 2)
    }

    @Test func noMetricsAreAFailure() {
        #expect(throws: ReplicaCalculation.Failure.self) { try calculation([AutoscalingTests.pod("a")]).average([:], target: 1) }
        #expect(throws: ReplicaCalculation.Failure.self) { try calculation([]).average(samples(["a": 1]), target: 1) }
    }

    @Test func totalsAndSharesOfThem() throws {
        let pods = [AutoscalingTests.pod("a"), AutoscalingTests.pod("b")]
        #expect(try calculation(pods).total(30_000, target: 10_000).replicas == 6)
        #expect(calculation(pods).perPod(30_000, target: 10_000) == .init(replicas: 3, average: 15_000))
    }

    @Test func metricsAreReadFromWhatPodsTell() {
        let text = """
            # TYPE latency gauge
            latency{path="/a b",code="2\\"0"} 1.5
            latency{path="/c"} 2 1700000000
            latency_sum 99
            plain 7
            odd NaN
            """
        let samples = PrometheusText.samples(in: text)
        #expect(samples.map(\.name) == ["latency", "latency", "latency_sum", "plain", "odd"])
        #expect(PrometheusText.milliValue(of: "latency", matching: .everything, in: samples) == 3500)
        #expect(PrometheusText.milliValue(of: "latency", matching: LabelSelector(equals: ["path": "/c"]), in: samples) == 2000)
        #expect(PrometheusText.milliValue(of: "plain", matching: .everything, in: samples) == 7000)
        #expect(PrometheusText.milliValue(of: "odd", matching: .everything, in: samples) == nil)
        #expect(PrometheusText.milliValue(of: "lat", matching: .everything, in: samples) == nil)
    }

    // MARK: - Behavior

    @Test func growthIsLimitedToTwiceAndShrinkingWaits() {
        var history = ScalingHistory()
        history.begin(2, now: Fixture.now)
        let up = history.temper(9, current: 2, least: 1, most: 20, behavior: .null, now: Fixture.now)
        #expect(up.replicas == 4 && up.limit.reason == "ScaleUpLimit" && up.isLimited)
        let down = history.temper(1, current: 4, least: 1, most: 20, behavior: .null, now: Fixture.now + .seconds(60))
        #expect(down.replicas == 8 && down.able.reason == "ScaleDownStabilized")
        let later = history.temper(1, current: 4, least: 1, most: 20, behavior: .null, now: Fixture.now + .seconds(361))
        #expect(later.replicas == 1 && later.able.reason == "ReadyForNewScale" && !later.isLimited)
    }

    @Test func policiesLimitTheChangeOfAPeriod() {
        let behavior: Node = [
            "scaleUp": ["stabilizationWindowSeconds": 0, "selectPolicy": "Max", "policies": [["type": "Pods", "value": 2, "periodSeconds": 60]]],
            "scaleDown": ["stabilizationWindowSeconds": 0, "selectPolicy": "Min", "policies": [["type": "Percent", "value": 50, "periodSeconds": 60], ["type": "Pods", "value": 1, "periodSeconds": 60]]],
        ]
        var history = ScalingHistory()
        #expect(history.temper(10, current: 3, least: 1, most: 20, behavior: behavior, now: Fixture.now).replicas == 5)
        history.scaled(from: 3, to: 5, behavior: behavior, now: Fixture.now)
        #expect(history.temper(10, current: 5, least: 1, most: 20, behavior: behavior, now: Fixture.now + .seconds(10)).replicas == 5)
        #expect(history.temper(10, current: 5, least: 1, most: 20, behavior: behavior, now: Fixture.now + .seconds(70)).replicas == 7)
        let down = history.temper(1, current: 8, least: 1, most: 20, behavior: behavior, now: Fixture.now + .seconds(200))
        #expect(down.replicas == 7 && down.limit.reason == "ScaleDownLimit")
    }

    @Test func disabledDirectionStays() {
        let behavior: Node = ["scaleUp": ["selectPolicy": "Disabled"], "scaleDown": ["selectPolicy": "Disabled", "stabilizationWindowSeconds": 0]]
        var history = ScalingHistory()
        #expect(history.temper(9, current: 3, least: 1, most: 20, behavior: behavior, now: Fixture.now).replicas == 3)
        #expect(history.temper(1, current: 3, least: 1, most: 20, behavior: behavior, now: Fixture.now + .seconds(1)).replicas == 3)
    }
}

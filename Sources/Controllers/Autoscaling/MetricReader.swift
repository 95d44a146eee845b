import Core
import Kinds
import Machinery
import Tree

/// Reads one metric of an autoscaler, and says how many replicas it wants.
struct MetricReader {
    struct Reading {
        var replicas: Int64
        var name: String
        var status: Node
    }

    let source: any ScalingSource
    let look: HorizontalPodAutoscalers.Look
    let scale: Node
    let selector: LabelSelector
    let pods: [Node]

    private var namespace: String { look.autoscaler.namespace }
    private var calculation: ReplicaCalculation {
        ReplicaCalculation(current: scale["spec"]["replicas"].int ?? 0, tolerance: look.tolerance, pods: pods, now: look.now)
    }
    /// Over the replicas that are there, not over those wanted.
    private var perPod: ReplicaCalculation {
        ReplicaCalculation(current: scale["status"]["replicas"].int ?? 0, tolerance: look.tolerance, pods: pods, now: look.now)
    }

    func read(_ spec: Node) async throws -> Reading {
        switch spec["type"].string ?? "" {
        case "Resource": return try await resource(spec["resource"], "Resource", "resource", container: "")
        case "ContainerResource":
            return try await resource(spec["containerResource"], "ContainerResource", "containerResource", container: spec["containerResource"]["container"].string ?? "")
        case "Pods": return try await ofPods(spec["pods"])
        case "Object": return try await ofObject(spec["object"])
        case "External": return try await external(spec["external"])
        case let type: throw ReplicaCalculation.Failure(message: "unknown metric source type \"\(type)\"")
        }
    }

    /// Reason and text of a metric that could not be had.
    static func failure(_ spec: Node, _ error: any Error) -> (String, String) {
        let type = spec["type"].string ?? ""
        let text = HorizontalPodAutoscalers.text(error)
        switch type {
        case "Resource": return ("FailedGetResourceMetric", "failed to get \(spec["resource"]["name"].string ?? "") utilization: \(text)")
        case "ContainerResource": return ("FailedGetContainerResourceMetric", "failed to get \(spec["containerResource"]["name"].string ?? "") utilization: \(text)")
        case "Pods": return ("FailedGetPodsMetric", "unable to get metric \(spec["pods"]["metric"]["name"].string ?? ""): \(text)")
        case "Object": return ("FailedGetObjectMetric", "unable to get metric \(spec["object"]["metric"]["name"].string ?? ""): \(text)")
        case "External": return ("FailedGetExternalMetric", "unable to get external metric \(spec["external"]["metric"]["name"].string ?? ""): \(text)")
        default: return ("InvalidMetricSourceType", text)
        }
    }

    // MARK: - Resources

    private func resource(_ spec: Node, _ type: String, _ field: String, container: String) async throws -> Reading {
        let name = spec["name"].string ?? ""
        let samples = try await samples(name, container)
        let target = spec["target"]
        let prefix = container.isEmpty ? "\(name) resource" : "\(name) container resource"
        var current = Node.emptyMap
        let result: ReplicaCalculation.Result
        let text: String
        if let wanted = PodRequests.quantity(target["averageValue"]) {
            result = try calculation.average(samples, target: wanted.milliValue, resource: name)
            text = prefix
        } else if let wanted = target["averageUtilization"].int {
            result = try calculation.utilization(samples, target: wanted, resource: name, container: container)
            current["averageUtilization"] = .int(result.utilization)
            text = "\(prefix) utilization (percentage of request)"
        } else {
            throw ReplicaCalculation.Failure(message: "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set")
        }
        current["averageValue"] = MetricReader.quantity(result.average, isBinary: name == "memory")
        var status: Node = ["name": .string(name), "current": current]
        if !container.isEmpty { status["container"] = .string(container) }
        return Reading(replicas: result.replicas, name: text, status: ["type": .string(type), field: status])
    }

    private func samples(_ resource: String, _ container: String) async throws -> [String: ReplicaCalculation.Sample] {
        let metrics = try await source.podMetrics(namespace: namespace).filter { selector.matches($0["metadata"]["labels"]) }
        if metrics.isEmpty {
            throw ReplicaCalculation.Failure(message: "unable to get metrics for resource \(resource): no metrics returned from resource metrics API")
        }
        var out: [String: ReplicaCalculation.Sample] = [:]
        for pod in metrics {
            var total: Int64 = 0
            var isWhole = !pod["containers"].list.isEmpty
            for one in pod["containers"].list where container.isEmpty || one["name"].string == container {
                guard let amount = PodRequests.quantity(one["usage"][resource]) else {
                    isWhole = false
                    break
                }
                total += amount.milliValue
            }
            if !container.isEmpty, !pod["containers"].list.contains(where: { $0["name"].string == container }) { isWhole = false }
            guard isWhole else { continue }
            let window = pod["window"].string.flatMap { GoDuration.parse($0) } ?? 60_000_000_000
            out[pod.name] = .init(value: total, time: pod["timestamp"].string.flatMap { Timestamp(rfc3339: $0) }, window: .nanoseconds(window))
        }
        return out
    }

    // MARK: - Others

    private func ofPods(_ spec: Node) async throws -> Reading {
        let name = spec["metric"]["name"].string ?? ""
        guard let target = PodRequests.quantity(spec["target"]["averageValue"]) else {
            throw ReplicaCalculation.Failure(message: "invalid pods metric source: no average value target was set")
        }
        let values = try await source.podsMetric(name, namespace: namespace, pods: selector, metric: spec["metric"])
        let result = try calculation.average(values.mapValues { .init(value: $0) }, target: target.milliValue)
        let status: Node = ["metric": spec["metric"], "current": ["averageValue": MetricReader.quantity(result.average)]]
        return Reading(replicas: result.replicas, name: "pods metric \(name)", status: ["type": "Pods", "pods": status])
    }

    private func ofObject(_ spec: Node) async throws -> Reading {
        let name = spec["metric"]["name"].string ?? ""
        let object = spec["describedObject"]
        let value = try await source.objectMetric(name, namespace: namespace, object: object, metric: spec["metric"])
        let (result, current) = try compare(value, spec["target"], "object")
        let status: Node = ["describedObject": object, "metric": spec["metric"], "current": current]
        return Reading(replicas: result.replicas, name: "\(object["kind"].string ?? "") metric \(name)", status: ["type": "Object", "object": status])
    }

    private func external(_ spec: Node) async throws -> Reading {
        let name = spec["metric"]["name"].string ?? ""
        let series = try await source.externalMetric(name, namespace: namespace, metric: spec["metric"])
        let value = series.reduce(Int64(0)) { total, one in
            let (sum, over) = total.addingReportingOverflow(one)
            return over ? .max : sum
        }
        let (result, current) = try compare(value, spec["target"], "external")
        let status: Node = ["metric": spec["metric"], "current": current]
        return Reading(replicas: result.replicas, name: "external metric \(name)", status: ["type": "External", "external": status])
    }

    private func compare(_ value: Int64, _ target: Node, _ kind: String) throws -> (ReplicaCalculation.Result, Node) {
        if let wanted = PodRequests.quantity(target["averageValue"]) {
            let result = perPod.perPod(value, target: wanted.milliValue)
            return (result, ["averageValue": MetricReader.quantity(result.average)])
        }
        guard let wanted = PodRequests.quantity(target["value"]) else {
            throw ReplicaCalculation.Failure(message: "invalid \(kind) metric source: neither a value target nor an average value target was set")
        }
        return (try calculation.total(value, target: wanted.milliValue), ["value": MetricReader.quantity(value)])
    }

    private static func quantity(_ milli: Int64, isBinary: Bool = false) -> Node {
        .string(Quantity(milli: milli, format: isBinary ? .binarySI : .decimalSI).description)
    }
}

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

    /// A metric that could not be had: the reason, what the condition says of it, and what the event about all metrics says.
    struct Refusal: Error, Equatable {
        let reason: String
        let message: String
        let inFull: String
    }

    /// Upstream wraps an error once for the condition and once more for who asked for all metrics.
    static func refusal(_ spec: Node, _ error: any Error) -> Refusal {
        let text = HorizontalPodAutoscalers.text(error)
        func with(_ reason: String, _ message: String, _ prefix: String, _ inner: String = "") -> Refusal {
            Refusal(reason: reason, message: message, inFull: "\(prefix): \(inner.isEmpty ? "" : "\(inner): ")\(message)")
        }
        switch spec["type"].string ?? "" {
        case "Resource": return with("FailedGetResourceMetric", text, "failed to get \(spec["resource"]["name"].string ?? "") resource metric value")
        case "ContainerResource":
            return with("FailedGetContainerResourceMetric", text, "failed to get \(spec["containerResource"]["container"].string ?? "") container metric value")
        case "Pods": return with("FailedGetPodsMetric", text, "failed to get pods metric value")
        case "Object":
            let name = spec["object"]["metric"]["name"].string ?? ""
            let isAverage = spec["object"]["target"]["type"].string == "AverageValue"
            return with("FailedGetObjectMetric", text, "failed to get object metric value", isAverage ? "failed to get \(name) object metric" : "")
        case "External":
            let name = spec["external"]["metric"]["name"].string ?? ""
            let isAverage = !spec["external"]["target"]["averageValue"].isNull
            let inner = isAverage ? "failed to get \(name) external metric" : "failed to get external metric \(name)"
            return with("FailedGetExternalMetric", text, "failed to get \(name) external metric value", inner)
        default: return Refusal(reason: "InvalidMetricSourceType", message: text, inFull: text)
        }
    }

    // MARK: - Resources

    private func resource(_ spec: Node, _ type: String, _ field: String, container: String) async throws -> Reading {
        let name = spec["name"].string ?? ""
        let target = spec["target"]
        var current = Node.emptyMap
        let result: ReplicaCalculation.Result
        let text: String
        if let wanted = PodRequests.quantity(target["averageValue"]) {
            result = try await named("failed to get \(name) usage") { try calculation.average(try await samples(name, container), target: wanted.milliValue, resource: name) }
            text = "\(name) resource"
        } else if let wanted = target["averageUtilization"].int {
            result = try await named("failed to get \(name) utilization") {
                try calculation.utilization(try await samples(name, container), target: wanted, resource: name, container: container)
            }
            current["averageUtilization"] = .int(result.utilization)
            text = "\(name)\(type == "Resource" ? "" : " container") resource utilization (percentage of request)"
        } else {
            throw ReplicaCalculation.Failure(message: "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set")
        }
        current["averageValue"] = MetricReader.quantity(result.average, isBinary: name == "memory")
        var status: Node = ["name": .string(name), "current": current]
        if !container.isEmpty { status["container"] = .string(container) }
        return Reading(replicas: result.replicas, name: text, status: ["type": .string(type), field: status])
    }

    private func named<T>(_ prefix: String, _ body: () async throws -> T) async throws -> T {
        do { return try await body() } catch { throw ReplicaCalculation.Failure(message: "\(prefix): \(HorizontalPodAutoscalers.text(error))") }
    }

    private func samples(_ resource: String, _ container: String) async throws -> [String: ReplicaCalculation.Sample] {
        let metrics = try await named("unable to get metrics for resource \(resource): unable to fetch metrics from resource metrics API") {
            try await source.podMetrics(namespace: namespace).filter { selector.matches($0["metadata"]["labels"]) }
        }
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
        let values = try await named("unable to get metric \(name): unable to fetch metrics from custom metrics API") {
            try await source.podsMetric(name, namespace: namespace, pods: selector, metric: spec["metric"])
        }
        if values.isEmpty { throw ReplicaCalculation.Failure(message: "unable to get metric \(name): no metrics returned from custom metrics API") }
        var samples: [String: ReplicaCalculation.Sample] = [:]
        for value in values { samples[value["describedObject"]["name"].string ?? ""] = .init(value: MetricReader.milliValue(value)) }
        let result = try calculation.average(samples, target: target.milliValue)
        let status: Node = ["metric": spec["metric"], "current": ["averageValue": MetricReader.quantity(result.average)]]
        return Reading(replicas: result.replicas, name: "pods metric \(name)", status: ["type": "Pods", "pods": status])
    }

    private func ofObject(_ spec: Node) async throws -> Reading {
        let name = spec["metric"]["name"].string ?? ""
        let object = spec["describedObject"]
        let target = spec["target"]
        let kind = object["kind"].string ?? ""
        func value() async throws -> Int64 {
            do { return MetricReader.milliValue(try await source.objectMetric(name, namespace: namespace, object: object, metric: spec["metric"])) } catch {
                // Upstream's words, with its operands in this order.
                let text = "unable to fetch metrics from custom metrics API: \(HorizontalPodAutoscalers.text(error))"
                throw ReplicaCalculation.Failure(message: "unable to get metric \(name): \(kind) on \(namespace) \(object["name"].string ?? "")/\(text)")
            }
        }
        func reading(_ replicas: Int64, _ metric: String, _ current: Node) -> Reading {
            Reading(replicas: replicas, name: metric, status: ["type": "Object", "object": ["describedObject": object, "metric": spec["metric"], "current": current]])
        }
        if target["type"].string == "Value", let wanted = PodRequests.quantity(target["value"]) {
            let result = try calculation.total(try await value(), target: wanted.milliValue)
            return reading(result.replicas, "\(kind) metric \(name)", ["value": MetricReader.quantity(result.average)])
        }
        if target["type"].string == "AverageValue", let wanted = PodRequests.quantity(target["averageValue"]) {
            let result = perPod.perPod(try await value(), target: wanted.milliValue)
            return reading(result.replicas, "external metric \(name)(\(MetricReader.text(spec["metric"]["selector"])))", ["averageValue": MetricReader.quantity(result.average)])
        }
        throw ReplicaCalculation.Failure(message: "invalid object metric source: neither a value target nor an average value target was set")
    }

    private func external(_ spec: Node) async throws -> Reading {
        let name = spec["metric"]["name"].string ?? ""
        let target = spec["target"]
        let selector = MetricReader.text(spec["metric"]["selector"])
        func value() async throws -> Int64 {
            let series: [Node] = try await named("unable to get external metric \(namespace)/\(name)/\(selector)") {
                let found = try await named("unable to fetch metrics from external metrics API") {
                    try await source.externalMetric(name, namespace: namespace, metric: spec["metric"])
                }
                if found.isEmpty { throw ReplicaCalculation.Failure(message: "no metrics returned from external metrics API") }
                return found
            }
            return series.reduce(Int64(0)) { total, one in
                let (sum, over) = total.addingReportingOverflow(MetricReader.milliValue(one))
                return over ? .max : sum
            }
        }
        func reading(_ replicas: Int64, _ current: Node) -> Reading {
            Reading(
                replicas: replicas, name: "external metric \(name)(\(selector))",
                status: ["type": "External", "external": ["metric": spec["metric"], "current": current]])
        }
        if let wanted = PodRequests.quantity(target["averageValue"]) {
            let result = perPod.perPod(try await value(), target: wanted.milliValue)
            return reading(result.replicas, ["averageValue": MetricReader.quantity(result.average)])
        }
        guard let wanted = PodRequests.quantity(target["value"]) else {
            throw ReplicaCalculation.Failure(message: "invalid external metric source: neither a value target nor an average value target was set")
        }
        let result = try calculation.total(try await value(), target: wanted.milliValue)
        return reading(result.replicas, ["value": MetricReader.quantity(result.average)])
    }

    private static func milliValue(_ value: Node) -> Int64 { PodRequests.quantity(value["value"])?.milliValue ?? 0 }

    /// A selector as upstream's messages print it, which is Go's rendering of the object.
    static func text(_ selector: Node) -> String {
        guard case .map = selector else { return "nil" }
        let labels = selector["matchLabels"].stringMap.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)," }.joined()
        let expressions = selector["matchExpressions"].list.map {
            "LabelSelectorRequirement{Key:\($0["key"].string ?? ""),Operator:\($0["operator"].string ?? ""),Values:[\($0["values"].stringList.joined(separator: " "))],},"
        }.joined()
        return "&LabelSelector{MatchLabels:map[string]string{\(labels)},MatchExpressions:[]LabelSelectorRequirement{\(expressions)},}"
    }

    private static func quantity(_ milli: Int64, isBinary: Bool = false) -> Node {
        .string(Quantity(milli: milli, format: isBinary ? .binarySI : .decimalSI).description)
    }
}

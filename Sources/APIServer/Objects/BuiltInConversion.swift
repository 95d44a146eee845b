package import Machinery
import Schema
package import Tree

/// Conversion between versions of built-in resources. Nearly all differ in name only; the few that do not are listed here.
package struct BuiltInConversion: VersionConversion {
    package init() {}

    package func isRename(_ resource: ServedResource) -> Bool { !reshaped.contains("\(resource.group)/\(resource.resource.version)/\(resource.plural)") }

    private var reshaped: Set<String> { ["autoscaling/v1/horizontalpodautoscalers", "events.k8s.io/v1/events"] }

    package func convert(_ object: Node, to resource: ServedResource) throws(APIError) -> Node {
        var out = object
        switch (resource.group, resource.plural) {
        case ("events.k8s.io", "events"): out = EventConversion.toEvents(object)
        case ("autoscaling", "horizontalpodautoscalers") where resource.resource.version == "v1": out = AutoscalerConversion.toV1(object)
        default: break
        }
        out["apiVersion"] = .string(resource.resource.gvk.apiVersion)
        out["kind"] = .string(resource.kind)
        return out
    }

    package func store(_ object: Node, from resource: ServedResource) throws(APIError) -> Node {
        var out = object
        switch (resource.group, resource.plural) {
        case ("events.k8s.io", "events"): out = EventConversion.toCore(object)
        case ("autoscaling", "horizontalpodautoscalers") where resource.resource.version == "v1": out = AutoscalerConversion.toV2(object)
        default: break
        }
        out["apiVersion"] = .string(resource.storageAPIVersion)
        out["kind"] = .string(resource.kind)
        return out
    }
}

/// core/v1 and events.k8s.io/v1 events: the same facts under two sets of names.
enum EventConversion {
    private static let names = [
        ("involvedObject", "regarding"), ("message", "note"), ("source", "deprecatedSource"), ("firstTimestamp", "deprecatedFirstTimestamp"),
        ("lastTimestamp", "deprecatedLastTimestamp"), ("count", "deprecatedCount"), ("reportingComponent", "reportingController"),
    ]

    static func toEvents(_ event: Node) -> Node {
        var out = rename(event, names.map { ($0.0, $0.1) })
        // Written always by the one, and only where they say something by the other.
        for field in ["reportingController", "reportingInstance"] where out[field].isEmpty { out.remove(field) }
        return out
    }
    static func toCore(_ event: Node) -> Node { rename(event, names.map { ($0.1, $0.0) }) }

    private static func rename(_ event: Node, _ pairs: [(String, String)]) -> Node {
        let table = Dictionary(uniqueKeysWithValues: pairs)
        return .map(Fields(event.fields.map { (table[$0.key] ?? $0.key, $0.value) }))
    }
}

/// autoscaling/v1 knows one metric, the CPU's average utilisation; what v2 says beyond that travels in annotations.
enum AutoscalerConversion {
    private static let metricsKey = "autoscaling.alpha.kubernetes.io/metrics"
    private static let behaviorKey = "autoscaling.alpha.kubernetes.io/behavior"
    private static let conditionsKey = "autoscaling.alpha.kubernetes.io/conditions"
    private static let currentKey = "autoscaling.alpha.kubernetes.io/current-metrics"

    private static func isCPU(_ metric: Node) -> Bool {
        metric["type"].string == "Resource" && metric["resource"]["name"].string == "cpu" && metric["resource"]["target"]["type"].string == "Utilization"
    }

    static func toV1(_ object: Node) -> Node {
        var out = object
        let metrics = object["spec"]["metrics"].list
        if let cpu = metrics.first(where: isCPU) {
            out["spec"]["targetCPUUtilizationPercentage"] = cpu["resource"]["target"]["averageUtilization"]
        }
        out["spec"].remove("metrics")
        let others = metrics.filter { !isCPU($0) }
        if !others.isEmpty { out["metadata"]["annotations"][metricsKey] = .string(Node.list(others).jsonText) }
        if !object["spec"]["behavior"].isNull { out["metadata"]["annotations"][behaviorKey] = .string(object["spec"]["behavior"].jsonText) }
        out["spec"].remove("behavior")
        let current = object["status"]["currentMetrics"].list
        if let cpu = current.first(where: { $0["resource"]["name"].string == "cpu" }) {
            out["status"]["currentCPUUtilizationPercentage"] = cpu["resource"]["current"]["averageUtilization"]
        }
        if !current.isEmpty { out["metadata"]["annotations"][currentKey] = .string(Node.list(current).jsonText) }
        if !object["status"]["conditions"].list.isEmpty { out["metadata"]["annotations"][conditionsKey] = .string(object["status"]["conditions"].jsonText) }
        out["status"].remove("currentMetrics")
        out["status"].remove("conditions")
        return out
    }

    static func toV2(_ object: Node) -> Node {
        var out = object
        var metrics: [Node] = []
        func annotation(_ key: String) -> Node? { object["metadata"]["annotations"][key].string.flatMap { try? Node(json: $0) } }
        let target = object["spec"]["targetCPUUtilizationPercentage"]
        if !target.isNull {
            metrics.append(["type": "Resource", "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": target]]])
        }
        metrics += annotation(metricsKey)?.list ?? []
        if !metrics.isEmpty { out["spec"]["metrics"] = .list(metrics) }
        if let behavior = annotation(behaviorKey) { out["spec"]["behavior"] = behavior }
        out["spec"].remove("targetCPUUtilizationPercentage")
        if let current = annotation(currentKey) { out["status"]["currentMetrics"] = current }
        if let conditions = annotation(conditionsKey) { out["status"]["conditions"] = conditions }
        out["status"].remove("currentCPUUtilizationPercentage")
        for key in [metricsKey, behaviorKey, currentKey, conditionsKey] { out["metadata"]["annotations"].remove(key) }
        if out["metadata"]["annotations"].isEmpty { out["metadata"].remove("annotations") }
        return out
    }
}

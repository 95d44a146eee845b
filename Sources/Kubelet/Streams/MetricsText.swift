import Client
import Core

/// Metrics in the text form that Prometheus reads.
struct MetricsText {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"
    private(set) var text = ""

    mutating func gauge(_ name: String, _ help: String, _ values: [(labels: [String: String], value: String)], kind: String = "gauge") {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
        for (labels, value) in values {
            let list = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\"\($0.value)\"" }.joined(separator: ",")
            text += list.isEmpty ? "\(name) \(value)\n" : "\(name){\(list)} \(value)\n"
        }
    }

    /// What metrics-server asks kubelets for.
    static func resources(_ stats: NodeStats) -> String {
        var out = MetricsText()
        func seconds(_ usage: ResourceUsage) -> String { "\(Double(usage.cpuNanoseconds) / 1e9) \(usage.time.milliseconds)" }
        func bytes(_ usage: ResourceUsage) -> String { "\(usage.memoryWorkingSet) \(usage.time.milliseconds)" }
        let pods = stats.pods.map { (["namespace": $0.key.namespace, "pod": $0.key.name], $0.usage) }
        let containers = stats.pods.flatMap { pod in
            pod.containers.map { (["namespace": pod.key.namespace, "pod": pod.key.name, "container": $0.name], $0.usage) }
        }
        let cpu = "Cumulative cpu time consumed in core-seconds."
        let memory = "Current working set in bytes."
        out.gauge("node_cpu_usage_seconds_total", cpu, [([:], seconds(stats.usage))], kind: "counter")
        out.gauge("node_memory_working_set_bytes", memory, [([:], bytes(stats.usage))])
        out.gauge("pod_cpu_usage_seconds_total", cpu, pods.map { ($0.0, seconds($0.1)) }, kind: "counter")
        out.gauge("pod_memory_working_set_bytes", memory, pods.map { ($0.0, bytes($0.1)) })
        out.gauge("container_cpu_usage_seconds_total", cpu, containers.map { ($0.0, seconds($0.1)) }, kind: "counter")
        out.gauge("container_memory_working_set_bytes", memory, containers.map { ($0.0, bytes($0.1)) })
        return out.text
    }
}

extension Timestamp {
    fileprivate var milliseconds: Int64 { seconds * 1000 + Int64(nanoseconds) / 1_000_000 }
}

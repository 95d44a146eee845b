import Core
package import Store
import Synchronization

/// What /metrics tells, in Prometheus' text form and under upstream's names.
package final class RequestMetrics: Sendable {
    /// The labels of upstream's request metrics.
    struct Labels: Hashable, Sendable {
        var verb = ""
        var group = ""
        var version = ""
        var resource = ""
        var subresource = ""
        var scope = ""
        var isDryRun = false

        init(_ info: RequestInfo, isDryRun: Bool, isApply: Bool) {
            self.isDryRun = isDryRun
            guard info.isResource else {
                verb = info.verb.uppercased()
                subresource = info.path.split(separator: "/").first.map { "/\($0)" } ?? "/"
                return
            }
            verb = isApply ? "APPLY" : RequestMetrics.Labels.verb(info)
            group = info.group
            version = info.version
            resource = info.resource
            subresource = info.subresource
            scope = info.name.isEmpty ? (info.namespace.isEmpty ? "cluster" : "namespace") : "resource"
        }

        private static func verb(_ info: RequestInfo) -> String {
            if ["exec", "attach", "portforward", "proxy"].contains(info.subresource) { return "CONNECT" }
            switch info.verb {
            case "create": return "POST"
            case "update": return "PUT"
            default: return info.verb.uppercased()
            }
        }

        var text: String {
            "dry_run=\"\(isDryRun ? "All" : "")\",group=\"\(group)\",resource=\"\(resource)\",scope=\"\(scope)\",subresource=\"\(subresource)\",verb=\"\(verb)\",version=\"\(version)\""
        }

        var isLong: Bool { verb == "WATCH" || verb == "CONNECT" || subresource == "log" }
        var isMutating: Bool { !["GET", "LIST", "WATCH", "HEAD", "OPTIONS"].contains(verb) }
    }

    private struct Histogram {
        var buckets = [Int](repeating: 0, count: RequestMetrics.bounds.count)
        var count = 0
        var sum = 0.0

        mutating func add(_ seconds: Double) {
            count += 1
            sum += seconds
            if let index = RequestMetrics.bounds.firstIndex(where: { seconds <= $0 }) { buckets[index] += 1 }
        }
    }

    private struct Counted: Hashable {
        let labels: Labels
        let code: Int
    }

    private struct State {
        var totals: [Counted: Int] = [:]
        var durations: [Labels: Histogram] = [:]
        var long: [Labels: Int] = [:]
        var mutating = 0
        var reading = 0
    }

    private static let bounds: [Double] = [
        0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
    ]

    private let state = Mutex(State())
    private let store: Store
    private let started = Timestamp.now()

    package init(_ store: Store) { self.store = store }

    func began(_ labels: Labels) {
        state.withLock { state in
            if labels.isLong { state.long[labels, default: 0] += 1 } else if labels.isMutating { state.mutating += 1 } else { state.reading += 1 }
        }
    }

    func ended(_ labels: Labels, code: Int, after duration: Duration) {
        let seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
        state.withLock { state in
            if labels.isLong { state.long[labels, default: 1] -= 1 } else if labels.isMutating { state.mutating -= 1 } else { state.reading -= 1 }
            state.totals[Counted(labels: labels, code: code), default: 0] += 1
            // How long a watch was open says nothing about the server.
            if !labels.isLong { state.durations[labels, default: Histogram()].add(seconds) }
        }
    }

    // MARK: - The text

    package func text() -> String {
        let state = state.withLock { $0 }
        var out = ""
        func family(_ name: String, _ type: String, _ help: String) { out += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n" }
        family("apiserver_request_total", "counter", "[STABLE] Requests by verb, dry run value, group, version, resource, scope, component and code.")
        for (key, value) in state.totals.sorted(by: { $0.key.labels.text < $1.key.labels.text }) {
            out += "apiserver_request_total{code=\"\(key.code)\",component=\"apiserver\",\(key.labels.text)} \(value)\n"
        }
        family("apiserver_request_duration_seconds", "histogram", "[STABLE] How long answers took, in seconds.")
        for (labels, histogram) in state.durations.sorted(by: { $0.key.text < $1.key.text }) {
            let text = "component=\"apiserver\",\(labels.text)"
            var sum = 0
            for (index, bound) in RequestMetrics.bounds.enumerated() {
                sum += histogram.buckets[index]
                out += "apiserver_request_duration_seconds_bucket{\(text),le=\"\(RequestMetrics.number(bound))\"} \(sum)\n"
            }
            out += "apiserver_request_duration_seconds_bucket{\(text),le=\"+Inf\"} \(histogram.count)\n"
            out += "apiserver_request_duration_seconds_sum{\(text)} \(histogram.sum)\n"
            out += "apiserver_request_duration_seconds_count{\(text)} \(histogram.count)\n"
        }
        family("apiserver_current_inflight_requests", "gauge", "[STABLE] Requests that are being answered now.")
        out += "apiserver_current_inflight_requests{request_kind=\"mutating\"} \(state.mutating)\n"
        out += "apiserver_current_inflight_requests{request_kind=\"readOnly\"} \(state.reading)\n"
        family("apiserver_longrunning_requests", "gauge", "[STABLE] Watches and sessions that are open now.")
        for (labels, count) in state.long.sorted(by: { $0.key.text < $1.key.text }) {
            out += "apiserver_longrunning_requests{component=\"apiserver\",\(labels.text)} \(count)\n"
        }
        return out + objects() + process()
    }

    private static func number(_ bound: Double) -> String { bound == bound.rounded() ? String(Int(bound)) : "\(bound)" }

    private func objects() -> String {
        var out = "# HELP apiserver_resource_objects Stored objects by kind.\n# TYPE apiserver_resource_objects gauge\n"
        for collection in ["pods", "configmaps", "secrets", "services", "events", "nodes", "namespaces", "apps/deployments", "apps/replicasets"] {
            guard let count = try? store.snapshot(of: collection).count else { continue }
            let parts = collection.split(separator: "/").map(String.init)
            let group = parts.count == 2 ? parts[0] : ""
            out += "apiserver_resource_objects{group=\"\(group)\",resource=\"\(parts[parts.count - 1])\"} \(count)\n"
        }
        return out
    }

    /// The process as Prometheus' own libraries describe theirs.
    private func process() -> String {
        var out = "# HELP process_start_time_seconds Start of the process, in seconds since 1970.\n# TYPE process_start_time_seconds gauge\n"
        out += "process_start_time_seconds \(started.seconds)\n"
        guard let bytes = try? FileSystem.readFile("/proc/self/stat") else { return out }
        // Behind the name, which may hold spaces; the clock of /proc ticks a hundred times a second.
        let fields = String(decoding: bytes, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 21, let user = Double(fields[11]), let system = Double(fields[12]), let pages = Int(fields[21]) else { return out }
        out += "# HELP process_cpu_seconds_total Processor time used, in seconds.\n# TYPE process_cpu_seconds_total counter\n"
        out += "process_cpu_seconds_total \((user + system) / 100)\n"
        out += "# HELP process_resident_memory_bytes Resident memory, in bytes.\n# TYPE process_resident_memory_bytes gauge\n"
        out += "process_resident_memory_bytes \(pages * 4096)\n"
        return out
    }
}

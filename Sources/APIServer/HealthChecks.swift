import Synchronization
package import Transport

/// What /healthz, /livez and /readyz tell: named checks, each fine or not.
package final class HealthChecks: Sendable {
    private let failing = Mutex<[(name: String, check: @Sendable () -> Bool)]>([])
    package let serviceAccountKey: PublicKey?
    private let counted = Mutex<[String: [String: Int]]>([:])
    private let metricsText: @Sendable () -> String

    package init(serviceAccountKey: PublicKey?, metrics: @escaping @Sendable () -> String = { "" }) {
        self.serviceAccountKey = serviceAccountKey
        metricsText = metrics
    }

    package func add(_ name: String, _ isHealthy: @escaping @Sendable () -> Bool) { failing.withLock { $0.append((name, isHealthy)) } }

    /// /metrics/slis: how the checks stand, and how often each was found so.
    package func indicators() -> String {
        let checks = [("ping", { @Sendable in true })] + failing.withLock { $0 }.map { ($0.name, $0.check) }
        var now = "# HELP kubernetes_healthcheck [STABLE] Results of health checks.\n# TYPE kubernetes_healthcheck gauge\n"
        var total = "# HELP kubernetes_healthchecks_total [STABLE] Results of all health checks so far.\n# TYPE kubernetes_healthchecks_total counter\n"
        for (name, check) in checks {
            let isGood = check()
            for type in ["healthz", "livez", "readyz"] {
                now += "kubernetes_healthcheck{name=\"\(name)\",type=\"\(type)\"} \(isGood ? 1 : 0)\n"
                let counts = counted.withLock { counted -> [String: Int] in
                    counted["\(name) \(type)", default: [:]][isGood ? "success" : "error", default: 0] += 1
                    return counted["\(name) \(type)"] ?? [:]
                }
                for (status, count) in counts.sorted(by: { $0.key < $1.key }) {
                    total += "kubernetes_healthchecks_total{name=\"\(name)\",status=\"\(status)\",type=\"\(type)\"} \(count)\n"
                }
            }
        }
        return now + total
    }

    package func metrics() -> String { metricsText() }

    /// In upstream's text form: a line a check, `[+]name ok` or `[-]name failed: reason withheld`.
    /// Whether there is a check of the name that a path ends in.
    package func knows(_ path: String) -> Bool {
        let name = path.split(separator: "/").dropFirst().first.map(String.init) ?? ""
        return name == "ping" || failing.withLock { $0.contains { $0.name == name } }
    }

    package func report(_ path: String, isVerbose: Bool, excluded: [String]) -> (isHealthy: Bool, text: String) {
        let segments = path.split(separator: "/").map(String.init)
        let endpoint = segments.first ?? "healthz"
        var checks = failing.withLock { $0 }
        checks.insert(("ping", { true }), at: 0)
        if segments.count > 1 { checks = checks.filter { $0.name == segments[1] } }
        var text = ""
        var isHealthy = true
        for (name, check) in checks {
            if excluded.contains(name) {
                text += "[+]\(name) excluded: ok\n"
            } else if check() {
                text += "[+]\(name) ok\n"
            } else {
                text += "[-]\(name) failed: reason withheld\n"
                isHealthy = false
            }
        }
        if !isHealthy { return (false, text + "\(endpoint) check failed\n") }
        return (true, isVerbose ? text + "\(endpoint) check passed\n" : "ok")
    }
}

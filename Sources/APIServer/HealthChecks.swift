import Synchronization
package import Transport

/// What /healthz, /livez and /readyz tell: named checks, each fine or not.
package final class HealthChecks: Sendable {
    private let failing = Mutex<[(name: String, check: @Sendable () -> Bool)]>([])
    package let serviceAccountKey: PublicKey?
    private let metricsText: @Sendable () -> String

    package init(serviceAccountKey: PublicKey?, metrics: @escaping @Sendable () -> String = { "" }) {
        self.serviceAccountKey = serviceAccountKey
        metricsText = metrics
    }

    package func add(_ name: String, _ isHealthy: @escaping @Sendable () -> Bool) { failing.withLock { $0.append((name, isHealthy)) } }

    package func metrics() -> String { metricsText() }

    /// In upstream's text form: a line a check, `[+]name ok` or `[-]name failed: reason withheld`.
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

import Core
import Synchronization
package import Tree

/// One place that audit events go to. It never waits and never fails: what cannot be kept is counted.
package protocol AuditBackend: Sendable {
    /// Upstream's name for it in metrics.
    var name: String { get }
    func take(_ event: Node)
    /// Returns when all that was taken is where it belongs.
    func close() async
}

/// The policy and the places that events go to.
package final class AuditLog: Sendable {
    package let policy: AuditPolicy
    private let backends: [any AuditBackend]
    private let counts = Mutex((events: 0, levels: [AuditPolicy.Level: Int]()))

    package init(policy: AuditPolicy, backends: [any AuditBackend]) {
        self.policy = policy
        self.backends = backends
    }

    func decide(_ asked: Attributes) -> AuditPolicy.Decision {
        let decision = policy.decide(asked)
        counts.withLock { $0.levels[decision.level, default: 0] += 1 }
        return decision
    }

    func take(_ event: Node) {
        counts.withLock { $0.events += 1 }
        for backend in backends { backend.take(event) }
    }

    package func close() async {
        for backend in backends { await backend.close() }
    }

    /// Upstream's audit metrics.
    package func metrics() -> String {
        let counts = counts.withLock { $0 }
        var out = "# HELP apiserver_audit_event_total [ALPHA] Audit events made and sent on.\n# TYPE apiserver_audit_event_total counter\n"
        out += "apiserver_audit_event_total \(counts.events)\n"
        out += "# HELP apiserver_audit_level_total [ALPHA] Requests by the audit policy's level.\n# TYPE apiserver_audit_level_total counter\n"
        for (level, count) in counts.levels.sorted(by: { $0.key < $1.key }) { out += "apiserver_audit_level_total{level=\"\(level.name)\"} \(count)\n" }
        return out
    }
}

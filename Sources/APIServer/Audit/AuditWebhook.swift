import Core
import Logging
import Synchronization
package import Tree

/// Audit events sent to another server in batches, each tried again a few times where it does not get there. What gathers
/// beyond the bound is lost and counted; requests never wait.
package final class AuditWebhook: AuditBackend {
    package struct Options: Sendable {
        package var maxBatch = 400
        package var maxWait = Duration.seconds(30)
        package var bufferSize = 10_000
        package var initialBackoff = Duration.seconds(10)
        package init() {}
    }

    private struct State {
        var events: [Node] = []
        var lost = 0
        var isClosing = false
        /// Fires when there is something to send at all, and when there is enough.
        var some = OneShot()
        var enough = OneShot()
        let done = OneShot()
    }

    private static let attempts = 5

    private let target: KubeconfigTarget
    private let options: Options
    private let state = Mutex(State())
    private let log = Logger(label: "audit")
    package var name: String { "webhook" }

    package init(_ target: KubeconfigTarget, _ options: Options = Options()) {
        self.target = target
        self.options = options
    }

    package func take(_ event: Node) {
        let (fires, isFirstLoss) = state.withLock { state -> ([OneShot], Bool) in
            guard state.events.count < options.bufferSize, !state.isClosing else {
                state.lost += 1
                return ([], state.lost == 1)
            }
            state.events.append(event)
            if state.events.count == options.maxBatch { return ([state.some, state.enough], false) }
            return (state.events.count == 1 ? [state.some] : [], false)
        }
        for shot in fires { shot.fire() }
        if isFirstLoss { log.error("audit events are lost: the webhook does not keep up") }
    }

    package var lost: Int { state.withLock { $0.lost } }

    /// Sends until `close`; to be run once.
    package func run() async {
        while true {
            let some = state.withLock { $0.some }
            _ = await some.fired(within: .seconds(86400 * 365))
            let enough = state.withLock { $0.enough }
            _ = await enough.fired(within: options.maxWait)
            let (batches, isLast) = state.withLock { state -> ([[Node]], Bool) in
                defer {
                    state.events = []
                    state.some = OneShot()
                    state.enough = OneShot()
                    if state.isClosing {
                        state.some.fire()
                        state.enough.fire()
                    }
                }
                let batches = stride(from: 0, to: state.events.count, by: options.maxBatch).map { Array(state.events[$0..<min($0 + options.maxBatch, state.events.count)]) }
                return (batches, state.isClosing)
            }
            for batch in batches { await send(batch) }
            if isLast { break }
        }
        state.withLock { $0.done }.fire()
    }

    package func close() async {
        let (some, enough, done) = state.withLock { state in
            state.isClosing = true
            return (state.some, state.enough, state.done)
        }
        some.fire()
        enough.fire()
        _ = await done.fired(within: .seconds(30))
    }

    private func send(_ events: [Node]) async {
        let body = JSONWriter.write(["kind": "EventList", "apiVersion": "audit.k8s.io/v1", "metadata": [:], "items": .list(events)])
        var pause = options.initialBackoff
        for attempt in 1...AuditWebhook.attempts {
            var reason = ""
            do {
                let answer = try await target.post(body, timeout: .seconds(30))
                if (200..<300).contains(answer.status) { return }
                reason = "status \(answer.status)"
                // What was understood and refused is not better the next time.
                if answer.status < 500, answer.status != 429 { return drop(events, reason) }
            } catch { reason = "\(error)" }
            if attempt == AuditWebhook.attempts || state.withLock({ $0.isClosing }) { return drop(events, reason) }
            try? await Task.sleep(for: pause)
            pause = pause * 3 / 2
        }
    }

    private func drop(_ events: [Node], _ reason: String) {
        state.withLock { $0.lost += events.count }
        log.error("audit events could not be sent", metadata: ["count": "\(events.count)", "error": "\(reason)"])
    }
}

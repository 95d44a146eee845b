import Core
import Tree

/// One container of a pod through all its runs.
struct ContainerTrack: Sendable, Equatable {
    enum Phase: Sendable, Equatable {
        /// Never ran, in this sandbox at least. → running, or exited where its program could not be started
        case idle
        /// → exited
        case running(RunningContainer)
        /// → running
        case exited(Termination)
    }

    /// What `state.waiting` says instead of the default.
    struct Waiting: Sendable, Equatable {
        var reason: String
        var message: String
    }

    /// A delay that doubles with each use and is forgotten after twice its limit of quiet, as upstream's flow control does.
    struct Delay: Sendable, Equatable {
        var seconds: Int64 = 0
        var used: Timestamp?

        static let base: Int64 = 10
        static let limit: Int64 = 300

        mutating func next(_ now: Timestamp) {
            if let used, now - used > .seconds(2 * Delay.limit) { seconds = 0 }
            seconds = seconds == 0 ? Delay.base : min(seconds * 2, Delay.limit)
            used = now
        }

        /// The end of the delay that began with an event; nil where there is none, or it has passed.
        func end(since event: Timestamp, now: Timestamp) -> Timestamp? {
            guard let used, seconds > 0, event - used <= .seconds(2 * Delay.limit) else { return nil }
            let end = event + .seconds(seconds)
            return end > now ? end : nil
        }
    }

    let role: PodView.Role
    var phase = Phase.idle
    var waiting: Waiting?
    var last: Termination?
    /// Asked to start; the image may be on its way.
    var isStarting = false
    /// Not tried again before this.
    var heldUntil: Timestamp?
    /// Number of the current or last run, from 0: the API's `restartCount`.
    var attempt = 0
    /// Whether any run was ever made in this pod, so that the next one counts up.
    var ran = false
    var image = ""
    var imageID = ""
    /// What the spec said when it was started: another image means another container.
    var specImage = ""
    var containerID = ""
    var started = false
    var ready = false
    var isStopping = false
    /// It comes back after the stop, whatever its exit code says.
    var restartsAfterStop: Bool?
    /// It is stopped to be started anew at once, by another definition.
    var isReplaced = false
    /// Until then the gap between the two runs is nobody's business.
    var swapsUntil: Timestamp?
    var crash = Delay()
    var pull = Delay()
    var hasAnnouncedBackOff = false
    /// What it runs with.
    var resources = Node.null

    init(role: PodView.Role) { self.role = role }

    var isRunning: Bool { if case .running = phase { true } else { false } }
    var isActive: Bool { isRunning || isStarting }
    /// The number that the next run has.
    var nextAttempt: Int { ran ? attempt + 1 : attempt }
    var termination: Termination? { if case .exited(let termination) = phase { termination } else { nil } }
}

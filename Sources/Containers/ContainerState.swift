import CLinux
package import Core

/// Where a container is in its life: created → running → exited; each step happens once.
package enum ContainerState: Sendable, Equatable {
    case created
    case running(pid: Int32, startedAt: Timestamp)
    case exited(ContainerExit)
}

/// How a container ended.
package struct ContainerExit: Sendable, Equatable {
    /// As a shell reports it: 128 + signal where a signal ended it.
    package let code: Int32
    package let signal: Int32
    package let startedAt: Timestamp
    package let finishedAt: Timestamp
    package let oomKilled: Bool
    /// Whether the init saw the exit; false where the sandbox was lost and nobody knows the code (it is 255 then).
    package let witnessed: Bool
}

extension ContainerState {
    /// From a status record; nil where the start has not finished.
    init?(_ record: Record) {
        let started = Timestamp(nanoseconds: record.number(2))
        switch Int(record.number(0)) {
        case JS_RUNNING: self = .running(pid: Int32(truncatingIfNeeded: record.number(1)), startedAt: started)
        case JS_EXITED:
            self = .exited(
                ContainerExit(
                    code: Int32(truncatingIfNeeded: record.number(4)), signal: Int32(truncatingIfNeeded: record.number(5)),
                    startedAt: started,
                    finishedAt: Timestamp(nanoseconds: record.number(3)), oomKilled: record.number(6) != 0, witnessed: true))
        default: return nil
        }
    }

    var exit: ContainerExit? {
        if case .exited(let exit) = self { exit } else { nil }
    }
}

extension Timestamp {
    init(nanoseconds: UInt64) {
        self.init(seconds: Int64(nanoseconds / 1_000_000_000), nanoseconds: Int32(nanoseconds % 1_000_000_000))
    }
}

/// Why a container or exec did not start, in the words other runtimes use.
package struct ContainerFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// The constant name of the step: "mount", "exec", "setuid" …
    package let stage: String
    package let message: String
    package let errno: Int32

    package var description: String { message }
    /// The program is missing or cannot be run, as against a sandbox that could not be built.
    package var isBadCommand: Bool { stage == "exec" }

    init(stage: String, text: String, errno: Int32) {
        let reason = SystemFailure("", errno: errno).reason.lowercased()
        self.stage = stage
        self.errno = errno
        switch stage {
        case "exec": message = text
        case "mount": message = "error mounting \(text): \(reason)"
        case "chdir": message = "chdir to cwd (\"\(text)\") failed: \(reason)"
        case "start": message = text
        default: message = text.isEmpty ? "\(stage): \(reason)" : "\(stage) \(text): \(reason)"
        }
    }
}

/// What a runtime tells those who listen.
package enum ContainerEvent: Sendable, Equatable {
    case started(sandbox: String, container: String)
    case exited(sandbox: String, container: String, ContainerExit)
    /// The sandbox's init is gone, and every container with it.
    case lost(sandbox: String)
}

import CLinux
package import Core
import Glibc

/// A program to start, with everything its process needs. Costs the same from a process of any size: vfork-like, all in C.
package struct Spawn: Sendable {
    package enum Executable: Sendable {
        case path(String)
        case descriptor(Descriptor)
    }

    package var executable: Executable
    package var arguments: [String]
    package var environment: [String] = []
    /// Become descriptors 0, 1, 2 …; nil is /dev/null. Everything else is closed.
    package var descriptors: [Descriptor?] = [nil, nil, nil]
    package var directory: String?
    /// cgroup v2 directory to be in from the start.
    package var cgroup: Descriptor?
    /// cgroup v1 `tasks` files to join before the program runs.
    package var tasks: [String] = []
    package var newSession = true

    package init(_ executable: Executable, arguments: [String]) {
        self.executable = executable
        self.arguments = arguments
    }

    package func start() throws(SystemFailure) -> ChildProcess {
        var pidfd: Int32 = -1
        var stage: UnsafePointer<CChar>?
        let fds = descriptors.map { $0?.raw ?? -1 }
        var path = ""
        var program: Int32 = -1
        switch executable {
        case .path(let value): path = value
        case .descriptor(let value): program = value.raw
        }
        let argumentList = CStrings(arguments)
        let environmentList = CStrings(environment)
        let taskList = CStrings(tasks)
        let pathList = CStrings([path] + (directory.map { [$0] } ?? []))
        let pid = fds.withUnsafeBufferPointer { fds in
            var spawn = jangada_spawn()
            spawn.path = UnsafePointer(pathList.pointers[0])
            spawn.executable = program
            spawn.arguments = UnsafePointer(argumentList.pointers)
            spawn.environment = UnsafePointer(environmentList.pointers)
            spawn.fds = fds.baseAddress
            spawn.fd_count = UInt32(fds.count)
            spawn.directory = directory == nil ? nil : UnsafePointer(pathList.pointers[1])
            spawn.cgroup = cgroup?.raw ?? -1
            spawn.new_session = newSession ? 1 : 0
            return taskList.constants.withUnsafeBufferPointer { tasks in
                spawn.tasks = self.tasks.isEmpty ? nil : tasks.baseAddress
                return jangada_spawn_process(&spawn, &pidfd, &stage)
            }
        }
        guard pid > 0 else {
            throw SystemFailure("spawn", path.isEmpty ? arguments.first ?? "" : path, hint: stage.map { String(cString: $0) })
        }
        return ChildProcess(pid: pid, pidfd: Descriptor(pidfd))
    }
}

/// A process that this one started. Signals cannot hit another process that got its number.
package struct ChildProcess: Sendable {
    package let pid: Int32
    package let pidfd: Descriptor

    package func signal(_ number: Int32) throws(SystemFailure) {
        guard jangada_pidfd_send_signal(pidfd.raw, number) == 0 || errno == ESRCH else {
            throw SystemFailure("pidfd_send_signal", "\(pid)")
        }
    }

    /// The exit code (128 + signal where one ended it) once it has ended; nil while it runs. To be asked until it answers: it reaps.
    package func reap() throws(SystemFailure) -> Int32? {
        var code: Int32 = 0
        var status: Int32 = 0
        switch jangada_pidfd_reap(pidfd.raw, &code, &status) {
        case 0: return nil
        case 1: return code == Int32(CLD_EXITED) ? status : 128 + status
        default: throw SystemFailure("waitid", "\(pid)")
        }
    }
}

/// NULL-terminated C strings that live as long as this does.
final class CStrings {
    let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        count = strings.count
        pointers = .allocate(capacity: count + 1)
        for (index, string) in strings.enumerated() { pointers.advanced(by: index).initialize(to: strdup(string)) }
        pointers.advanced(by: count).initialize(to: nil)
    }

    var constants: [UnsafePointer<CChar>?] { (0...count).map { UnsafePointer(pointers[$0]) } }

    deinit {
        for index in 0..<count { free(pointers[index]) }
        pointers.deallocate()
    }
}

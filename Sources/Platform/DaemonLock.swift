import Core

/// Who runs a cluster: at most one daemon at a time, which the kernel tells and not a file's being there.
package enum DaemonLock {
    /// Whether a daemon runs, and its pid where it has written it already.
    package static func holder(_ directory: StateDirectory) -> (isHeld: Bool, pid: Int32?) { LockFile.look(directory.lock) }

    /// For the daemon itself, from its first step to its end.
    static func take(_ directory: StateDirectory) throws -> LockFile {
        do throws(LockFile.Failure) { return try LockFile(directory.lock, patient: true) } catch {
            switch error {
            case .held(let pid):
                throw ControlFailure(
                    409, "the cluster in \(directory.root) runs already" + (pid.map { " (pid \($0))" } ?? ""), hint: "See: sudo jangada status")
            case .system(let failure): throw failure
            }
        }
    }
}

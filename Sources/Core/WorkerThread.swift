import Glibc

/// A thread of its own for work that blocks. It takes no signals but its own faults, so handlers run on threads that expect them;
/// `join` returns when `body` has returned and may be called once, from another thread.
package struct WorkerThread: Sendable {
    private let thread: pthread_t

    /// `name` is what ps and top show; the kernel keeps 15 bytes of it.
    package init(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemFailure) {
        let start = Unmanaged.passRetained(Start(name: name, body: body))
        var thread = pthread_t()
        // The child inherits the mask, so no signal can slip in before it runs.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        // A fault in the thread itself must reach the crash handler.
        for fault in [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS] { sigdelset(&all, fault) }
        pthread_sigmask(SIG_SETMASK, &all, &before)
        let status = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
                WorkerThread.setName(start.name)
                start.body()
                return nil
            }, start.toOpaque())
        pthread_sigmask(SIG_SETMASK, &before, nil)
        guard status == 0 else {
            start.release()
            throw SystemFailure("pthread_create", name, errno: status)
        }
        self.thread = thread
    }

    package func join() { pthread_join(thread, nil) }

    /// Instead of `join`, where nobody will wait for the end.
    package func detach() { pthread_detach(thread) }

    /// Through /proc, since Glibc's call is a GNU extension that Swift does not see. Only a courtesy, so errors do not matter.
    private static func setName(_ name: String) {
        let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        let bytes = Array(name.utf8.prefix(15))
        _ = write(descriptor, bytes, bytes.count)
        close(descriptor)
    }

    private final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
}

import CLinux
package import Core
import Glibc
import Synchronization

/// One thread over one epoll: calls a handler when its descriptor has news. Handlers are edge-triggered, short and never block.
package final class EventLoopThread: Sendable {
    package typealias Handler = @Sendable (_ events: UInt32) -> Void

    private struct State {
        var handlers: [UInt64: Handler] = [:]
        var next: UInt64 = 1
    }

    private let epoll: Int32
    private let state = Mutex(State())

    /// The loop that the whole process shares; it lives as long as the process.
    package static let shared = Result { () throws(SystemFailure) in try EventLoopThread(name: "events") }

    package init(name: String) throws(SystemFailure) {
        epoll = jangada_epoll_create()
        guard epoll >= 0 else { throw SystemFailure("epoll_create1") }
        try DedicatedThread.start(name: name) { [self] in run() }
    }

    /// Watches for reading, writing and hang-up. The first call comes at once where the descriptor is ready already.
    /// EPERM is thrown for regular files, which epoll does not take.
    package func watch(_ descriptor: Int32, _ handler: @escaping Handler) throws(SystemFailure) -> UInt64 {
        let token = state.withLock { state in
            defer { state.next += 1 }
            state.handlers[state.next] = handler
            return state.next
        }
        guard jangada_epoll_watch(epoll, descriptor, token) == 0 else {
            let failure = SystemFailure("epoll_ctl", "\(descriptor)")
            state.withLock { _ = $0.handlers.removeValue(forKey: token) }
            throw failure
        }
        return token
    }

    /// Before the descriptor is closed. A handler that is running on the loop's thread may still finish.
    package func unwatch(_ descriptor: Int32, _ token: UInt64) {
        state.withLock { _ = $0.handlers.removeValue(forKey: token) }
        _ = jangada_epoll_unwatch(epoll, descriptor)
    }

    private func run() {
        var tokens = [UInt64](repeating: 0, count: 64)
        var events = [UInt32](repeating: 0, count: 64)
        while true {
            let count = jangada_epoll_wait(epoll, &tokens, &events, 64)
            guard count > 0 else { continue }
            for index in 0..<Int(count) {
                let handler = state.withLock { $0.handlers[tokens[index]] }
                handler?(events[index])
            }
        }
    }
}

/// A thread of our own, for what must not run on Swift's pool: loops, blocking calls, changes of namespace.
package enum DedicatedThread {
    package static func start(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemFailure) {
        let box = Unmanaged.passRetained(Box(name: name, body: body))
        var thread = pthread_t()
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, 256 * 1024)
        let result = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                let box = Unmanaged<Box>.fromOpaque(argument).takeRetainedValue()
                jangada_name_thread(String(box.name.prefix(15)))
                box.body()
                return nil
            }, box.toOpaque())
        guard result == 0 else {
            box.release()
            throw SystemFailure("pthread_create", name, errno: result)
        }
    }

    /// Runs a blocking call on a thread that ends after it, and waits for it without holding one of the pool's.
    package static func run<T: Sendable>(name: String, _ body: @escaping @Sendable () throws(SystemFailure) -> T)
        async throws(SystemFailure) -> T
    {
        let result: Result<T, SystemFailure> = await withCheckedContinuation { continuation in
            do throws(SystemFailure) {
                try start(name: name) {
                    do throws(SystemFailure) { continuation.resume(returning: .success(try body())) } catch {
                        continuation.resume(returning: .failure(error))
                    }
                }
            } catch { continuation.resume(returning: .failure(error)) }
        }
        return try result.get()
    }

    private final class Box: Sendable {
        let name: String
        let body: @Sendable () -> Void
        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }
}

import NIOCore
import NIOPosix
import Synchronization

/// The threads that all sockets of the process live on. Few are enough: handlers that wait do not hold a thread.
package final class EventLoops: Sendable {
    let group: MultiThreadedEventLoopGroup
    private let contexts: [ObjectIdentifier: LoopContext]

    /// One set for the whole process, two loops: made on first use and kept.
    package static let shared = EventLoops(count: 2)

    package init(count: Int) {
        group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, count))
        var contexts: [ObjectIdentifier: LoopContext] = [:]
        for loop in group.makeIterator() { contexts[ObjectIdentifier(loop)] = LoopContext(loop) }
        self.contexts = contexts
    }

    func context(of loop: any EventLoop) -> LoopContext { contexts[ObjectIdentifier(loop)] ?? LoopContext(loop) }

    /// Ends the threads; only for sets other than `shared`, after their servers and clients are closed.
    package func shutdown() async { try? await group.shutdownGracefully() }
}

/// What belongs to one event loop: the executor for its handlers' tasks, and the fan-out batch.
final class LoopContext: Sendable {
    let loop: any EventLoop
    let executor: LoopExecutor
    let fanOut: FanOut

    init(_ loop: any EventLoop) {
        self.loop = loop
        executor = LoopExecutor(loop)
        fanOut = FanOut(loop)
    }
}

/// Runs tasks on an event loop's thread, so that a handler that never suspends costs no thread switch.
final class LoopExecutor: TaskExecutor {
    private let loop: any EventLoop

    init(_ loop: any EventLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

/// Gathers what watchers are sent, so that a burst of events costs each connection one write and one system call.
/// The first delivery after a quiet time goes out on the next tick; those within a millisecond after it go together.
final class FanOut: Sendable {
    private struct State {
        var dirty: [HTTPExchange] = []
        var scheduled = false
        var last = NIODeadline.uptimeNanoseconds(0)
    }

    private let loop: any EventLoop
    private let state = Mutex(State())
    private let pause = TimeAmount.milliseconds(1)

    init(_ loop: any EventLoop) { self.loop = loop }

    /// Called once per exchange until it has been drained; from any thread.
    func mark(_ exchange: HTTPExchange) {
        let delay: TimeAmount? = state.withLock { state in
            state.dirty.append(exchange)
            guard !state.scheduled else { return nil }
            state.scheduled = true
            let now = NIODeadline.now()
            let next = state.last + pause
            return now >= next ? .zero : next - now
        }
        guard let delay else { return }
        if delay == .zero {
            loop.execute { self.drain() }
        } else {
            loop.scheduleTask(in: delay) { self.drain() }
        }
    }

    private func drain() {
        let dirty = state.withLock { state in
            state.scheduled = false
            state.last = .now()
            defer { state.dirty = [] }
            return state.dirty
        }
        for exchange in dirty { exchange.drainEnqueued() }
    }
}

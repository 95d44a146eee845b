import Client
import Core
import Logging
import Machinery
import Schema
import Synchronization
import Tree

/// Who is to know of every Service and its endpoints.
protocol ServiceSink: Sendable {
    var name: String { get }
    /// These are all there are.
    func replace(with all: [ServiceSnapshot]) throws(SystemFailure)
    /// These have changed, or are gone.
    func apply(_ changes: [ServiceSnapshot]) throws(SystemFailure)
}

/// Keeps one sink true to the Services and EndpointSlices of a view: a change reaches it at once when nothing else is going on, and
/// what comes within a few milliseconds of the last application goes together. After a refusal everything is told anew.
final class ServiceFollower: Sendable {
    private static let quiet = Duration.milliseconds(4)

    private let view: ClusterView
    private let sink: any ServiceSink
    private let time: any TimeSource
    private let dirty = Mutex<Set<ObjectKey>>([])
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation
    /// Netlink blocks; one at a time, since order is everything.
    private let threads = BlockingThreads(limit: 1)
    private let log: Logger

    /// Declares and listens; nothing is applied before `run`.
    init(_ sink: any ServiceSink, view: ClusterView, time: any TimeSource = SystemTime()) {
        self.sink = sink
        self.view = view
        self.time = time
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        var log = Logger(label: "services")
        log[metadataKey: "sink"] = "\(sink.name)"
        self.log = log
        view.declare(.services)
        view.declare(.endpointSlices, indexes: [ServiceSnapshot.byService])
        view.listen(.services) { [self] change in note([change.key]) }
        view.listen(.endpointSlices) { [self] change in
            note(
                [change.old, change.new].compactMap { slice in
                    slice.flatMap { slice in
                        slice["metadata"]["labels"][ServiceSnapshot.serviceName].string.map { ObjectKey(slice.namespace, $0) }
                    }
                })
        }
    }

    private func note(_ keys: [ObjectKey]) {
        guard !keys.isEmpty else { return }
        dirty.withLock { $0.formUnion(keys) }
        wake.yield()
    }

    /// Works until cancelled. Begins with everything, once both lists are known.
    func run() async {
        await view.reached(1, .services)
        await view.reached(1, .endpointSlices)
        var isKnown = false
        var backoff = Backoff(base: .milliseconds(20), limit: .seconds(10))
        var applied: Timestamp?
        var signals = wakes.makeAsyncIterator()
        while !Task.isCancelled {
            if isKnown {
                guard await signals.next() != nil else { return }
                if let applied {
                    let rest = ServiceFollower.quiet - (time.now() - applied)
                    if rest > .zero, rest <= ServiceFollower.quiet { try? await time.sleep(for: rest) }
                }
            }
            if Task.isCancelled { return }
            do throws(SystemFailure) {
                try await apply(isKnown: isKnown)
                isKnown = true
                backoff.reset()
            } catch {
                isKnown = false
                log.warning("services not applied", metadata: ["error": "\(error)"])
                try? await time.sleep(for: backoff.next())
            }
            applied = time.now()
        }
    }

    private func apply(isKnown: Bool) async throws(SystemFailure) {
        // Taken before the view is read: what changes in between is only told twice.
        let keys = dirty.withLock { keys in
            defer { keys = [] }
            return keys
        }
        let sink = sink
        if isKnown {
            guard !keys.isEmpty else { return }
            let changes = view.read { state in keys.map { ServiceSnapshot($0, state) } }
            try await threads.run { () throws(SystemFailure) in try sink.apply(changes) }
        } else {
            let all = view.read { state in state[.services].objects.keys.map { ServiceSnapshot($0, state) } }
            try await threads.run { () throws(SystemFailure) in try sink.replace(with: all) }
        }
    }
}

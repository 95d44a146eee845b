import Core
import Machinery
import Store
import Synchronization
import Transport
import Tree

/// WATCH: first (where asked) the present as ADDED events, then every later change, as a stream that ends only by time-out,
/// by the client, or with an ERROR event when events were lost.
struct WatchVerb: Sendable {
    let store: Store
    /// How often an idle watch is told how far it has seen.
    var bookmarkInterval = Duration.seconds(60)

    func run(_ request: APIRequest, _ resource: ServedResource, _ query: ListQuery, _ rendering: Rendering) async throws(APIError) {
        if rendering.format.encoding == .yaml {
            let types = ["application/json;stream=watch"] + (resource.isCustom ? [] : ["application/vnd.kubernetes.protobuf;stream=watch"])
            throw .notAcceptable("only the following media types are accepted: \(types.joined(separator: ", "))")
        }
        let stream = WatchStream(exchange: request.exchange, rendering: rendering, selection: query.selection)
        let namespace: String? = request.info.namespace.isEmpty ? nil : request.info.namespace
        let name = query.selection.name
        let interest = WatchInterest(resource.collection, namespace: name != nil && !resource.isNamespaced ? "" : namespace, name: name)
        let sendsInitial = query.sendInitialEvents ?? (query.resourceVersion ?? 0 == 0)
        var after = query.resourceVersion ?? 0
        if sendsInitial {
            let snapshot: Snapshot
            if let version = query.resourceVersion, version > store.currentRevision {
                throw StoreError.tooLarge(current: store.currentRevision, asked: version)
            }
            do { snapshot = try store.snapshot(of: resource.collection) } catch { throw error.apiError(resource, name: "") }
            try await start(request, rendering, stream)
            var present = snapshot.page(namespace: namespace).records
            if !query.selection.needsConversion { present = present.filter { query.selection.matches($0) } }
            // The stream is open: what goes wrong now is an event of it.
            do throws(APIError) { try await rendering.prepare(present) } catch { stream.fail(error) }
            if query.selection.needsConversion { present = present.filter { query.selection.matches($0) { try? rendering.served($0) } } }
            for record in present { stream.send("ADDED", record) }
            rendering.converted.removeAll()
            if query.sendInitialEvents == true, query.allowsBookmarks { stream.sendBookmark(snapshot.revision, initialEventsEnd: true) }
            after = snapshot.revision
        }
        let subscription: WatchSubscription
        do {
            if !sendsInitial, after == 0 { after = store.currentRevision }
            if !sendsInitial {
                // Who knows more than there is waits until it is there, and hears only of what comes after.
                stream.floor = after
                after = min(after, store.currentRevision)
                // Refuse before the head is sent, so that the client gets a proper status; then replay onto the stream.
                _ = try store.snapshot(of: resource.collection, at: after)
                try await start(request, rendering, stream)
            }
            subscription = try store.watch(interest, after: after, sink: stream)
        } catch let error as StoreError {
            if case .expired(let oldest) = error, !sendsInitial {
                // Upstream opens the stream and says so in an ERROR event: clients look for it there.
                try await start(request, rendering, stream)
                stream.fail(.expired("too old resource version: \(after) (\(oldest))"))
                await stream.finish()
                return
            }
            throw error.apiError(resource, name: "")
        } catch { throw error as? APIError ?? .internalError("\(error)") }
        stream.attach(subscription)
        request.opened()
        guard stream.arriving != nil || stream.isWebSocket else { return await hold(request, query, stream, subscription) }
        await withTaskGroup(of: Void.self) { group in
            if let arriving = stream.arriving { group.addTask { await stream.convert(arriving) } }
            if stream.isWebSocket { group.addTask { await stream.ignoreMessages() } }
            await hold(request, query, stream, subscription)
            group.cancelAll()
        }
    }

    /// Opens the stream: as the answer's body, or as a WebSocket whose messages are the events.
    private func start(_ request: APIRequest, _ rendering: Rendering, _ stream: WatchStream) async throws(APIError) {
        guard request.http.asksWebSocket else {
            let headers = request.headers(contentType: rendering.format.streamContentType)
            return request.exchange.start(status: 200, headers: headers)
        }
        // What browsers must send there to log in is no protocol of ours.
        let offered = request.http.headers.list("sec-websocket-protocol").filter { !$0.hasPrefix("base64url.bearer.authorization.k8s.io.") }
        do { stream.attach(try await request.exchange.acceptWebSocket(protocols: offered + [""])) } catch {
            throw .badRequest("the connection could not become a WebSocket: \(error)")
        }
    }

    /// Keeps the stream open, with bookmarks, until its time is over or somebody ends it.
    private func hold(_ request: APIRequest, _ query: ListQuery, _ stream: WatchStream, _ subscription: WatchSubscription) async {
        // Upstream picks a time between its minimum (30 min) and twice that, so that clients do not come back all at once.
        let lifetime = query.timeout ?? .seconds(1800 + Double.random(in: 0..<1800))
        let deadline = ContinuousClock.now + lifetime
        let ended = OneShot()
        if !stream.isWebSocket { request.exchange.onClose { ended.fire() } }
        stream.onEnd { ended.fire() }
        while ContinuousClock.now < deadline, !Task.isCancelled {
            let wait = min(deadline - ContinuousClock.now, query.allowsBookmarks ? bookmarkInterval : lifetime)
            if await ended.fired(within: wait) { break }
            if query.allowsBookmarks, ContinuousClock.now < deadline, let progress = subscription.progress, progress >= stream.floor {
                stream.sendBookmark(progress, initialEventsEnd: false)
            }
        }
        subscription.cancel()
        await stream.finish()
    }
}

/// The sink of one watch: turns commits into frames for one client, on the writer's thread and without waiting.
final class WatchStream: WatchSink {
    private struct State {
        var subscription: WatchSubscription?
        /// Events taken before the subscription was known.
        var early = 0
        var onEnd: (@Sendable () -> Void)?
        var isEnded = false
        var socket: WebSocket?
    }

    /// What may wait for one client, in bytes.
    private static let limit = 64 << 20

    private let exchange: HTTPExchange
    private let rendering: Rendering
    private let selection: Selection
    private let state = Mutex(State())
    private let least = Mutex<Int64>(0)
    /// Nothing is told of events up to this revision.
    var floor: Int64 {
        get { least.withLock { $0 } }
        set { least.withLock { $0 = newValue } }
    }
    /// Commits on their way to a webhook that converts them; nil where events need nobody else.
    let arriving: AsyncStream<WatchBatch>?
    private let arrived: AsyncStream<WatchBatch>.Continuation?

    init(exchange: HTTPExchange, rendering: Rendering, selection: Selection) {
        self.exchange = exchange
        self.rendering = rendering
        self.selection = selection
        guard rendering.resource.converter != nil else {
            arriving = nil
            arrived = nil
            return
        }
        let (stream, continuation) = AsyncStream.makeStream(of: WatchBatch.self, bufferingPolicy: .bufferingOldest(10_000))
        arriving = stream
        arrived = continuation
    }

    /// Sends what arrives in the order of commits, each once it is converted.
    func convert(_ arriving: AsyncStream<WatchBatch>) async {
        for await batch in arriving {
            do throws(APIError) {
                try await rendering.prepare(batch.events.flatMap { event in [event.record] + (event.previous.map { [$0] } ?? []) })
                for event in batch.events { deliver(event) }
            } catch { return fail(error) }
            rendering.converted.removeAll()
        }
    }

    func attach(_ subscription: WatchSubscription) {
        let early = state.withLock { state in
            state.subscription = subscription
            return state.early
        }
        if early > 0 { subscription.consumed(early) }
    }

    func onEnd(_ body: @escaping @Sendable () -> Void) {
        let ended = state.withLock { state in
            state.onEnd = body
            return state.isEnded
        }
        if ended { body() }
    }

    // MARK: - WebSocket

    func attach(_ socket: WebSocket) { state.withLock { $0.socket = socket } }
    var isWebSocket: Bool { state.withLock { $0.socket != nil } }

    /// Clients have nothing to say; that they left is heard here.
    func ignoreMessages() async {
        guard let socket = state.withLock({ $0.socket }) else { return }
        while let message = try? await socket.receive() { _ = message }
        end()
    }

    /// Ends the stream properly.
    func finish() async {
        guard let socket = state.withLock({ $0.socket }) else { return exchange.finish() }
        await socket.close()
    }

    /// Frames of the answer's body have their length before them in protobuf, messages do not.
    private func message(_ parts: [[UInt8]], over socket: WebSocket) -> Bool {
        let isText = rendering.format.encoding != .protobuf
        var whole = Array(parts.joined())
        if !isText, whole.count >= 4 { whole.removeFirst(4) }
        return socket.enqueue([whole], text: isText, limit: WatchStream.limit)
    }

    private func end() {
        let callback = state.withLock { state in
            state.isEnded = true
            return state.onEnd
        }
        callback?()
    }

    // MARK: - WatchSink

    func deliver(_ batch: WatchBatch) {
        if let arrived {
            if case .dropped = arrived.yield(batch) { fail(.expired("too old resource version: events were lost")) }
        } else {
            for event in batch.events { deliver(event) }
        }
        let count = batch.events.count
        let subscription = state.withLock { state -> WatchSubscription? in
            if state.subscription == nil { state.early += count }
            return state.subscription
        }
        // The exchange bounds what waits in bytes; the hub's own bound has nothing to count here.
        subscription?.consumed(count)
    }

    func ended(_ reason: WatchEnd) {
        if reason == .overflowed { fail(.expired("too old resource version: events were lost")) }
        end()
    }

    private func deliver(_ event: WatchEvent) {
        guard event.revision > floor else { return }
        if selection.isEverything {
            send(event.kind == .create ? "ADDED" : event.kind == .put ? "MODIFIED" : "DELETED", event.record)
            return
        }
        let seen: ((Record) -> Node?)? = selection.needsConversion ? { [rendering] in try? rendering.served($0) } : nil
        let before = event.previous.map { selection.matches($0, seen) } ?? false
        let now = !event.record.isDeletion && selection.matches(event.record, seen)
        switch (before, now) {
        case (false, true): send("ADDED", event.record)
        case (true, true): send("MODIFIED", event.record)
        case (true, false): if event.record.isDeletion { send("DELETED", event.record) } else { sendLeft(event) }
        case (false, false): break
        }
    }

    /// The object lives on but no longer matches: its last matching state, with the revision at which it left.
    private func sendLeft(_ event: WatchEvent) {
        do {
            guard let previous = event.previous else { return }
            var node = try rendering.served(previous)
            node["metadata"]["resourceVersion"] = .string(String(event.revision))
            push(try rendering.frame("DELETED", rendering.shape(node)))
        } catch { fail(error) }
    }

    // MARK: - Frames

    func send(_ type: String, _ record: Record) {
        if let (head, tail) = rendering.storedFrame(type, record) {
            if let socket = state.withLock({ $0.socket }) {
                if !message([head, record.body, tail], over: socket) { end() }
            } else if !exchange.enqueue(head, record.body, tail, limit: WatchStream.limit) {
                end()
            }
            return
        }
        do { push(try rendering.frame(type, record)) } catch { fail(error) }
    }

    func sendBookmark(_ revision: Int64, initialEventsEnd: Bool) {
        if let frame = try? rendering.bookmark(revision, initialEventsEnd: initialEventsEnd) { push(frame) }
    }

    func fail(_ error: APIError) {
        if let frame = try? rendering.frame("ERROR", error.status) { push(frame) }
        end()
    }

    private func push(_ frame: [UInt8]) {
        if let socket = state.withLock({ $0.socket }) {
            if !message([frame], over: socket) { end() }
        } else if !exchange.enqueue(frame, limit: WatchStream.limit) {
            end()
        }
    }
}

/// Something that happens once, which one task waits for with a limit.
final class OneShot: Sendable {
    private struct State {
        var fired = false
        var waiter: Task<Void, Never>?
    }
    private let state = Mutex(State())

    func fire() {
        let waiter = state.withLock { state in
            state.fired = true
            return state.waiter
        }
        waiter?.cancel()
    }

    func fired(within limit: Duration) async -> Bool {
        let sleep = Task { _ = try? await Task.sleep(for: limit) }
        let already = state.withLock { state in
            state.waiter = sleep
            return state.fired
        }
        if already { sleep.cancel() }
        await withTaskCancellationHandler {
            await sleep.value
        } onCancel: {
            sleep.cancel()
        }
        return state.withLock { $0.fired }
    }
}

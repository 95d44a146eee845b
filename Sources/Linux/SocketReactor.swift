import CLinux
import Glibc

/// The sockets and timers of a `SocketLoop`, seen from its thread and from nowhere else. Sockets are known by numbers that are never used again.
package final class SocketReactor {
    package typealias Socket = UInt64

    /// What is told of a stream. `received` gives all that came; nil is the end, after which the socket is closed.
    package typealias StreamHandler = (SocketReactor, Socket, [UInt8]?) -> Void
    /// What is told of a datagram socket; nil when it failed (as when a connected one was refused).
    package typealias DatagramHandler = (SocketReactor, Socket, ([UInt8], SocketPeer)?) -> Void

    private enum Kind {
        case datagram(DatagramHandler)
        case listener((SocketReactor, Socket) -> StreamHandler?)
        case stream(StreamHandler)
    }

    private struct Entry {
        var descriptor: Int32
        var kind: Kind
        var unsent: [UInt8] = []
        var isConnecting = false
        /// A listener that could not accept.
        var isResting = false
    }

    private struct Timer {
        var deadline: UInt64
        var id: UInt64
    }

    /// What the handlers share; the loop keeps it and nothing else.
    package var context: AnyObject?

    private let poll: Int32
    private var entries: [Socket: Entry] = [:]
    private var nextID: Socket = 1
    private var timers: [Timer] = []
    private var timerBodies: [UInt64: (SocketReactor) -> Void] = [:]
    private var scratch = [UInt8](repeating: 0, count: 1 << 16)
    private var readyIDs = [UInt64](repeating: 0, count: 128)
    private var readyBits = [UInt32](repeating: 0, count: 128)
    private static let unsentLimit = 1 << 18

    init(poll: Int32, wakeup: Int32) {
        self.poll = poll
        // Edge triggered, so that nobody needs to empty it; its number is no socket's.
        jangada_poll_watch(poll, wakeup, 0, 0, 1, 0)
    }

    private func add(_ entry: Entry, writing: Bool = false) -> Socket {
        let id = nextID
        nextID += 1
        entries[id] = entry
        jangada_poll_watch(poll, entry.descriptor, id, writing ? 1 : 0, 0, 0)
        return id
    }

    // MARK: - For handlers

    /// Nil where the socket went elsewhere already.
    @discardableResult
    package func addDatagram(_ socket: ServerSocket, _ handler: @escaping DatagramHandler) -> Socket? {
        let descriptor = socket.take()
        return descriptor >= 0 ? add(Entry(descriptor: descriptor, kind: .datagram(handler))) : nil
    }

    /// `accept` gives the handler of a new connection, or nil to close it at once.
    @discardableResult
    package func addListener(_ socket: ServerSocket, _ accept: @escaping (SocketReactor, Socket) -> StreamHandler?) -> Socket? {
        let descriptor = socket.take()
        return descriptor >= 0 ? add(Entry(descriptor: descriptor, kind: .listener(accept))) : nil
    }

    /// A datagram socket with a port of its own that hears this peer alone.
    package func connectDatagram(_ peer: SocketPeer, _ handler: @escaping DatagramHandler) -> Socket? {
        connect(.datagram, peer).map { add(Entry(descriptor: $0, kind: .datagram(handler))) }
    }

    package func connectStream(_ peer: SocketPeer, _ handler: @escaping StreamHandler) -> Socket? {
        connect(.stream, peer).map { add(Entry(descriptor: $0, kind: .stream(handler), isConnecting: true), writing: true) }
    }

    private func connect(_ kind: ServerSocket.Kind, _ peer: SocketPeer) -> Int32? {
        let descriptor = SocketAddress.socket(kind, ipv6: peer.address.isIPv6)
        guard descriptor >= 0 else { return nil }
        let code = SocketAddress.with(peer) { Glibc.connect(descriptor, $0, $1) }
        guard code == 0 || errno == EINPROGRESS else {
            Glibc.close(descriptor)
            return nil
        }
        return descriptor
    }

    /// Best effort, as datagrams are. A nil peer is the one that the socket is connected to.
    package func send(_ bytes: [UInt8], to peer: SocketPeer?, by id: Socket) {
        guard let descriptor = entries[id]?.descriptor else { return }
        if let peer {
            _ = SocketAddress.with(peer) { sendto(descriptor, bytes, bytes.count, 0, $0, $1) }
        } else {
            _ = Glibc.send(descriptor, bytes, bytes.count, 0)
        }
    }

    /// Writes to a stream; one whose reader stopped reading is closed at 256 KiB unsent.
    package func write(_ bytes: [UInt8], to id: Socket) {
        guard entries[id] != nil else { return }
        entries[id]?.unsent += bytes
        flush(id)
    }

    package func close(_ id: Socket) {
        guard let entry = entries.removeValue(forKey: id) else { return }
        Glibc.close(entry.descriptor)
    }

    @discardableResult
    package func after(milliseconds: UInt64, _ body: @escaping (SocketReactor) -> Void) -> UInt64 {
        let id = nextID
        nextID += 1
        let timer = Timer(deadline: SocketReactor.now() + milliseconds, id: id)
        let index = timers.firstIndex { $0.deadline < timer.deadline } ?? timers.endIndex
        timers.insert(timer, at: index)
        timerBodies[id] = body
        return id
    }

    package func cancel(_ timer: UInt64) {
        guard timerBodies.removeValue(forKey: timer) != nil else { return }
        if let index = timers.firstIndex(where: { $0.id == timer }) { timers.remove(at: index) }
    }

    /// Milliseconds of a clock that never goes back.
    package static func now() -> UInt64 {
        var value = timespec()
        clock_gettime(CLOCK_MONOTONIC, &value)
        return UInt64(value.tv_sec) * 1000 + UInt64(value.tv_nsec) / 1_000_000
    }

    // MARK: - The loop

    /// Waits for something to happen and tells it.
    func turn() {
        var wait: Int32 = -1
        if let next = timers.last?.deadline {
            let now = SocketReactor.now()
            wait = next <= now ? 0 : Int32(clamping: next - now)
        }
        let count = jangada_poll_wait(poll, &readyIDs, &readyBits, Int32(readyIDs.count), wait)
        for index in 0..<max(0, Int(count)) { tell(readyIDs[index], readyBits[index]) }
        let now = SocketReactor.now()
        while let timer = timers.last, timer.deadline <= now {
            timers.removeLast()
            timerBodies.removeValue(forKey: timer.id)?(self)
        }
    }

    private func tell(_ id: Socket, _ bits: UInt32) {
        guard let entry = entries[id] else { return }
        switch entry.kind {
        case .datagram(let handler): receive(id, entry.descriptor, handler)
        case .listener(let accept): self.accept(id, entry.descriptor, accept)
        case .stream(let handler):
            if bits & 2 != 0 {
                entries[id]?.isConnecting = false
                flush(id)
            }
            if bits & 1 != 0, entries[id] != nil { read(id, entry.descriptor, handler) }
        }
    }

    private func receive(_ id: Socket, _ descriptor: Int32, _ handler: DatagramHandler) {
        // A bounded number at a time, so that one busy socket does not silence the others.
        for _ in 0..<64 where entries[id] != nil {
            var storage = sockaddr_storage()
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = withUnsafeMutablePointer(to: &storage) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { recvfrom(descriptor, &scratch, scratch.count, 0, $0, &length) }
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno != EAGAIN { handler(self, id, nil) }
                return
            }
            guard let peer = SocketAddress.read(storage) else { continue }
            handler(self, id, ([UInt8](scratch[..<count]), peer))
        }
    }

    private func accept(_ id: Socket, _ descriptor: Int32, _ accept: (SocketReactor, Socket) -> StreamHandler?) {
        for _ in 0..<64 {
            let stream = jangada_accept(descriptor)
            guard stream >= 0 else {
                if errno != EAGAIN { rest(id, descriptor) }
                return
            }
            let placeholder: StreamHandler = { _, _, _ in }
            let new = add(Entry(descriptor: stream, kind: .stream(placeholder)))
            if let handler = accept(self, new) { entries[new]?.kind = .stream(handler) } else { close(new) }
        }
    }

    /// No descriptor or no memory is left: who waits stays in the kernel's queue, and asking again at once would only burn the processor.
    private func rest(_ id: Socket, _ descriptor: Int32) {
        guard entries[id]?.isResting == false else { return }
        entries[id]?.isResting = true
        // Told once more by the change itself, and then of new arrivals only.
        jangada_poll_watch(poll, descriptor, id, 0, 1, 1)
        after(milliseconds: 100) { reactor in
            guard reactor.entries[id] != nil else { return }
            reactor.entries[id]?.isResting = false
            jangada_poll_watch(reactor.poll, descriptor, id, 0, 0, 1)
        }
    }

    private func read(_ id: Socket, _ descriptor: Int32, _ handler: StreamHandler) {
        let count = recv(descriptor, &scratch, scratch.count, 0)
        if count < 0, errno == EINTR || errno == EAGAIN { return }
        if count > 0 { return handler(self, id, [UInt8](scratch[..<count])) }
        handler(self, id, nil)
        close(id)
    }

    private func flush(_ id: Socket) {
        guard var entry = entries[id], !entry.isConnecting else { return }
        var sent = 0
        while sent < entry.unsent.count {
            let count = entry.unsent.withUnsafeBytes {
                Glibc.send(entry.descriptor, $0.baseAddress?.advanced(by: sent), $0.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count < 0, errno == EINTR { continue }
            if count < 0, errno != EAGAIN { break }
            if count < 0 { break }
            sent += count
        }
        entry.unsent.removeFirst(sent)
        if entry.unsent.count > SocketReactor.unsentLimit { return close(id) }
        entries[id] = entry
        jangada_poll_watch(poll, entry.descriptor, id, entry.unsent.isEmpty ? 0 : 1, 0, 1)
    }

    func closeAll() {
        for entry in entries.values { Glibc.close(entry.descriptor) }
        entries = [:]
        timers = []
        timerBodies = [:]
        context = nil
    }
}

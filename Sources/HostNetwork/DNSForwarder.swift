import Core
package import Linux

/// The machine's resolvers, as /etc/resolv.conf names them now.
package struct ResolverFile: Sendable {
    private let path: String
    private let excluded: [IPAddress]

    package init(path: String = "/etc/resolv.conf", excluding excluded: [IPAddress] = []) {
        self.path = path
        self.excluded = excluded
    }

    /// At most three, as the C library takes; on port 53, or the one written behind a `#` (for tests and unusual machines).
    package func resolvers() -> [SocketPeer] {
        let text: String
        do throws(SystemFailure) { text = try SmallFile.read(path) ?? "" } catch { return [] }
        var peers: [SocketPeer] = []
        for line in text.split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            guard words.count >= 2, words[0] == "nameserver" else { continue }
            let parts = words[1].split(separator: "#")
            guard let address = IPAddress(String(parts[0].prefix { $0 != "%" })), !excluded.contains(address) else { continue }
            peers.append(SocketPeer(address, parts.count == 2 ? UInt16(parts[1]) ?? 53 : 53))
        }
        return Array(peers.prefix(3))
    }
}

/// Asks the machine's resolvers. The first is asked first; the next joins when it refuses or is silent for a second.
/// Each question goes from a port of its own under a random id, so that nobody off the path can answer it.
final class DNSForwarder {
    private final class Attempt {
        let query: DNSQuery
        let message: [UInt8]
        let id: UInt16
        let byStream: Bool
        var servers: [SocketPeer]
        var sockets: [SocketReactor.Socket] = []
        var timer: UInt64?
        var worst: [UInt8]?
        var open = 0
        var done: ((SocketReactor, [UInt8]?) -> Void)?

        init(_ query: DNSQuery, _ message: [UInt8], _ id: UInt16, _ byStream: Bool, _ servers: [SocketPeer]) {
            self.query = query
            self.message = message
            self.id = id
            self.byStream = byStream
            self.servers = servers
        }
    }

    private let file: ResolverFile
    private var known: [SocketPeer] = []
    private var readAt: UInt64?
    private var cache = DNSCache()
    private var pending = 0
    private static let pendingLimit = 1024

    init(_ file: ResolverFile) { self.file = file }

    /// `done` gets the resolver's message under the query's own id, or nil where none answered.
    func ask(
        _ reactor: SocketReactor, _ query: DNSQuery, _ message: [UInt8], byStream: Bool, _ done: @escaping (SocketReactor, [UInt8]?) -> Void
    ) {
        let now = SocketReactor.now()
        if let cached = cache.answer(query, now: now) { return done(reactor, cached) }
        if readAt.map({ now - $0 > 5000 }) ?? true {
            known = file.resolvers()
            readAt = now
        }
        guard !known.isEmpty, pending < DNSForwarder.pendingLimit else { return done(reactor, nil) }
        let random = Identifier.randomBytes(2)
        var own = message
        own[0] = random[0]
        own[1] = random[1]
        // Each resolver twice, five questions at most.
        let servers = Array((known + known).prefix(5))
        let attempt = Attempt(query, own, UInt16(random[0]) << 8 | UInt16(random[1]), byStream, servers)
        attempt.done = done
        pending += 1
        next(reactor, attempt)
    }

    private func next(_ reactor: SocketReactor, _ attempt: Attempt) {
        if let timer = attempt.timer { reactor.cancel(timer) }
        attempt.timer = nil
        guard attempt.done != nil else { return }
        guard !attempt.servers.isEmpty else {
            if attempt.open == 0 { return finish(reactor, attempt, attempt.worst) }
            attempt.timer = reactor.after(milliseconds: 2000) { [weak self] reactor in self?.finish(reactor, attempt, attempt.worst) }
            return
        }
        let server = attempt.servers.removeFirst()
        if attempt.byStream { askByStream(reactor, attempt, server) } else { askByDatagram(reactor, attempt, server) }
        guard attempt.done != nil else { return }
        attempt.timer = reactor.after(milliseconds: 1000) { [weak self] reactor in
            attempt.timer = nil
            self?.next(reactor, attempt)
        }
    }

    private func askByDatagram(_ reactor: SocketReactor, _ attempt: Attempt, _ server: SocketPeer) {
        let socket = reactor.connectDatagram(server) { [weak self] reactor, socket, packet in
            guard let self else { return }
            guard let (bytes, _) = packet else { return refused(reactor, attempt, socket) }
            take(reactor, attempt, socket, bytes)
        }
        guard let socket else { return }
        attempt.sockets.append(socket)
        attempt.open += 1
        reactor.send(attempt.message, to: nil, by: socket)
    }

    private func askByStream(_ reactor: SocketReactor, _ attempt: Attempt, _ server: SocketPeer) {
        var frames = DNSFrames()
        let socket = reactor.connectStream(server) { [weak self] reactor, socket, bytes in
            guard let self else { return }
            guard let bytes else { return refused(reactor, attempt, socket) }
            for message in frames.add(bytes) { take(reactor, attempt, socket, message) }
        }
        guard let socket else { return }
        attempt.sockets.append(socket)
        attempt.open += 1
        reactor.write(DNSFrames.frame(attempt.message), to: socket)
    }

    private func refused(_ reactor: SocketReactor, _ attempt: Attempt, _ socket: SocketReactor.Socket) {
        guard let index = attempt.sockets.firstIndex(of: socket) else { return }
        attempt.sockets.remove(at: index)
        attempt.open -= 1
        reactor.close(socket)
        next(reactor, attempt)
    }

    private func take(_ reactor: SocketReactor, _ attempt: Attempt, _ socket: SocketReactor.Socket, _ bytes: [UInt8]) {
        let question = 12..<(12 + attempt.query.wireName.count + 4)
        // Not the answer to this question: whoever sent it, go on listening.
        guard attempt.done != nil, bytes.count >= question.upperBound, bytes[2] & 0x80 != 0,
            UInt16(bytes[0]) << 8 | UInt16(bytes[1]) == attempt.id,
            bytes[question].elementsEqual(attempt.message[question], by: { DNSName.lower($0) == DNSName.lower($1) })
        else { return }
        let code = bytes[3] & 15
        if code == 2 || code == 4 || code == 5 {
            attempt.worst = bytes
            return refused(reactor, attempt, socket)
        }
        finish(reactor, attempt, bytes)
    }

    private func finish(_ reactor: SocketReactor, _ attempt: Attempt, _ bytes: [UInt8]?) {
        guard let done = attempt.done else { return }
        attempt.done = nil
        pending -= 1
        if let timer = attempt.timer { reactor.cancel(timer) }
        for socket in attempt.sockets { reactor.close(socket) }
        guard var message = bytes else { return done(reactor, nil) }
        message[0] = UInt8(attempt.query.id >> 8)
        message[1] = UInt8(attempt.query.id & 255)
        cache.store(message, for: attempt.query, now: SocketReactor.now())
        done(reactor, message)
    }
}

/// Messages over a stream: each behind its length in two bytes.
struct DNSFrames {
    private var buffer: [UInt8] = []

    /// The messages that are whole now.
    mutating func add(_ bytes: [UInt8]) -> [[UInt8]] {
        buffer += bytes
        var messages: [[UInt8]] = []
        var at = 0
        while at + 2 <= buffer.count {
            let length = Int(buffer[at]) << 8 | Int(buffer[at + 1])
            guard at + 2 + length <= buffer.count else { break }
            messages.append(Array(buffer[(at + 2)..<(at + 2 + length)]))
            at += 2 + length
        }
        buffer.removeFirst(at)
        return messages
    }

    static func frame(_ message: [UInt8]) -> [UInt8] {
        [UInt8(message.count >> 8 & 255), UInt8(message.count & 255)] + message
    }
}

package import Core
package import Linux
import Synchronization

/// The cluster's DNS: one thread that answers on the cluster DNS address in every namespace it was given, UDP and TCP,
/// from a table that is changed in place. What is not the cluster's goes to the machine's resolvers.
package final class DNSServer: Sendable {
    private final class Table: Sendable {
        let value: Mutex<DNSTable>
        init(_ table: DNSTable) { value = Mutex(table) }
    }

    private let table: Table
    private let address: SocketPeer
    private let loop: SocketLoop

    /// Questions for the machine's resolvers leave from `host`.
    package init(_ plan: NetworkPlan, host: NetworkNamespace, resolvers: ResolverFile? = nil) throws(SystemFailure) {
        let table = Table(DNSTable(zone: plan.domain, server: plan.dnsAddress, reverseRanges: [plan.serviceRange, plan.podRange]))
        self.table = table
        address = SocketPeer(plan.dnsAddress, 53)
        loop = try SocketLoop(in: host)
        let file = resolvers ?? ResolverFile(excluding: [plan.dnsAddress])
        loop.run { reactor in
            reactor.context = Answerer(file) { query in table.value.withLock { $0.decide(query) } }
        }
    }

    /// Changes the table; the next question sees it.
    package func update(_ body: (inout DNSTable) -> Void) { table.value.withLock { body(&$0) } }

    /// Answers in this namespace too. The name is for `remove`.
    package func add(_ name: String, _ namespace: NetworkNamespace) throws(SystemFailure) {
        let datagram = try ServerSocket(.datagram, at: address, in: namespace)
        let stream = try ServerSocket(.stream, at: address, in: namespace)
        loop.run { reactor in
            (reactor.context as? Answerer)?.add(reactor, name, datagram, stream)
        }
    }

    /// Ends the sockets in a namespace, so that it can go.
    package func remove(_ name: String) {
        loop.run { reactor in (reactor.context as? Answerer)?.remove(reactor, name) }
    }

    package func stop() { loop.stop() }
}

/// What the DNS thread holds.
private final class Answerer {
    private let forwarder: DNSForwarder
    private let decide: (DNSQuery) -> DNSDecision
    private var sockets: [String: [SocketReactor.Socket]] = [:]
    private var streams = 0
    private static let streamLimit = 512

    init(_ file: ResolverFile, _ decide: @escaping (DNSQuery) -> DNSDecision) {
        forwarder = DNSForwarder(file)
        self.decide = decide
    }

    func add(_ reactor: SocketReactor, _ name: String, _ datagram: ServerSocket, _ stream: ServerSocket) {
        remove(reactor, name)
        let first = reactor.addDatagram(datagram) { [weak self] reactor, socket, packet in
            guard let self, let (bytes, peer) = packet else { return }
            answer(reactor, bytes, limit: nil) { reactor, reply in reactor.send(reply, to: peer, by: socket) }
        }
        let second = reactor.addListener(stream) { [weak self] reactor, socket in self?.accept(reactor, socket) }
        sockets[name] = [first, second].compactMap { $0 }
    }

    func remove(_ reactor: SocketReactor, _ name: String) {
        for socket in sockets.removeValue(forKey: name) ?? [] { reactor.close(socket) }
    }

    private func accept(_ reactor: SocketReactor, _ socket: SocketReactor.Socket) -> SocketReactor.StreamHandler? {
        guard streams < Answerer.streamLimit else { return nil }
        streams += 1
        var frames = DNSFrames()
        // A connection lives ten seconds past its last question.
        func expire(_ reactor: SocketReactor) -> UInt64 {
            reactor.after(milliseconds: 10_000) { [weak self] reactor in
                self?.streams -= 1
                reactor.close(socket)
            }
        }
        var timer = expire(reactor)
        return { [weak self] reactor, socket, bytes in
            reactor.cancel(timer)
            guard let self else { return }
            guard let bytes else {
                streams -= 1
                return
            }
            timer = expire(reactor)
            for message in frames.add(bytes) {
                answer(reactor, message, limit: 65_535) { reactor, reply in reactor.write(DNSFrames.frame(reply), to: socket) }
            }
        }
    }

    /// `limit` is nil for a datagram, whose asker says how much it takes.
    private func answer(_ reactor: SocketReactor, _ bytes: [UInt8], limit: Int?, _ reply: @escaping (SocketReactor, [UInt8]) -> Void) {
        let query: DNSQuery
        do throws(DNSQuery.Problem) {
            query = try DNSQuery(parsing: bytes)
        } catch {
            if case .malformed(let id) = error {
                reply(reactor, [UInt8(id >> 8), UInt8(id & 255), 0x80 | bytes[2] & 0x79, 0x81, 0, 0, 0, 0, 0, 0, 0, 0])
            }
            return
        }
        let size = limit ?? query.datagramLimit
        switch decide(query) {
        case .answer(let answer): reply(reactor, answer.encoded(for: query, limit: size))
        case .forward:
            forwarder.ask(reactor, query, bytes, byStream: limit != nil) { reactor, message in
                guard let message else {
                    return reply(reactor, DNSAnswer(code: .serverFailure, isAuthoritative: false).encoded(for: query, limit: size))
                }
                if message.count <= size { return reply(reactor, message) }
                reply(reactor, Answerer.truncated(message, query))
            }
        case .chase(let alias, let target):
            chase(reactor, query, alias, target, byStream: limit != nil) { reactor, answer in
                reply(reactor, answer.encoded(for: query, limit: size))
            }
        }
    }

    private static func truncated(_ message: [UInt8], _ query: DNSQuery) -> [UInt8] {
        var short = Array(message[..<(12 + query.wireName.count + 4)])
        short[2] |= 0x02
        short.replaceSubrange(6..<12, with: [0, 0, 0, 0, 0, 0])
        return short
    }

    private func chase(
        _ reactor: SocketReactor, _ query: DNSQuery, _ alias: DNSRecord, _ target: [UInt8], byStream: Bool,
        _ done: @escaping (SocketReactor, DNSAnswer) -> Void
    ) {
        var writer = DNSWriter()
        for value: UInt16 in [0, 0x0100, 1, 0, 0, 0] { writer.put(value) }
        writer.put(name: target)
        writer.put(query.type)
        writer.put(UInt16(1))
        guard let inner = try? DNSQuery(parsing: writer.bytes) else { return done(reactor, DNSAnswer(code: .serverFailure)) }
        forwarder.ask(reactor, inner, writer.bytes, byStream: byStream) { reactor, message in
            // The alias is true whatever becomes of its target.
            var answer = DNSAnswer(answers: [alias])
            if let message { answer.answers += Answerer.records(message, type: query.type) }
            done(reactor, answer)
        }
    }

    /// The answer section's aliases and records of the type asked for, uncompressed.
    private static func records(_ message: [UInt8], type: UInt16) -> [DNSRecord] {
        let count = Int(message[6]) << 8 | Int(message[7])
        return DNSCache.records(message).prefix(count).compactMap { record in
            if record.type == DNSType.cname {
                var reader = DNSReader(message)
                reader.offset = record.dataOffset
                return reader.name().map { DNSRecord(name: record.name, ttl: record.ttl, data: .name(DNSType.cname, $0)) }
            }
            guard record.type == type, type == DNSType.a || type == DNSType.aaaa else { return nil }
            return DNSRecord(name: record.name, ttl: record.ttl, data: .address(Array(record.data)))
        }
    }
}

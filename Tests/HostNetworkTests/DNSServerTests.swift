import Core
import Glibc
import Linux
import Testing

@testable import HostNetwork

/// Sends a question and gives the answer, or nil after two seconds.
private func resolve(
    _ transport: TransportProtocol, _ name: String, _ type: UInt16, from namespace: NetworkNamespace, edns: UInt16? = nil,
    server: IPAddress = IPAddress(10, 96, 0, 10)
) throws -> DNSReply? {
    let asker = try Asker(transport, from: namespace)
    guard asker.connect(server, 53) == nil else { return nil }
    let question = dnsQuestion(name, type, edns: edns)
    let sent = transport == .tcp ? DNSFrames.frame(question) : question
    guard send(asker.descriptor, sent, sent.count, Int32(MSG_NOSIGNAL)) == sent.count else { return nil }
    var frames = DNSFrames()
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = recv(asker.descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return nil }
        let bytes = Array(buffer[..<count])
        if transport == .udp { return try DNSReply(bytes) }
        if let message = frames.add(bytes).first { return try DNSReply(message) }
    }
}

/// A resolver of the machine: answers A questions with 192.0.2.7 behind an alias, and counts them. `code` makes it fail instead.
private func resolver(_ loop: SocketLoop, _ namespace: NetworkNamespace, _ address: IPAddress, code: UInt8 = 0, silent: Bool = false) throws
{
    @Sendable func reply(_ bytes: [UInt8]) -> [UInt8]? {
        guard !silent, let query = try? DNSQuery(parsing: bytes) else { return nil }
        var answer = DNSAnswer(code: DNSCode(rawValue: UInt16(code)) ?? .ok, isAuthoritative: false)
        if code == 0, query.labels.first != "absent" {
            let alias = DNSName.wire(["alias", "example", "com"]) ?? [0]
            answer.answers = [
                DNSRecord(name: query.wireName, ttl: 60, data: .name(DNSType.cname, alias)),
                DNSRecord(name: alias, ttl: 60, data: .address([192, 0, 2, 7])),
            ]
            if query.labels.first == "many" {
                answer.answers += (0..<100).map { DNSRecord(name: alias, ttl: 60, data: .address([192, 0, 3, $0])) }
            }
        } else if code == 0 {
            answer.code = .noName
        }
        return answer.encoded(for: query, limit: 65535)
    }
    let datagram = try ServerSocket(.datagram, at: SocketPeer(address, 5300), in: namespace)
    let stream = try ServerSocket(.stream, at: SocketPeer(address, 5300), in: namespace)
    loop.run { reactor in
        reactor.addDatagram(datagram) { reactor, socket, packet in
            guard let (bytes, peer) = packet, let answer = reply(bytes) else { return }
            // As a real one does: what does not fit comes truncated.
            if answer.count > 1232, let query = try? DNSQuery(parsing: bytes) {
                var short = Array(answer[..<(16 + query.wireName.count)])
                short[2] |= 2
                short.replaceSubrange(6..<12, with: [0, 0, 0, 0, 0, 0])
                return reactor.send(short, to: peer, by: socket)
            }
            reactor.send(answer, to: peer, by: socket)
        }
        reactor.addListener(stream) { _, _ in
            var frames = DNSFrames()
            return { reactor, socket, bytes in
                for message in frames.add(bytes ?? []) {
                    if let answer = reply(message) { reactor.write(DNSFrames.frame(answer), to: socket) }
                }
            }
        }
    }
}

private func withDNS(resolvers: [IPAddress] = [], _ body: (TestCluster, DNSServer, TestPod) throws -> Void) throws {
    try TestCluster.with(nodes: 1) { cluster in
        let directory = NamespaceDirectory(cluster.plan.directory)
        try directory.write(resolvers.map { "nameserver \($0)#5300\n" }.joined(), to: "resolv.conf")
        let server = try DNSServer(cluster.plan, host: cluster.host, resolvers: ResolverFile(path: directory.file("resolv.conf")))
        defer { server.stop() }
        try server.add("node-0", cluster.nodes[0].namespace)
        try server.add("host", cluster.host)
        let table = sampleTable()
        server.update { $0 = table }
        try body(cluster, server, try cluster.pod("a", on: 0))
    }
}

@Suite(.enabled(if: isRoot, needsRoot))
struct DNSServerTests {
    @Test(arguments: [TransportProtocol.tcp, .udp])
    func podsNodesAndTheMachineAskTheClusterAddress(_ transport: TransportProtocol) throws {
        try withDNS { cluster, server, pod in
            for space in [pod.namespace, cluster.nodes[0].namespace, cluster.host] {
                let reply = try resolve(transport, "web.default.svc.cluster.local", DNSType.a, from: space)
                #expect(reply?.answers == ["web.default.svc.cluster.local 10.96.0.50"])
            }
            server.update { $0.remove(namespace: "default", name: "web") }
            #expect(try resolve(transport, "web.default.svc.cluster.local", DNSType.a, from: pod.namespace)?.code == 3)
            #expect(try resolve(transport, "example.com", DNSType.a, from: pod.namespace)?.code == 2, "no resolver is known")
        }
    }

    @Test func truncatedAnswerIsWholeOverTCP() throws {
        try withDNS { (_: TestCluster, server: DNSServer, pod: TestPod) throws in
            let big = bigService()
            server.update { $0.set(big) }
            #expect(try resolve(.udp, "big.default.svc.cluster.local", DNSType.a, from: pod.namespace)?.isTruncated == true)
            #expect(try resolve(.tcp, "big.default.svc.cluster.local", DNSType.a, from: pod.namespace)?.answers.count == 200)
        }
    }

    @Test func otherNamesGoToTheResolversPastThoseThatFail() throws {
        let addresses = [IPAddress(127, 0, 0, 2), IPAddress(127, 0, 0, 3), IPAddress(127, 0, 0, 4)]
        try withDNS(resolvers: addresses) { cluster, _, pod in
            let loop = try SocketLoop(in: cluster.host)
            defer { loop.stop() }
            // The first has no socket at all, the second fails, the third answers.
            try resolver(loop, cluster.host, addresses[1], code: 2)
            try resolver(loop, cluster.host, addresses[2])
            for transport in [TransportProtocol.udp, .tcp] {
                let reply = try resolve(transport, "www.example.com", DNSType.a, from: pod.namespace)
                #expect(reply?.answers == ["www.example.com CNAME alias.example.com", "alias.example.com 192.0.2.7"])
            }
            #expect(try resolve(.udp, "absent.example.com", DNSType.a, from: pod.namespace)?.code == 3)
            #expect(try resolve(.udp, "many.example.com", DNSType.a, from: pod.namespace)?.isTruncated == true)
            #expect(try resolve(.tcp, "many.example.com", DNSType.a, from: pod.namespace)?.answers.count == 102)
        }
    }

    @Test func silentResolverIsPassedAfterASecondAndThenTheCacheAnswers() throws {
        let addresses = [IPAddress(127, 0, 0, 2), IPAddress(127, 0, 0, 3)]
        try withDNS(resolvers: addresses) { cluster, _, pod in
            let loop = try SocketLoop(in: cluster.host)
            defer { loop.stop() }
            try resolver(loop, cluster.host, addresses[0], silent: true)
            try resolver(loop, cluster.host, addresses[1])
            let started = ContinuousClock.now
            #expect(try resolve(.udp, "www.example.com", DNSType.a, from: pod.namespace)?.answers.count == 2)
            let first = ContinuousClock.now - started
            #expect(first > .milliseconds(900))
            // From the cache: nobody is left to ask.
            loop.stop()
            #expect(try resolve(.udp, "WWW.example.com", DNSType.a, from: pod.namespace)?.answers.count == 2)
        }
    }

    @Test func externalNameIsFollowedOutside() throws {
        let address = IPAddress(127, 0, 0, 2)
        try withDNS(resolvers: [address]) { cluster, _, pod in
            let loop = try SocketLoop(in: cluster.host)
            defer { loop.stop() }
            try resolver(loop, cluster.host, address)
            let reply = try resolve(.udp, "outside.default.svc.cluster.local", DNSType.a, from: pod.namespace)
            #expect(
                reply?.answers == [
                    "outside.default.svc.cluster.local CNAME www.example.com", "www.example.com CNAME alias.example.com",
                    "alias.example.com 192.0.2.7",
                ])
        }
    }

    @Test func resolverFileTakesTheFirstThreeAndNotItself() throws {
        let directory = NamespaceDirectory("/tmp/jangada-dns-\(Identifier.suffix(8))")
        try directory.create()
        defer {
            try? directory.remove("resolv.conf")
            directory.removeIfEmpty()
        }
        try directory.write(
            "# a\nsearch x\nnameserver 10.96.0.10\nnameserver\t192.0.2.1\nnameserver fe80::1%eth0\nnameserver 192.0.2.2 \nnameserver 192.0.2.3\n",
            to: "resolv.conf")
        let file = ResolverFile(path: directory.file("resolv.conf"), excluding: [IPAddress(10, 96, 0, 10)])
        #expect(file.resolvers().map(\.address.description) == ["192.0.2.1", "fe80::1", "192.0.2.2"])
        #expect(ResolverFile(path: "/nonexistent").resolvers().isEmpty)
    }
}

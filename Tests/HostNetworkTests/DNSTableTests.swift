import Linux
import Testing

@testable import HostNetwork

/// A question as a client writes it.
func dnsQuestion(_ name: String, _ type: UInt16, id: UInt16 = 0x1234, edns: UInt16? = nil, recursion: Bool = true) -> [UInt8] {
    var bytes: [UInt8] = [UInt8(id >> 8), UInt8(id & 255), recursion ? 1 : 0, 0, 0, 1, 0, 0, 0, 0, 0, edns == nil ? 0 : 1]
    for label in name.split(separator: ".") { bytes += [UInt8(label.utf8.count)] + Array(label.utf8) }
    bytes += [0, UInt8(type >> 8), UInt8(type & 255), 0, 1]
    if let edns { bytes += [0, 0, 41, UInt8(edns >> 8), UInt8(edns & 255), 0, 0, 0, 0, 0, 0] }
    return bytes
}

/// A message in a form that tests can name: "CODE", then the records of each section, sorted.
struct DNSReply: Equatable {
    var code: UInt8
    var isTruncated: Bool
    var isAuthoritative: Bool
    var answers: [String] = []
    var authorities: [String] = []
    var additional: [String] = []

    init(_ bytes: [UInt8]) throws {
        try #require(bytes.count >= 12 && bytes[2] & 0x80 != 0)
        code = bytes[3] & 15
        isTruncated = bytes[2] & 2 != 0
        isAuthoritative = bytes[2] & 4 != 0
        let counts = [6, 8, 10].map { Int(bytes[$0]) << 8 | Int(bytes[$0 + 1]) }
        let records = DNSCache.records(bytes)
        try #require(records.count == counts.reduce(0, +))
        let texts = records.map { DNSReply.text($0, bytes) }
        answers = Array(texts[..<counts[0]])
        authorities = Array(texts[counts[0]..<(counts[0] + counts[1])])
        additional = Array(texts[(counts[0] + counts[1])...])
    }

    private static func text(_ record: DNSReader.Record, _ bytes: [UInt8]) -> String {
        func name(_ offset: Int) -> String {
            var reader = DNSReader(bytes)
            reader.offset = offset
            return (reader.name().map(DNSName.labels) ?? ["?"]).joined(separator: ".")
        }
        let owner = DNSName.labels(record.name).joined(separator: ".")
        switch record.type {
        case DNSType.a, DNSType.aaaa: return "\(owner) \(IPAddress(bytes: record.data)?.description ?? "?")"
        case DNSType.cname: return "\(owner) CNAME \(name(record.dataOffset))"
        case DNSType.ptr: return "\(owner) PTR \(name(record.dataOffset))"
        case DNSType.ns: return "\(owner) NS \(name(record.dataOffset))"
        case DNSType.soa: return "\(owner) SOA"
        case DNSType.txt: return "\(owner) TXT \(String(decoding: record.data.dropFirst(), as: UTF8.self))"
        case DNSType.srv:
            let data = Array(record.data)
            let port = Int(data[4]) << 8 | Int(data[5])
            return "\(owner) SRV \(port) \(name(record.dataOffset + 6))"
        case DNSType.opt: return "OPT"
        default: return "\(owner) TYPE\(record.type)"
        }
    }
}

func sampleTable() -> DNSTable {
    var table = DNSTable(
        zone: "cluster.local", server: IPAddress(10, 96, 0, 10), reverseRanges: [IPPrefix(IPAddress(10, 96, 0, 0), length: 16)])
    let http = DNSService.Port(name: "http", port: 80)
    table.set(
        DNSService(
            namespace: "default", name: "web", .cluster([IPAddress(10, 96, 0, 50), IPAddress(v6High: 0xFD00 << 48, v6Low: 0x50)], [http])))
    table.set(
        DNSService(
            namespace: "default", name: "db",
            .headless([
                .init(IPAddress(10, 244, 0, 5), hostname: "db-0", ports: [.init(name: "sql", port: 5432)]),
                .init(IPAddress(10, 244, 1, 6), ports: [.init(name: "sql", port: 5432)]),
            ])))
    table.set(DNSService(namespace: "default", name: "none", .headless([])))
    table.set(DNSService(namespace: "default", name: "outside", .external("www.example.com")))
    table.set(DNSService(namespace: "default", name: "inside", .external("web.default.svc.cluster.local.")))
    table.set(DNSService(namespace: "default", name: "loop", .external("loop.default.svc.cluster.local")))
    return table
}

/// More endpoints than a datagram can name.
func bigService() -> DNSService {
    let endpoints = (0..<200).map { (index: UInt8) in DNSService.Endpoint(IPAddress(10, 244, 9, index)) }
    return DNSService(namespace: "default", name: "big", .headless(endpoints))
}

private func reply(_ name: String, _ type: UInt16) throws -> DNSReply {
    let query = try DNSQuery(parsing: dnsQuestion(name, type))
    guard case .answer(let answer) = sampleTable().decide(query) else { return try #require(nil) }
    return try DNSReply(answer.encoded(for: query, limit: 65535))
}

@Suite struct DNSTableTests {
    private static let zone = "default.svc.cluster.local"

    @Test(arguments: [
        ("web.\(zone)", DNSType.a, ["web.\(zone) 10.96.0.50"]), ("WeB.Default.SVC.cluster.LOCAL", DNSType.a, ["web.\(zone) 10.96.0.50"]),
        ("web.\(zone)", DNSType.aaaa, ["web.\(zone) fd00::50"]),
        ("_http._tcp.web.\(zone)", DNSType.srv, ["_http._tcp.web.\(zone) SRV 80 web.\(zone)"]),
        ("db.\(zone)", DNSType.a, ["db.\(zone) 10.244.0.5", "db.\(zone) 10.244.1.6"]),
        ("db-0.db.\(zone)", DNSType.a, ["db-0.db.\(zone) 10.244.0.5"]),
        ("10-244-1-6.db.\(zone)", DNSType.a, ["10-244-1-6.db.\(zone) 10.244.1.6"]),
        (
            "_sql._tcp.db.\(zone)", DNSType.srv,
            ["_sql._tcp.db.\(zone) SRV 5432 10-244-1-6.db.\(zone)", "_sql._tcp.db.\(zone) SRV 5432 db-0.db.\(zone)"]
        ),
        ("10-244-0-9.default.pod.cluster.local", DNSType.a, ["10-244-0-9.default.pod.cluster.local 10.244.0.9"]),
        ("fd00--9.default.pod.cluster.local", DNSType.aaaa, ["fd00--9.default.pod.cluster.local fd00::9"]),
        ("50.0.96.10.in-addr.arpa", DNSType.ptr, ["50.0.96.10.in-addr.arpa PTR web.\(zone)"]),
        ("5.0.244.10.in-addr.arpa", DNSType.ptr, ["5.0.244.10.in-addr.arpa PTR db-0.db.\(zone)"]),
        ("dns-version.cluster.local", DNSType.txt, ["dns-version.cluster.local TXT 1.1.0"]),
        ("inside.\(zone)", DNSType.a, ["inside.\(zone) CNAME web.\(zone)", "web.\(zone) 10.96.0.50"]),
        ("outside.\(zone)", DNSType.cname, ["outside.\(zone) CNAME www.example.com"]),
        ("cluster.local", DNSType.soa, ["cluster.local SOA"]), ("cluster.local", DNSType.ns, ["cluster.local NS ns.dns.cluster.local"]),
        ("ns.dns.cluster.local", DNSType.a, ["ns.dns.cluster.local 10.96.0.10"]),
    ])
    func namesOfTheSpecificationAreAnswered(_ name: String, _ type: UInt16, _ expected: [String]) throws {
        let reply = try reply(name, type)
        #expect(reply.code == 0 && reply.isAuthoritative && reply.answers.sorted() == expected && reply.authorities.isEmpty)
    }

    @Test(arguments: [
        ("nothing.\(zone)", DNSType.a, 3), ("web.other.svc.cluster.local", DNSType.a, 3), ("none.\(zone)", DNSType.a, 3),
        ("x.web.\(zone)", DNSType.a, 3),
        ("_other._tcp.web.\(zone)", DNSType.srv, 3), ("_http._udp.web.\(zone)", DNSType.srv, 3), ("other.svc.cluster.local", DNSType.a, 3),
        ("db-1.db.\(zone)", DNSType.a, 3), ("1-2-3.default.pod.cluster.local", DNSType.a, 3), ("web.cluster.local", DNSType.a, 3),
        ("99.0.96.10.in-addr.arpa", DNSType.ptr, 3), ("default.svc.cluster.local.\(zone)", DNSType.a, 3),
        ("db-0.db.\(zone)", DNSType.aaaa, 0), ("web.\(zone)", DNSType.txt, 0), (zone, DNSType.a, 0), ("svc.cluster.local", DNSType.a, 0),
        ("cluster.local", DNSType.a, 0), ("_tcp.web.\(zone)", DNSType.a, 0),
    ])
    func absentNamesAndTypesAreToldApart(_ name: String, _ type: UInt16, _ code: Int) throws {
        let reply = try reply(name, type)
        #expect(Int(reply.code) == code && reply.answers.isEmpty && reply.authorities == ["cluster.local SOA"])
    }

    @Test func aliasOfItselfFailsInsteadOfLooping() throws { #expect(try reply("loop.\(DNSTableTests.zone)", DNSType.a).code == 2) }

    @Test func serviceRecordsBringTheAddressesOfTheirTargets() throws {
        let additional = try reply("_sql._tcp.db.\(DNSTableTests.zone)", DNSType.srv).additional
        #expect(additional.sorted() == ["10-244-1-6.db.\(DNSTableTests.zone) 10.244.1.6", "db-0.db.\(DNSTableTests.zone) 10.244.0.5"])
    }

    @Test(arguments: ["example.com", "local", "notcluster.local", "1.2.0.192.in-addr.arpa", "9.9.0.10.in-addr.arpa"])
    func otherNamesAreForTheResolvers(_ name: String) throws {
        #expect(sampleTable().decide(try DNSQuery(parsing: dnsQuestion(name, DNSType.a))) == .forward)
    }

    @Test func removedServiceLeavesNoName() throws {
        var table = sampleTable()
        for name in ["web", "db", "none", "outside", "inside", "loop"] { table.remove(namespace: "default", name: name) }
        #expect(table.services.isEmpty && table.namespaces.isEmpty && table.reverse.isEmpty)
    }

    @Test func answersThatExceedTheDatagramAreTruncated() throws {
        var table = sampleTable()
        table.set(bigService())
        for (size, edns) in [(512, nil), (1232, 4096), (512, 100)] as [(Int, UInt16?)] {
            let query = try DNSQuery(parsing: dnsQuestion("big.default.svc.cluster.local", DNSType.a, edns: edns))
            guard case .answer(let answer) = table.decide(query) else { return #expect(Bool(false)) }
            #expect(query.datagramLimit == size)
            let reply = try DNSReply(answer.encoded(for: query, limit: query.datagramLimit))
            #expect(reply.isTruncated && reply.answers.isEmpty && reply.additional == (edns == nil ? [] : ["OPT"]))
            #expect(try DNSReply(answer.encoded(for: query, limit: 65535)).answers.count == 200)
        }
    }

    @Test func otherEDNSVersionsOperationsAndClassesAreRefusedProperly() throws {
        var bytes = dnsQuestion("web.default.svc.cluster.local", DNSType.a, edns: 1232)
        bytes[bytes.count - 5] = 1
        var query = try DNSQuery(parsing: bytes)
        guard case .answer(let answer) = sampleTable().decide(query) else { return #expect(Bool(false)) }
        let encoded = answer.encoded(for: query, limit: 512)
        #expect(encoded[3] & 15 == 0 && encoded[encoded.count - 6] == 1, "BADVERS is 16: its upper bits are in the OPT record")
        bytes = dnsQuestion("a", DNSType.a)
        bytes[2] = 5 << 3
        query = try DNSQuery(parsing: bytes)
        #expect(sampleTable().decide(query) == .answer(DNSAnswer(code: .notImplemented, isAuthoritative: false)))
    }

    @Test func brokenQuestionsNeverTrap() throws {
        let good = dnsQuestion("web.default.svc.cluster.local", DNSType.a, edns: 1232)
        for length in 0..<good.count { _ = try? DNSQuery(parsing: Array(good[..<length])) }
        var random = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            var bytes = good
            for _ in 0..<3 { bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
            guard let query = try? DNSQuery(parsing: bytes) else { continue }
            if case .answer(let answer) = sampleTable().decide(query) { _ = answer.encoded(for: query, limit: 512) }
        }
        #expect(throws: DNSQuery.Problem.ignore) { try DNSQuery(parsing: [1, 2, 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0]) }
        #expect(throws: DNSQuery.Problem.malformed(id: 0x1234)) { try DNSQuery(parsing: Array(good[..<20])) }
        // A name that points at itself.
        #expect(throws: DNSQuery.Problem.malformed(id: 1)) {
            try DNSQuery(parsing: [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 12, 0, 1, 0, 1])
        }
    }

    @Test func cacheCountsDownAndSpellsTheNameAsAsked() throws {
        let query = try DNSQuery(parsing: dnsQuestion("www.example.com", DNSType.a))
        var answer = DNSAnswer()
        answer.answers = [DNSRecord(name: query.wireName, ttl: 60, data: .address([192, 0, 2, 1]))]
        var cache = DNSCache()
        cache.store(answer.encoded(for: query, limit: 512), for: query, now: 1000)
        let other = try DNSQuery(parsing: dnsQuestion("WWW.example.com", DNSType.a, id: 7))
        let hit = try #require(cache.answer(other, now: 21_000))
        #expect(hit[1] == 7 && hit[13] == UInt8(ascii: "W") && DNSCache.records(hit)[0].ttl == 40)
        #expect(cache.answer(other, now: 61_000) == nil)
        #expect(cache.answer(try DNSQuery(parsing: dnsQuestion("www.example.com", DNSType.aaaa)), now: 2000) == nil)
    }
}

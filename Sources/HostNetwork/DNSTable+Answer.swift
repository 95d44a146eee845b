import Linux

/// What is to be done about a question.
enum DNSDecision: Sendable, Equatable {
    case answer(DNSAnswer)
    /// Not the cluster's: the machine's resolvers know.
    case forward
    /// An alias of a name outside: the alias, then what the resolvers say of its target.
    case chase(alias: DNSRecord, target: [UInt8])
}

extension DNSTable {
    /// The records of a name, of all types; nil where there is no such name.
    private struct Found {
        var records: [DNSRecord] = []
        var additional: [DNSRecord] = []
        var alias: String?
    }

    func decide(_ query: DNSQuery) -> DNSDecision {
        guard query.edns?.version ?? 0 == 0 else { return .answer(DNSAnswer(code: .badVersion, isAuthoritative: false)) }
        guard query.opcode == 0 else { return .answer(DNSAnswer(code: .notImplemented, isAuthoritative: false)) }
        guard query.class == 1 || query.class == 255 else { return .answer(DNSAnswer(code: .refused, isAuthoritative: false)) }
        // Zone transfers and meta types are nobody's.
        guard query.type != DNSType.opt, !(249...254).contains(query.type) else {
            return .answer(DNSAnswer(code: .refused, isAuthoritative: false))
        }
        if query.labels.count >= zone.count, query.labels.suffix(zone.count) == zone[...] {
            return decide(query, name: query.wireName, labels: Array(query.labels.dropLast(zone.count)), depth: 0)
        }
        if let address = DNSTable.reversed(query.labels) { return decideReverse(query, address) }
        return .forward
    }

    private func decide(_ query: DNSQuery, name: [UInt8], labels: [String], depth: Int) -> DNSDecision {
        guard let found = find(name, labels, query) else {
            return .answer(DNSAnswer(code: .noName, authorities: [soa]))
        }
        if let alias = found.alias { return follow(query, name, alias, depth) }
        var answer = DNSAnswer()
        answer.answers = found.records.filter { query.type == DNSType.any || $0.type == query.type }
        if answer.answers.isEmpty {
            answer.authorities = [soa]
        } else if answer.answers.contains(where: { $0.type == DNSType.srv }) {
            answer.additional = found.additional
        }
        return .answer(answer)
    }

    /// ExternalName: the alias, and behind it what this zone or the resolvers have.
    private func follow(_ query: DNSQuery, _ name: [UInt8], _ target: String, _ depth: Int) -> DNSDecision {
        let labels = DNSName.split(target)
        guard let wire = DNSName.wire(labels), !labels.isEmpty else { return .answer(DNSAnswer(code: .serverFailure)) }
        let alias = DNSRecord(name: name, ttl: ttl, data: .name(DNSType.cname, wire))
        if query.type == DNSType.cname || query.type == DNSType.any { return .answer(DNSAnswer(answers: [alias])) }
        guard labels.count >= zone.count, labels.suffix(zone.count) == zone[...] else { return .chase(alias: alias, target: wire) }
        // Aliases of aliases end somewhere, or are a loop.
        guard depth < 8 else { return .answer(DNSAnswer(code: .serverFailure)) }
        switch decide(query, name: wire, labels: Array(labels.dropLast(zone.count)), depth: depth + 1) {
        case .answer(var answer):
            answer.answers.insert(alias, at: 0)
            return .answer(answer)
        case let other: return other
        }
    }

    var soa: DNSRecord {
        DNSRecord(
            name: zoneWire, ttl: ttl,
            data: .soa(
                primary: DNSName.wire(["ns", "dns"] + zone) ?? zoneWire, mailbox: DNSName.wire(["hostmaster"] + zone) ?? zoneWire,
                serial: serial, minimum: ttl))
    }

    // MARK: - Names under the zone

    private func find(_ name: [UInt8], _ labels: [String], _ query: DNSQuery) -> Found? {
        func record(_ data: DNSRecord.Data) -> DNSRecord { DNSRecord(name: name, ttl: ttl, data: data) }
        switch labels.last {
        case nil:
            return Found(records: [soa, record(.name(DNSType.ns, DNSName.wire(["ns", "dns"] + zone) ?? zoneWire))])
        case "dns-version" where labels.count == 1: return Found(records: [record(.text("1.1.0"))])
        case "dns":
            if labels.count == 1 { return Found() }
            return labels == ["ns", "dns"] ? Found(records: [record(.address(server.bytes))]) : nil
        case "pod":
            if labels.count <= 2 { return labels.count == 1 || namespaces[labels[0]] != nil ? Found() : nil }
            guard labels.count == 3, let address = DNSTable.dashed(labels[0]) else { return nil }
            return Found(records: [record(.address(address.bytes))])
        case "svc":
            if labels.count == 1 { return Found() }
            let namespace = labels[labels.count - 2]
            if labels.count == 2 { return namespaces[namespace] != nil ? Found() : nil }
            guard let service = services[Key(namespace: namespace, name: labels[labels.count - 3])] else { return nil }
            return find(name, Array(labels.dropLast(3)), in: service)
        default: return nil
        }
    }

    private func find(_ name: [UInt8], _ labels: [String], in service: DNSService) -> Found? {
        switch service.kind {
        case .external(let target): return labels.isEmpty ? Found(alias: target) : nil
        case .cluster(let addresses, let ports): return find(name, labels, service, addresses, ports)
        case .headless(let endpoints): return find(name, labels, service, endpoints)
        }
    }

    private func addressRecords(_ name: [UInt8], _ addresses: [IPAddress]) -> [DNSRecord] {
        addresses.map { DNSRecord(name: name, ttl: ttl, data: .address($0.bytes)) }
    }

    private func find(_ name: [UInt8], _ labels: [String], _ service: DNSService, _ addresses: [IPAddress], _ ports: [DNSService.Port])
        -> Found?
    {
        let target = wire(of: service)
        let additional = addressRecords(target, addresses)
        let chosen: [DNSService.Port]
        switch labels.count {
        case 0: chosen = ports
        case 1:
            return DNSTable.transport(labels[0]).map { transport in ports.contains { $0.transport == transport } } == true ? Found() : nil
        default:
            chosen = DNSTable.select(ports, labels)
            guard !chosen.isEmpty else { return nil }
        }
        let services = chosen.map { DNSRecord(name: name, ttl: ttl, data: .service(port: $0.port, weight: 100, target: target)) }
        return Found(records: (labels.isEmpty ? addressRecords(name, addresses) : []) + services, additional: additional)
    }

    private func find(_ name: [UInt8], _ labels: [String], _ service: DNSService, _ endpoints: [DNSService.Endpoint]) -> Found? {
        // Without any ready endpoint the name does not exist.
        guard !endpoints.isEmpty else { return nil }
        if labels.count == 1, !labels[0].hasPrefix("_") {
            let named = endpoints.filter { $0.label == labels[0] }
            return named.isEmpty ? nil : Found(records: addressRecords(name, named.map(\.address)))
        }
        var found = Found()
        if labels.isEmpty {
            // Drawn anew each time: many clients take the first.
            found.records = addressRecords(name, Array(Set(endpoints.map(\.address))).shuffled())
        } else if labels.count == 1 {
            let transport = DNSTable.transport(labels[0])
            return endpoints.contains { $0.ports.contains { $0.transport == transport } } ? Found() : nil
        }
        var seen: Set<[UInt8]> = []
        for endpoint in endpoints {
            let target = wire(endpoint.label, of: service)
            let ports = labels.isEmpty ? endpoint.ports : DNSTable.select(endpoint.ports, labels)
            for port in ports {
                let weight = UInt16(clamping: max(1, 100 / endpoints.count))
                found.records.append(DNSRecord(name: name, ttl: ttl, data: .service(port: port.port, weight: weight, target: target)))
            }
            if !ports.isEmpty, seen.insert(target + endpoint.address.bytes).inserted {
                found.additional += addressRecords(target, [endpoint.address])
            }
        }
        return found.records.isEmpty ? nil : found
    }

    /// `_port._protocol`.
    private static func select(_ ports: [DNSService.Port], _ labels: [String]) -> [DNSService.Port] {
        guard labels.count == 2, labels[0].hasPrefix("_"), let transport = transport(labels[1]) else { return [] }
        return ports.filter { !$0.name.isEmpty && $0.transport == transport && "_" + $0.name == labels[0] }
    }

    private static func transport(_ label: String) -> TransportProtocol? {
        switch label {
        case "_tcp": .tcp
        case "_udp": .udp
        case "_sctp": .sctp
        default: nil
        }
    }

    /// `10-0-0-1`, or `2001-db8--1`.
    private static func dashed(_ label: String) -> IPAddress? {
        let parts = label.split(separator: "-", omittingEmptySubsequences: false)
        return IPAddress(parts.joined(separator: ".")) ?? IPAddress(parts.joined(separator: ":"))
    }

    // MARK: - Reverse names

    static func reversed(_ labels: [String]) -> IPAddress? {
        if labels.count == 6, labels[4...] == ["in-addr", "arpa"] {
            return IPAddress(labels[..<4].reversed().joined(separator: "."))
        }
        guard labels.count == 34, labels[32...] == ["ip6", "arpa"] else { return nil }
        let digits = labels[..<32].reversed()
        guard digits.allSatisfy({ $0.utf8.count == 1 }) else { return nil }
        let text = digits.joined()
        guard let high = UInt64(text.prefix(16), radix: 16), let low = UInt64(text.suffix(16), radix: 16) else { return nil }
        return IPAddress(v6High: high, v6Low: low)
    }

    private func decideReverse(_ query: DNSQuery, _ address: IPAddress) -> DNSDecision {
        if let name = reverse[address]?.first?.name {
            var answer = DNSAnswer()
            if query.type == DNSType.ptr || query.type == DNSType.any {
                answer.answers = [DNSRecord(name: query.wireName, ttl: ttl, data: .name(DNSType.ptr, name))]
            } else {
                answer.authorities = [soa]
            }
            return .answer(answer)
        }
        guard reverseRanges.contains(where: { $0.contains(address) }) else { return .forward }
        return .answer(DNSAnswer(code: .noName, authorities: [soa]))
    }
}

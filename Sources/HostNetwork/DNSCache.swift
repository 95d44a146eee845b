import Linux

/// Answers of the machine's resolvers, kept as long as their records live, at most five minutes.
struct DNSCache {
    private struct Entry {
        var message: [UInt8]
        var storedAt: UInt64
        var expiresAt: UInt64
    }

    private var entries: [[UInt8]: Entry] = [:]
    private let limit: Int
    private static let largest = 4096

    init(limit: Int = 4096) { self.limit = limit }

    /// Nil for questions whose answers may depend on more than what they ask.
    static func key(_ query: DNSQuery) -> [UInt8]? {
        guard query.opcode == 0, query.edns?.hasOptions != true else { return nil }
        let flags: UInt8 =
            (query.recursionDesired ? 1 : 0) | (query.checkingDisabled ? 2 : 0) | (query.edns != nil ? 4 : 0)
            | (query.edns?.wantsSignatures == true ? 8 : 0)
        return query.wireName.map(DNSName.lower) + [UInt8(query.type >> 8), UInt8(query.type & 255), UInt8(query.class & 255), flags]
    }

    /// The answer for this asker: its id, its spelling of the name, and the time that is left.
    func answer(_ query: DNSQuery, now: UInt64) -> [UInt8]? {
        guard let key = DNSCache.key(query), let entry = entries[key], entry.expiresAt > now else { return nil }
        var message = entry.message
        message[0] = UInt8(query.id >> 8)
        message[1] = UInt8(query.id & 255)
        message.replaceSubrange(12..<(12 + query.wireName.count), with: query.wireName)
        let age = UInt32((now - entry.storedAt) / 1000)
        for record in DNSCache.records(message) where record.type != DNSType.opt {
            let left = record.ttl > age ? record.ttl - age : 0
            for index in 0..<4 { message[record.ttlOffset + index] = UInt8(truncatingIfNeeded: left >> UInt32(24 - 8 * index)) }
        }
        return message
    }

    mutating func store(_ message: [UInt8], for query: DNSQuery, now: UInt64) {
        guard let key = DNSCache.key(query), message.count <= DNSCache.largest, message[2] & 0x02 == 0,
            message[3] & 15 == 0 || message[3] & 15 == 3
        else { return }
        let records = DNSCache.records(message).filter { $0.type != DNSType.opt }
        guard var life = records.map(\.ttl).min() else { return }
        // A negative answer lives as long as the SOA's last number says (RFC 2308).
        for record in records where record.type == DNSType.soa && record.data.count >= 4 {
            life = min(life, record.data.suffix(4).reduce(0) { $0 << 8 | UInt32($1) })
        }
        guard life > 0 else { return }
        if entries.count >= limit {
            entries = entries.filter { $0.value.expiresAt > now }
            if entries.count >= limit { entries.removeAll() }
        }
        entries[key] = Entry(message: message, storedAt: now, expiresAt: now + UInt64(min(life, 300)) * 1000)
    }

    static func records(_ message: [UInt8]) -> [DNSReader.Record] {
        var reader = DNSReader(message)
        reader.offset = 4
        guard let questions = reader.uint16(), let answers = reader.uint16(), let authorities = reader.uint16(),
            let additional = reader.uint16()
        else { return [] }
        for _ in 0..<questions { guard reader.skipQuestion() else { return [] } }
        var records: [DNSReader.Record] = []
        for _ in 0..<(Int(answers) + Int(authorities) + Int(additional)) {
            guard let record = reader.record() else { return records }
            records.append(record)
        }
        return records
    }
}

package import Core
import Glibc

/// One nftables table of family `inet` in one network namespace: transactions go in, elements come out.
package final class Nftables: Sendable {
    package let table: String
    private let socket: NetlinkSocket

    /// Bound to the network namespace of the calling thread.
    package init(table: String) throws(SystemFailure) {
        self.table = table
        socket = try NetlinkSocket(.netfilter)
    }

    /// Conntrack of the same namespace, over the same socket.
    package var conntrack: Conntrack { Conntrack(socket: socket) }

    package func transaction() -> NftablesBatch { NftablesBatch(table: table) }

    /// All of the batch or nothing of it.
    package func commit(_ batch: consuming NftablesBatch) throws(SystemFailure) {
        guard !batch.isEmpty else { return }
        batch.close()
        let subjects = batch.subjects
        let refusals = try socket.send(batch.buffer, acknowledge: batch.buffer.messageCount - 2)
        guard let first = refusals.first else { return }
        // Message 0 opens the batch; what is refused there concerns the batch as a whole.
        let subject = first.index > 0 && first.index <= subjects.count ? subjects[first.index - 1] : table
        throw SystemFailure("nftables", subject, errno: first.errno, hint: hint(first, subject))
    }

    private func hint(_ refusal: NetlinkSocket.Refusal, _ subject: String) -> String? {
        guard refusal.errno == ENOENT || refusal.errno == EOPNOTSUPP || refusal.errno == EPROTONOSUPPORT else { return refusal.text }
        if subject.hasPrefix("rule") {
            return "the kernel lacks one of: " + NftablesRule.modules(in: subject).joined(separator: ", ")
        }
        if subject.hasPrefix("chain"), subject.contains("nat") { return "the kernel lacks nft_chain_nat (CONFIG_NFT_NAT, CONFIG_NF_NAT)" }
        if subject.hasPrefix("table") { return "the kernel lacks nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)" }
        return refusal.text
    }

    // MARK: - Reading

    package struct Element: Sendable, Equatable {
        package var key: [UInt8]
        package var value: Value

        package init(key: [UInt8], value: Value) {
            self.key = key
            self.value = value
        }
    }

    /// What a set element leads to.
    package enum Value: Sendable, Hashable {
        case none
        case data([UInt8])
        case verdict(NftablesVerdict)
    }

    private func request(_ type: UInt16, _ body: (inout NetlinkBuffer) -> Void = { _ in }, dump: Bool = true) -> NetlinkBuffer {
        var buffer = NetlinkBuffer()
        buffer.begin(type: 0xA00 | type, flags: dump ? NetlinkFlag.dump : 0)
        buffer.append(NftablesBatch.header)
        body(&buffer)
        buffer.end()
        return buffer
    }

    package func tableExists() throws(SystemFailure) -> Bool {
        try Nftables.tables(socket).contains(table)
    }

    /// Names of all `inet` tables in the namespace.
    package func tables() throws(SystemFailure) -> [String] { try Nftables.tables(socket) }

    private static func tables(_ socket: NetlinkSocket) throws(SystemFailure) -> [String] {
        var buffer = NetlinkBuffer()
        buffer.begin(type: 0xA01, flags: NetlinkFlag.dump)
        buffer.append(NftablesBatch.header)
        buffer.end()
        do throws(SystemFailure) {
            return try socket.dump(buffer).compactMap { $0.type == 0xA00 ? $0.attributes(after: 4)[1]?.text : nil }
        } catch where error.errno == EINVAL || error.errno == EOPNOTSUPP {
            throw SystemFailure(
                "nftables", "tables", errno: error.errno, hint: "the kernel lacks nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_INET)")
        }
    }

    package func chains() throws(SystemFailure) -> Set<String> {
        var names: Set<String> = []
        for message in try socket.dump(request(4)) where message.type == 0xA03 {
            let attributes = message.attributes(after: 4)
            if attributes[1]?.text == table, let name = attributes[3]?.text { names.insert(name) }
        }
        return names
    }

    package func sets() throws(SystemFailure) -> Set<String> {
        var names: Set<String> = []
        let table = table
        for message in try socket.dump(request(10, { $0.put(1, table) })) where message.type == 0xA09 {
            if let name = message.attributes(after: 4)[2]?.text { names.insert(name) }
        }
        return names
    }

    package func elements(of set: String) throws(SystemFailure) -> [Element] {
        let table = table
        let messages = try socket.dump(
            request(13) {
                $0.put(1, table)
                $0.put(2, set)
            })
        var elements: [Element] = []
        for message in messages where message.type == 0xA0C {
            guard let list = message.attributes(after: 4)[3] else { continue }
            for item in list.nested {
                guard let key = item.nested[1]?.nested[1] else { continue }
                var value = Value.none
                if let data = item.nested[2]?.nested {
                    if let raw = data[1] {
                        value = .data(Array(raw.value))
                    } else if let verdict = data[2], let code: Int32 = verdict.nested[1]?.numberBE() {
                        value = .verdict(NftablesVerdict(code: code, chain: verdict.nested[2]?.text))
                    }
                }
                elements.append(Element(key: Array(key.value), value: value))
            }
        }
        return elements
    }
}

/// Where a packet goes on.
package struct NftablesVerdict: Sendable, Hashable {
    package let code: Int32
    package let chain: String?

    package static let drop = NftablesVerdict(code: 0, chain: nil)
    package static let accept = NftablesVerdict(code: 1, chain: nil)
    package static let `return` = NftablesVerdict(code: -5, chain: nil)
    package static func jump(_ chain: String) -> NftablesVerdict { NftablesVerdict(code: -3, chain: chain) }
    package static func goto(_ chain: String) -> NftablesVerdict { NftablesVerdict(code: -4, chain: chain) }

    func write(to buffer: inout NetlinkBuffer) {
        buffer.nest(2) {
            $0.putBE(1, code)
            if let chain { $0.put(2, chain) }
        }
    }
}

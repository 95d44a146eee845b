/// The expressions of one rule, in order. Registers are numbered 0 to 15, four bytes each; values that span several
/// lie in neighbouring ones, which is how concatenated keys are put together.
package struct NftablesRule: Sendable {
    private var buffer = NetlinkBuffer(capacity: 256)
    private(set) var names: [String] = []

    package init() {}
    package init(_ body: (inout NftablesRule) -> Void) { body(&self) }

    var bytes: [UInt8] { buffer.bytes }

    private mutating func expression(_ name: String, _ body: (inout NetlinkBuffer) -> Void) {
        names.append(name)
        buffer.nest(1) {
            $0.put(1, name)
            $0.nest(2, body)
        }
    }

    private static func register(_ index: Int) -> UInt32 { UInt32(index + 8) }

    /// Which kernel module brings each expression that a subject line names.
    static func modules(in subject: String) -> [String] {
        let known = [
            ("numgen", "nft_numgen (CONFIG_NFT_NUMGEN)"), ("nat", "nft_nat (CONFIG_NFT_NAT)"), ("masq", "nft_masq (CONFIG_NFT_MASQ)"),
            ("fib", "nft_fib_inet (CONFIG_NFT_FIB_INET)"), ("ct", "nft_ct (CONFIG_NFT_CT)"),
            ("reject", "nft_reject_inet (CONFIG_NFT_REJECT_INET)"),
        ]
        let words = Set(subject.split(separator: " ").map(String.init))
        return known.filter { words.contains($0.0) }.map(\.1)
    }

    // MARK: - Loads

    package enum Meta: UInt32, Sendable {
        case mark = 3
        case inputName = 6
        case outputName = 7
        case family = 15
        case transport = 16
    }

    package mutating func load(_ meta: Meta, _ register: Int) {
        expression("meta") {
            $0.putBE(1, NftablesRule.register(register))
            $0.putBE(2, meta.rawValue)
        }
    }

    private mutating func payload(base: UInt32, offset: UInt32, length: UInt32, _ register: Int) {
        expression("payload") {
            $0.putBE(1, NftablesRule.register(register))
            $0.putBE(2, base)
            $0.putBE(3, offset)
            $0.putBE(4, length)
        }
    }

    package mutating func loadSource(_ register: Int) { payload(base: 1, offset: 12, length: 4, register) }
    package mutating func loadDestination(_ register: Int) { payload(base: 1, offset: 16, length: 4, register) }
    package mutating func loadDestinationPort(_ register: Int) { payload(base: 2, offset: 2, length: 2, register) }

    package mutating func loadRandom(below modulus: UInt32, _ register: Int) {
        expression("numgen") {
            $0.putBE(1, NftablesRule.register(register))
            $0.putBE(2, modulus)
            $0.putBE(3, UInt32(1))
        }
    }

    package mutating func flip(_ mask: [UInt8], _ register: Int) {
        expression("bitwise") {
            $0.putBE(1, NftablesRule.register(register))
            $0.putBE(2, NftablesRule.register(register))
            $0.putBE(3, UInt32(mask.count))
            $0.nest(4) { $0.put(1, bytes: [UInt8](repeating: 255, count: mask.count)) }
            $0.nest(5) { $0.put(1, bytes: mask) }
        }
    }

    private mutating func keep(_ mask: [UInt8], _ register: Int) {
        expression("bitwise") {
            $0.putBE(1, NftablesRule.register(register))
            $0.putBE(2, NftablesRule.register(register))
            $0.putBE(3, UInt32(mask.count))
            $0.nest(4) { $0.put(1, bytes: mask) }
            $0.nest(5) { $0.put(1, bytes: [UInt8](repeating: 0, count: mask.count)) }
        }
    }

    // MARK: - Conditions; register 15 is their scratch

    package mutating func compare(_ register: Int, _ bytes: [UInt8], equal: Bool = true) {
        expression("cmp") {
            $0.putBE(1, NftablesRule.register(register))
            $0.putBE(2, UInt32(equal ? 0 : 1))
            $0.nest(3) { $0.put(1, bytes: bytes) }
        }
    }

    package mutating func ifFamily(ipv6: Bool) {
        load(.family, 15)
        compare(15, [ipv6 ? 10 : 2])
    }

    package mutating func ifTransport(_ number: UInt8) {
        load(.transport, 15)
        compare(15, [number])
    }

    package mutating func ifInput(_ name: String, equal: Bool = true) {
        load(.inputName, 12)
        compare(12, NftablesRule.interface(name), equal: equal)
    }

    package mutating func ifOutput(_ name: String, equal: Bool = true) {
        load(.outputName, 12)
        compare(12, NftablesRule.interface(name), equal: equal)
    }

    private static func interface(_ name: String) -> [UInt8] {
        let bytes = Array(name.utf8.prefix(15))
        return bytes + [UInt8](repeating: 0, count: 16 - bytes.count)
    }

    package mutating func ifSource(in prefix: IPPrefix) {
        loadSource(15)
        match(prefix)
    }

    package mutating func ifDestination(in prefix: IPPrefix) {
        loadDestination(15)
        match(prefix)
    }

    private mutating func match(_ prefix: IPPrefix) {
        if prefix.length < prefix.base.bits {
            keep(IPPrefix(IPAddress(v4: .max), length: prefix.length).base.bytes, 15)
        }
        compare(15, prefix.base.bytes)
    }

    /// Where the destination is an address of this namespace.
    package mutating func ifDestinationIsLocal() {
        expression("fib") {
            $0.putBE(1, NftablesRule.register(15))
            $0.putBE(2, UInt32(3))
            $0.putBE(3, UInt32(2))
        }
        withUnsafeBytes(of: UInt32(2)) { compare(15, Array($0)) }
    }

    package enum ConnectionState: UInt32, Sendable {
        case invalid = 1
        case establishedOrRelated = 6
        case new = 8
    }

    package mutating func ifState(_ state: ConnectionState) { connection(key: 0, bits: state.rawValue, set: true) }

    package mutating func ifDestinationTranslated(_ translated: Bool = true) { connection(key: 2, bits: 0x20, set: translated) }

    private mutating func connection(key: UInt32, bits: UInt32, set: Bool) {
        expression("ct") {
            $0.putBE(1, NftablesRule.register(15))
            $0.putBE(2, key)
        }
        keep(withUnsafeBytes(of: bits) { Array($0) }, 15)
        compare(15, [0, 0, 0, 0], equal: !set)
    }

    // MARK: - Sets

    /// Goes on only where the key is in the set.
    package mutating func lookup(_ set: String, key: Int) {
        expression("lookup") {
            $0.put(1, set)
            $0.putBE(2, NftablesRule.register(key))
        }
    }

    /// Goes on only where the key is in the map, with its value in `into`.
    package mutating func lookup(_ map: String, key: Int, into register: Int) {
        expression("lookup") {
            $0.put(1, map)
            $0.putBE(2, NftablesRule.register(key))
            $0.putBE(3, NftablesRule.register(register))
        }
    }

    /// Follows the verdict that the map has for the key.
    package mutating func verdict(_ map: String, key: Int) {
        expression("lookup") {
            $0.put(1, map)
            $0.putBE(2, NftablesRule.register(key))
            $0.putBE(3, UInt32(0))
        }
    }

    package enum Update: UInt32, Sendable {
        case add = 0
        case refresh = 1
        case delete = 2
    }

    package mutating func update(_ map: String, _ update: Update, key: Int, value: Int, timeout milliseconds: UInt64) {
        expression("dynset") {
            $0.put(1, map)
            $0.putBE(3, update.rawValue)
            $0.putBE(4, NftablesRule.register(key))
            // A map wants a value's register even to delete.
            $0.putBE(5, NftablesRule.register(value))
            if update != .delete { $0.putBE(6, milliseconds) }
        }
    }

    // MARK: - Ends

    package mutating func decide(_ verdict: NftablesVerdict) {
        expression("immediate") {
            $0.putBE(1, UInt32(0))
            $0.nest(2) { verdict.write(to: &$0) }
        }
    }

    package mutating func translateDestination(address: Int, port: Int) {
        expression("nat") {
            $0.putBE(1, UInt32(1))
            $0.putBE(2, UInt32(2))
            $0.putBE(3, NftablesRule.register(address))
            $0.putBE(5, NftablesRule.register(port))
        }
    }

    package mutating func masquerade() { expression("masq") { $0.putBE(1, UInt32(0x10)) } }

    /// ICMP port unreachable.
    package mutating func reject() {
        expression("reject") {
            $0.putBE(1, UInt32(2))
            $0.put(2, UInt8(1))
        }
    }

    /// Only behind `ifTransport(6)`.
    package mutating func reset() { expression("reject") { $0.putBE(1, UInt32(1)) } }
}

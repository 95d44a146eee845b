/// A transaction on one table. Changes take effect together, in this order, or not at all.
package struct NftablesBatch: Sendable {
    var buffer = NetlinkBuffer(capacity: 4096)
    /// What each message is about, for the one that is refused.
    private(set) var subjects: [String] = []
    let table: String

    /// `nfgenmsg` of family inet.
    static let header: [UInt8] = [1, 0, 0, 0]

    package init(table: String) {
        self.table = table
        buffer.begin(type: 16, flags: 0)
        buffer.append([0, 0, 0, 10])
        buffer.end()
    }

    package var isEmpty: Bool { subjects.isEmpty }

    mutating func close() {
        buffer.begin(type: 17, flags: 0)
        buffer.append([0, 0, 0, 10])
        buffer.end()
    }

    private mutating func message(_ type: UInt16, _ flags: UInt16, _ subject: String, _ body: (inout NetlinkBuffer) -> Void) {
        subjects.append(subject)
        buffer.begin(type: 0xA00 | type, flags: flags)
        buffer.append(NftablesBatch.header)
        buffer.put(1, table)
        body(&buffer)
        buffer.end()
    }

    // MARK: - Tables and chains

    package mutating func addTable() { message(0, NetlinkFlag.create, "table \(table)") { _ in } }

    package mutating func deleteTable() { message(2, 0, "delete table \(table)") { _ in } }

    package enum Hook: UInt32, Sendable {
        case prerouting = 0
        case input = 1
        case forward = 2
        case output = 3
        case postrouting = 4
    }

    package mutating func addBaseChain(_ name: String, type: String, hook: Hook, priority: Int32) {
        message(3, NetlinkFlag.create, "chain \(name) of type \(type)") {
            $0.put(3, name)
            $0.nest(4) {
                $0.putBE(1, hook.rawValue)
                $0.putBE(2, priority)
            }
            $0.putBE(5, UInt32(1))
            $0.put(7, type)
        }
    }

    package mutating func addChain(_ name: String) { message(3, NetlinkFlag.create, "chain \(name)") { $0.put(3, name) } }

    package mutating func deleteChain(_ name: String) { message(5, 0, "delete chain \(name)") { $0.put(3, name) } }

    package mutating func flushChain(_ name: String) { message(8, 0, "flush chain \(name)") { $0.put(2, name) } }

    package mutating func addRule(_ chain: String, _ rule: NftablesRule) {
        message(6, NetlinkFlag.create | NetlinkFlag.append, "rule in \(chain): \(rule.names.joined(separator: " "))") { buffer in
            buffer.put(2, chain)
            let start = buffer.open(4)
            buffer.append(rule.bytes)
            buffer.close(start)
        }
    }

    // MARK: - Sets

    /// The datatype numbers of nft(8), six bits a part, so that `nft list` shows keys as text.
    package enum DataType: UInt32, Sendable {
        case ipv4Address = 7
        case ipv6Address = 8
        case protocolNumber = 12
        case port = 13
        case index = 19

        var size: UInt32 { self == .ipv6Address ? 16 : 4 }
    }

    package enum MapTarget: Sendable {
        case none
        case verdict
        case data([DataType])
    }

    package struct SetFlags: OptionSet, Sendable {
        package let rawValue: UInt32
        package init(rawValue: UInt32) { self.rawValue = rawValue }
        /// Elements end by themselves.
        package static let timeout = SetFlags(rawValue: 0x10)
        /// Rules add and refresh elements.
        package static let dynamic = SetFlags(rawValue: 0x20)
    }

    private static func describe(_ parts: [DataType]) -> (type: UInt32, length: UInt32) {
        (parts.reduce(0) { $0 << 6 | $1.rawValue }, parts.reduce(0) { $0 + $1.size })
    }

    package mutating func addSet(_ name: String, key: [DataType], target: MapTarget = .none, flags: SetFlags = [], size: UInt32? = nil) {
        let key = NftablesBatch.describe(key)
        let id = UInt32(subjects.count + 1)
        message(9, NetlinkFlag.create, "set \(name)") {
            $0.put(2, name)
            var bits = flags.rawValue
            switch target {
            case .none: break
            case .verdict, .data: bits |= 8
            }
            $0.putBE(3, bits)
            $0.putBE(4, key.type)
            $0.putBE(5, key.length)
            switch target {
            case .none: break
            case .verdict: $0.putBE(6, UInt32(0xFFFF_FF00))
            case .data(let parts):
                let data = NftablesBatch.describe(parts)
                $0.putBE(6, data.type)
                $0.putBE(7, data.length)
            }
            if let size { $0.nest(9) { $0.putBE(1, size) } }
            $0.putBE(10, id)
        }
    }

    package mutating func add(_ elements: some Sequence<Nftables.Element>, to set: String) { write(12, NetlinkFlag.create, elements, set) }

    /// An element that is not there fails the whole batch.
    package mutating func delete(_ elements: some Sequence<Nftables.Element>, from set: String) { write(14, 0, elements, set) }

    private mutating func write(_ type: UInt16, _ flags: UInt16, _ elements: some Sequence<Nftables.Element>, _ set: String) {
        var iterator = elements.makeIterator()
        var next = iterator.next()
        while next != nil {
            message(type, flags, "elements of \(set)") { buffer in
                buffer.put(2, set)
                let start = buffer.open(3)
                while let element = next, buffer.count - start < 60_000 {
                    NftablesBatch.write(element, withValue: type == 12, to: &buffer)
                    next = iterator.next()
                }
                buffer.close(start)
            }
        }
    }

    private static func write(_ element: Nftables.Element, withValue: Bool, to buffer: inout NetlinkBuffer) {
        let item = buffer.open(1)
        let key = buffer.open(1)
        buffer.put(1, bytes: element.key)
        buffer.close(key)
        if withValue, element.value != .none {
            let data = buffer.open(2)
            switch element.value {
            case .none: break
            case .data(let bytes): buffer.put(1, bytes: bytes)
            case .verdict(let verdict): verdict.write(to: &buffer)
            }
            buffer.close(data)
        }
        buffer.close(item)
    }
}

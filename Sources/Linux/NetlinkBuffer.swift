/// Builds netlink messages: header, fixed part and attributes, aligned to 4 bytes, lengths filled in afterwards.
/// Numbers are in host order unless the method says `BE`.
package struct NetlinkBuffer: Sendable {
    package private(set) var bytes: [UInt8] = []
    private var messageStart = 0
    package private(set) var messageCount = 0

    package init(capacity: Int = 512) { bytes.reserveCapacity(capacity) }

    package var count: Int { bytes.count }

    package mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        messageCount = 0
    }

    /// Opens a message whose sequence number is its index, until the socket gives it the final one.
    package mutating func begin(type: UInt16, flags: UInt16) {
        messageStart = bytes.count
        append(UInt32(0))
        append(type)
        append(flags | NetlinkFlag.request)
        append(UInt32(messageCount))
        append(UInt32(0))
        messageCount += 1
    }

    package mutating func end() {
        set(UInt32(bytes.count - messageStart), at: messageStart)
    }

    package mutating func append<T: FixedWidthInteger>(_ value: T) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }

    package mutating func append(_ raw: [UInt8]) { bytes.append(contentsOf: raw) }

    mutating func set<T: FixedWidthInteger>(_ value: T, at offset: Int) {
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: value, toByteOffset: offset, as: T.self) }
    }

    private mutating func pad() {
        while bytes.count & 3 != 0 { bytes.append(0) }
    }

    private mutating func header(_ type: UInt16, length: Int) {
        append(UInt16(truncatingIfNeeded: length + 4))
        append(type)
    }

    // MARK: - Attributes

    package mutating func put<T: FixedWidthInteger>(_ type: UInt16, _ value: T) {
        header(type, length: MemoryLayout<T>.size)
        append(value)
        pad()
    }

    package mutating func putBE<T: FixedWidthInteger>(_ type: UInt16, _ value: T) { put(type, value.bigEndian) }

    package mutating func put(_ type: UInt16, bytes raw: [UInt8]) {
        header(type, length: raw.count)
        bytes.append(contentsOf: raw)
        pad()
    }

    /// Text with its closing zero, as link and table names are sent.
    package mutating func put(_ type: UInt16, _ text: String) {
        header(type, length: text.utf8.count + 1)
        bytes.append(contentsOf: text.utf8)
        bytes.append(0)
        pad()
    }

    package mutating func flag(_ type: UInt16) { header(type, length: 0) }

    package mutating func put(_ type: UInt16, _ address: IPAddress) {
        header(type, length: address.byteCount)
        append(address)
    }

    /// The bytes of an address in network order, without an attribute around.
    package mutating func append(_ address: IPAddress) {
        if address.isIPv6 {
            append(address.high.bigEndian)
            append(address.low.bigEndian)
        } else {
            append(address.v4.bigEndian)
        }
    }

    package mutating func nest(_ type: UInt16, _ body: (inout NetlinkBuffer) -> Void) {
        let start = open(type)
        body(&self)
        close(start)
    }

    /// For loops that close a nest when it grows near the 64 KiB that an attribute can hold.
    package mutating func open(_ type: UInt16) -> Int {
        let start = bytes.count
        header(type | NetlinkFlag.nested, length: 0)
        return start
    }

    package mutating func close(_ start: Int) { set(UInt16(truncatingIfNeeded: bytes.count - start), at: start) }

    // MARK: - For the socket

    /// Adds `base` to every message's sequence number and asks for an acknowledgement of the last (or of all).
    mutating func finish(sequence base: UInt32, acknowledgeAll: Bool, acknowledge last: Int) {
        var offset = 0
        var index = 0
        bytes.withUnsafeMutableBytes { raw in
            while offset + 16 <= raw.count {
                let length = Int(raw.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
                raw.storeBytes(of: base &+ UInt32(index), toByteOffset: offset + 8, as: UInt32.self)
                if acknowledgeAll || index == last {
                    let flags = raw.loadUnaligned(fromByteOffset: offset + 6, as: UInt16.self)
                    raw.storeBytes(of: flags | NetlinkFlag.acknowledge, toByteOffset: offset + 6, as: UInt16.self)
                }
                offset += (length + 3) & ~3
                index += 1
            }
        }
    }
}

/// Flags of `nlmsghdr` and `nlattr`.
package enum NetlinkFlag {
    package static let request: UInt16 = 0x1
    package static let acknowledge: UInt16 = 0x4
    package static let dump: UInt16 = 0x300
    package static let replace: UInt16 = 0x100
    package static let exclusive: UInt16 = 0x200
    package static let create: UInt16 = 0x400
    package static let append: UInt16 = 0x800
    package static let nonRecursive: UInt16 = 0x100
    static let nested: UInt16 = 0x8000
    static let typeMask: UInt16 = 0x3FFF
}

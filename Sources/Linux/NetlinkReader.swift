/// One message as the kernel sent it. Reading past its end gives nil, never a trap.
package struct NetlinkMessage: Sendable {
    package let type: UInt16
    package let flags: UInt16
    package let sequence: UInt32
    /// What follows the header.
    package let payload: ArraySlice<UInt8>

    package func number<T: FixedWidthInteger>(at offset: Int, as: T.Type = T.self) -> T? { payload.number(at: offset) }

    /// The attributes behind a fixed part of `offset` bytes.
    package func attributes(after offset: Int) -> NetlinkAttributes {
        NetlinkAttributes(payload.dropFirst((offset + 3) & ~3))
    }
}

/// The attributes of a message or of a nest, in order.
package struct NetlinkAttributes: Sequence, Sendable {
    private let bytes: ArraySlice<UInt8>

    package init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    package struct Attribute: Sendable {
        package let type: UInt16
        package let value: ArraySlice<UInt8>

        package func number<T: FixedWidthInteger>(as: T.Type = T.self) -> T? { value.number(at: 0) }
        package func numberBE<T: FixedWidthInteger>(as: T.Type = T.self) -> T? { number(as: T.self).map { T(bigEndian: $0) } }
        package var text: String { String(decoding: value.prefix { $0 != 0 }, as: UTF8.self) }
        package var address: IPAddress? { IPAddress(bytes: value) }
        package var nested: NetlinkAttributes { NetlinkAttributes(value) }
    }

    package struct Iterator: IteratorProtocol {
        var rest: ArraySlice<UInt8>

        package mutating func next() -> Attribute? {
            guard let length = rest.number(at: 0, as: UInt16.self).map(Int.init), let type = rest.number(at: 2, as: UInt16.self),
                length >= 4, length <= rest.count
            else { return nil }
            let value = rest.dropFirst(4).prefix(length - 4)
            rest = rest.dropFirst((length + 3) & ~3)
            return Attribute(type: type & NetlinkFlag.typeMask, value: value)
        }
    }

    package func makeIterator() -> Iterator { Iterator(rest: bytes) }

    package subscript(type: UInt16) -> Attribute? { first { $0.type == type } }
}

extension ArraySlice<UInt8> {
    func number<T: FixedWidthInteger>(at offset: Int, as: T.Type = T.self) -> T? {
        guard offset >= 0, offset + MemoryLayout<T>.size <= count else { return nil }
        return withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) }
    }
}

/// The types of a protobuf field on the wire. Groups are refused: Kubernetes has none.
package enum WireType: UInt8, Sendable {
    case varint = 0
    case fixed64 = 1
    case bytes = 2
    case fixed32 = 5
}

/// Reads protobuf's wire form from a buffer, never past its end and never trusting a length.
package struct WireReader {
    private let base: UnsafeRawBufferPointer
    package private(set) var at: Int
    private let end: Int

    package init(_ bytes: UnsafeRawBufferPointer) {
        base = bytes
        at = 0
        end = bytes.count
    }

    private init(_ bytes: UnsafeRawBufferPointer, from start: Int, to end: Int) {
        base = bytes
        at = start
        self.end = end
    }

    package var isAtEnd: Bool { at >= end }

    /// The next field's number and type; nil at the end.
    package mutating func nextField() throws(SyntaxError) -> (number: Int, type: WireType)? {
        guard at < end else { return nil }
        let key = try varint()
        let number = key >> 3
        guard number > 0, number <= 0x1FFF_FFFF else { throw SyntaxError("proto: illegal tag \(number) (wire type \(key & 7))", offset: at) }
        guard let type = WireType(rawValue: UInt8(key & 7)) else { throw SyntaxError("proto: illegal wireType \(key & 7)", offset: at) }
        return (Int(number), type)
    }

    package mutating func varint() throws(SyntaxError) -> UInt64 {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            guard at < end else { throw SyntaxError("unexpected EOF", offset: at) }
            let byte = base[at]
            at += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
            if shift >= 64 { throw SyntaxError("proto: integer overflow", offset: at) }
        }
    }

    package mutating func fixed64() throws(SyntaxError) -> UInt64 {
        guard end - at >= 8 else { throw SyntaxError("unexpected EOF", offset: at) }
        defer { at += 8 }
        return UInt64(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt64.self))
    }

    package mutating func fixed32() throws(SyntaxError) -> UInt32 {
        guard end - at >= 4 else { throw SyntaxError("unexpected EOF", offset: at) }
        defer { at += 4 }
        return UInt32(littleEndian: base.loadUnaligned(fromByteOffset: at, as: UInt32.self))
    }

    private mutating func length() throws(SyntaxError) -> Int {
        let length = try varint()
        guard length <= UInt64(end - at) else { throw SyntaxError("unexpected EOF", offset: at) }
        return Int(length)
    }

    package mutating func bytes() throws(SyntaxError) -> UnsafeRawBufferPointer {
        let length = try length()
        defer { at += length }
        return UnsafeRawBufferPointer(rebasing: base[at..<(at + length)])
    }

    package mutating func string() throws(SyntaxError) -> String { String(decoding: try bytes(), as: UTF8.self) }

    /// A nested message, which cannot be read past its own end.
    package mutating func message() throws(SyntaxError) -> WireReader {
        let length = try length()
        defer { at += length }
        return WireReader(base, from: at, to: at + length)
    }

    package mutating func skip(_ type: WireType) throws(SyntaxError) {
        switch type {
        case .varint: _ = try varint()
        case .fixed64: _ = try fixed64()
        case .fixed32: _ = try fixed32()
        case .bytes: _ = try bytes()
        }
    }
}

/// Writes protobuf's wire form from its end to its start, so that a nested message's length is known when it is written and
/// nothing is copied. Write fields in descending order of their numbers, lists from their last element.
package struct WireWriter: ~Copyable {
    private var base: UnsafeMutablePointer<UInt8>
    private var capacity: Int
    /// The first byte written so far.
    private var at: Int

    package init(capacity: Int = 4096) {
        self.capacity = max(64, capacity)
        base = .allocate(capacity: self.capacity)
        at = self.capacity
    }

    deinit { base.deallocate() }

    package var count: Int { capacity - at }

    @inline(__always)
    private mutating func reserve(_ more: Int) {
        if at >= more { return }
        let used = capacity - at
        let size = max(capacity * 2, used + more)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: size)
        (larger + (size - used)).update(from: base + at, count: used)
        base.deallocate()
        base = larger
        capacity = size
        at = size - used
    }

    package mutating func varint(_ value: UInt64) {
        let length = max(1, (64 - value.leadingZeroBitCount + 6) / 7)
        reserve(length)
        at -= length
        var rest = value
        for index in 0..<(length - 1) {
            base[at + index] = UInt8(truncatingIfNeeded: rest) | 0x80
            rest >>= 7
        }
        base[at + length - 1] = UInt8(truncatingIfNeeded: rest)
    }

    package mutating func tag(_ number: Int, _ type: WireType) { varint(UInt64(number) << 3 | UInt64(type.rawValue)) }

    package mutating func varint(_ number: Int, _ value: UInt64) {
        varint(value)
        tag(number, .varint)
    }

    package mutating func fixed64(_ number: Int, _ value: UInt64) {
        reserve(8)
        at -= 8
        UnsafeMutableRawPointer(base + at).storeBytes(of: value.littleEndian, as: UInt64.self)
        tag(number, .fixed64)
    }

    package mutating func raw(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard let start = bytes.baseAddress else { return }
        reserve(bytes.count)
        at -= bytes.count
        (base + at).update(from: start, count: bytes.count)
    }

    package mutating func bytes(_ number: Int, _ bytes: [UInt8]) {
        bytes.withUnsafeBufferPointer { raw($0) }
        close(number, since: count - bytes.count)
    }

    package mutating func string(_ number: Int, _ text: String) {
        var text = text
        let before = count
        text.withUTF8 { raw($0) }
        close(number, since: before)
    }

    /// Puts length and tag before what was written since `count` was `mark`.
    package mutating func close(_ number: Int, since mark: Int) {
        varint(UInt64(count - mark))
        tag(number, .bytes)
    }

    package consuming func finish() -> [UInt8] {
        let from = base + at
        let length = capacity - at
        return Array(unsafeUninitializedCapacity: length) { buffer, initialized in
            buffer.baseAddress?.update(from: from, count: length)
            initialized = length
        }
    }
}

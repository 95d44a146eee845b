import CLinux

/// Writes the records of `jangada_records.h`: specs, messages and states, for the sandbox init and for ourselves later.
struct RecordWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put(_ tag: Int, _ numbers: [UInt64] = [], _ strings: [String] = []) {
        var payload: [UInt8] = []
        for string in strings {
            // A NUL would end the string early and shift the ones behind it.
            payload.append(contentsOf: string.utf8.filter { $0 != 0 })
            payload.append(0)
        }
        put(tag, numbers, raw: payload)
    }

    mutating func put(_ tag: Int, _ numbers: [UInt64] = [], raw payload: [UInt8]) {
        precondition(numbers.count <= UInt16.max, "too many numbers in a record")
        let length = numbers.count * 8 + payload.count
        append(UInt32(length))
        append(UInt16(tag))
        append(UInt16(numbers.count))
        for number in numbers { append(number) }
        bytes.append(contentsOf: payload)
        bytes.append(contentsOf: repeatElement(0, count: (8 - length % 8) % 8))
    }

    mutating func append(records: [UInt8]) { bytes.append(contentsOf: records) }

    private mutating func append(_ value: some FixedWidthInteger) {
        withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) }
    }
}

/// One record as read back.
struct Record {
    let tag: Int
    let numbers: [UInt64]
    let payload: ArraySlice<UInt8>
    /// Head, payload and padding: for passing it on unread.
    let whole: ArraySlice<UInt8>

    func number(_ index: Int) -> UInt64 { index < numbers.count ? numbers[index] : 0 }

    var strings: [String] {
        payload.split(separator: 0, omittingEmptySubsequences: false).dropLast().map { String(decoding: $0, as: UTF8.self) }
    }

    func string(_ index: Int) -> String {
        let all = strings
        return index < all.count ? all[index] : ""
    }
}

/// Reads records; what is malformed ends the sequence.
struct RecordReader: Sequence, IteratorProtocol {
    private let bytes: [UInt8]
    private var offset: Int

    init(_ bytes: [UInt8], from offset: Int = 0) {
        self.bytes = bytes
        self.offset = offset
    }

    mutating func next() -> Record? {
        guard bytes.count - offset >= 8 else { return nil }
        let length = Int(load(UInt32.self, offset))
        let tag = Int(load(UInt16.self, offset + 4))
        let count = Int(load(UInt16.self, offset + 6))
        let end = offset + 8 + (length + 7) / 8 * 8
        guard end <= bytes.count, count * 8 <= length else { return nil }
        let numbers = (0..<count).map { load(UInt64.self, offset + 8 + $0 * 8) }
        defer { offset = end }
        return Record(
            tag: tag, numbers: numbers, payload: bytes[(offset + 8 + count * 8)..<(offset + 8 + length)], whole: bytes[offset..<end])
    }

    private func load<T: FixedWidthInteger>(_ type: T.Type, _ at: Int) -> T {
        bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: type) }
    }
}

extension Array where Element == UInt8 {
    func record(_ tag: Int) -> Record? { RecordReader(self).first { $0.tag == tag } }
}

/// The bytes of an object before it has a revision: encoded outside the write queue, completed inside it.
package struct Draft: Sendable {
    package let body: [UInt8]
    /// Where in `body` the revision's decimal digits go, ascending. The digits are inserted; nothing is overwritten.
    package let revisionOffsets: [Int]
    /// Kept beside the body, as given. Byte ranges in it must allow for the digits: `Draft.digits(of:)` says how many.
    package let header: [UInt8]
    /// What the caller knows already and would else derive again from the record (see `Record.derived`). Must not depend
    /// on the revision.
    package let derived: [any AnyObject & Sendable]

    package init(body: [UInt8], revisionOffsets: [Int], header: [UInt8] = [], derived: [any AnyObject & Sendable] = []) {
        var last = 0
        for offset in revisionOffsets {
            precondition(offset >= last && offset <= body.count, "revision offsets ascend within the body")
            last = offset
        }
        self.body = body
        self.revisionOffsets = revisionOffsets
        self.header = header
        self.derived = derived
    }

    var size: Int { body.count + header.count + 20 * revisionOffsets.count }

    /// How many bytes each inserted revision takes.
    package static func digits(of revision: Int64) -> Int {
        var count = 1
        var rest = revision
        while rest >= 10 {
            rest /= 10
            count += 1
        }
        return count
    }

    /// The body with the revision in its places.
    func spliced(_ revision: Int64) -> [UInt8] {
        guard !revisionOffsets.isEmpty else { return body }
        let width = Draft.digits(of: revision)
        let total = body.count + width * revisionOffsets.count
        return [UInt8](unsafeUninitializedCapacity: total) { out, count in
            var read = 0
            var write = 0
            for offset in revisionOffsets {
                for index in read..<offset { out[write + index - read] = body[index] }
                write += offset - read
                read = offset
                var rest = revision
                for place in stride(from: write + width - 1, through: write, by: -1) {
                    out[place] = UInt8(48 + rest % 10)
                    rest /= 10
                }
                write += width
            }
            for index in read..<body.count { out[write + index - read] = body[index] }
            count = total
        }
    }
}

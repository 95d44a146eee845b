extension [[UInt8]] {
    /// The arrays one after another, copied as blocks; `joined` would go byte by byte.
    var flattened: [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(reduce(0) { $0 + $1.count })
        for part in self { out.append(contentsOf: part) }
        return out
    }
}

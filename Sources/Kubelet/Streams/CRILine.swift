import Core

/// One line of a container's log as it is in the file: time, stream, tag, text.
struct CRILine: Equatable {
    let time: Substring
    let isError: Bool
    /// The writer's line goes on in the next one.
    let isPartial: Bool
    let text: Substring

    init?(_ line: Substring) {
        var rest = line
        func word() -> Substring? {
            guard let space = rest.utf8.firstIndex(of: 0x20) else { return nil }
            defer { rest = rest[rest.utf8.index(after: space)...] }
            return rest[..<space]
        }
        guard let time = word(), let stream = word(), stream == "stdout" || stream == "stderr" else { return nil }
        // A line without text may end at its tag.
        let tag: Substring
        if let found = word() { tag = found } else {
            tag = rest
            rest = rest[rest.endIndex...]
        }
        guard tag == "F" || tag == "P" || tag.hasPrefix("F:") || tag.hasPrefix("P:") else { return nil }
        self.time = time
        isError = stream == "stderr"
        isPartial = tag.hasPrefix("P")
        text = rest
    }
}

package import Tree

/// Fields of an object by their paths, as `managedFields` keeps them.
///
/// A step is spelled as in FieldsV1: `f:name` a field or map entry, `k:{"name":"a"}` an item by its keys, `v:"x"` a member of
/// a set, `i:0` an item by place. An entry may itself be a member, have members below it, or both.
package struct FieldSet: Sendable, Equatable {
    package struct Entry: Sendable, Equatable {
        package var isMember = false
        package var below = FieldSet()
    }

    package private(set) var entries: [String: Entry] = [:]

    package init() {}
    package var isEmpty: Bool { entries.isEmpty }
    package subscript(_ step: String) -> Entry? { entries[step] }

    package mutating func insert(_ path: some Collection<String>) {
        guard let step = path.first else { return }
        let rest = path.dropFirst()
        if rest.isEmpty { entries[step, default: Entry()].isMember = true } else { entries[step, default: Entry()].below.insert(rest) }
    }

    /// Leaves out what has become empty.
    private mutating func set(_ step: String, _ entry: Entry) {
        if entry.isMember || !entry.below.isEmpty { entries[step] = entry } else { entries[step] = nil }
    }

    // MARK: Algebra

    package func union(_ other: FieldSet) -> FieldSet {
        if isEmpty { return other }
        var out = self
        for (step, entry) in other.entries {
            guard let mine = entries[step] else {
                out.entries[step] = entry
                continue
            }
            out.entries[step] = Entry(isMember: mine.isMember || entry.isMember, below: mine.below.union(entry.below))
        }
        return out
    }

    package func subtracting(_ other: FieldSet) -> FieldSet {
        var out = self
        for (step, entry) in other.entries {
            guard let mine = entries[step] else { continue }
            out.set(step, Entry(isMember: mine.isMember && !entry.isMember, below: mine.below.subtracting(entry.below)))
        }
        return out
    }

    package func intersection(_ other: FieldSet) -> FieldSet {
        var out = FieldSet()
        for (step, entry) in entries {
            guard let theirs = other.entries[step] else { continue }
            out.set(step, Entry(isMember: entry.isMember && theirs.isMember, below: entry.below.intersection(theirs.below)))
        }
        return out
    }

    /// Without a path and all below it.
    package mutating func remove(_ path: some Collection<String>) {
        guard names(path), let step = path.first, var entry = entries[step] else { return }
        let rest = path.dropFirst()
        if rest.isEmpty {
            entries[step] = nil
        } else {
            // Out of the set while it changes, so that it is not copied.
            entries[step] = nil
            entry.below.remove(rest)
            set(step, entry)
        }
    }

    /// Whether there is an entry at a path.
    private func names(_ path: some Collection<String>) -> Bool {
        guard let step = path.first, let entry = entries[step] else { return false }
        let rest = path.dropFirst()
        return rest.isEmpty || entry.below.names(rest)
    }

    /// The members' paths in upstream's order: those that end at a level before those that go on.
    package var paths: [[String]] {
        let sorted = entries.sorted { $0.key < $1.key }
        return sorted.filter(\.value.isMember).map { [$0.key] } + sorted.flatMap { step, entry in entry.below.paths.map { [step] + $0 } }
    }
}

// MARK: - FieldsV1

extension FieldSet {
    package init(fieldsV1 node: Node) {
        guard case .map(let fields) = node else { return }
        for (step, below) in fields where step != "." {
            let inner = FieldSet(fieldsV1: below)
            entries[step] = Entry(isMember: inner.isEmpty || below.has("."), below: inner)
        }
    }

    package var fieldsV1: Node {
        .map(
            Fields(
                unique: entries.sorted { $0.key < $1.key }.map { step, entry in
                    guard !entry.below.isEmpty else { return .init(key: step, value: [:]) }
                    guard entry.isMember, case .map(let fields) = entry.below.fieldsV1 else { return .init(key: step, value: entry.below.fieldsV1) }
                    return .init(key: step, value: .map(Fields(unique: [.init(key: ".", value: [:])] + Array(fields).map { .init(key: $0.key, value: $0.value) })))
                }))
    }

    /// As conflicts name it: `.spec.containers[name="a"].image`.
    package static func describe(_ path: [String]) -> String {
        path.map { step in
            let rest = String(step.dropFirst(2))
            switch step.prefix(2) {
            case "f:": return "." + rest
            case "v:": return "[=\(rest)]"
            case "k:":
                let keys = (try? Node(json: rest))?.fields.map { "\($0.key)=\($0.value.jsonText)" } ?? []
                return "[\(keys.joined(separator: ","))]"
            default: return "[\(rest)]"
            }
        }.joined()
    }
}

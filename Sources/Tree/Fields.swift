/// The entries of a map in the order they came, keys unique.
///
/// API objects have few keys per map, and their short keys compare as two machine words: a scan beats hashing there.
/// (Building a map checks each key against the ones before it, so parsers use a hashed check past a few dozen keys.)
package struct Fields: Sendable {
    package struct Entry: Sendable, Hashable {
        package let key: String
        package var value: Node
        package init(key: String, value: Node) {
            self.key = key
            self.value = value
        }
    }

    package internal(set) var storage: [Entry] = []

    package init() {}
    /// The last of two equal keys wins, at the place of the first.
    package init(_ entries: some Sequence<(String, Node)>) {
        for (key, value) in entries { self[key] = value }
    }
    /// Takes entries whose keys the caller knows to be unique.
    package init(unique entries: [Entry]) { storage = entries }

    package var count: Int { storage.count }
    package var isEmpty: Bool { storage.isEmpty }
    package var keys: some Sequence<String> { storage.lazy.map(\.key) }

    package func index(of key: String) -> Int? {
        for index in storage.indices where storage[index].key == key { return index }
        return nil
    }

    package subscript(_ key: String) -> Node? {
        get { index(of: key).map { storage[$0].value } }
        set {
            if let index = index(of: key) {
                if let newValue { storage[index].value = newValue } else { storage.remove(at: index) }
            } else if let newValue {
                storage.append(Entry(key: key, value: newValue))
            }
        }
    }

    package mutating func remove(_ key: String) { self[key] = nil }
    package mutating func reserve(_ count: Int) { storage.reserveCapacity(count) }
    /// Appends an entry whose key the caller knows to be new.
    package mutating func appendUnique(_ key: String, _ value: Node) { storage.append(Entry(key: key, value: value)) }
    package mutating func sortByKey() { storage.sort { $0.key < $1.key } }
}

extension Fields: Sequence {
    package func makeIterator() -> some IteratorProtocol<(key: String, value: Node)> {
        storage.lazy.map { (key: $0.key, value: $0.value) }.makeIterator()
    }
}

extension Fields: Hashable {
    package static func == (a: Fields, b: Fields) -> Bool {
        guard a.count == b.count else { return false }
        // Trees are compared with those that they were made from, so that most of their parts are the very same.
        if a.isSame(b) { return true }
        for index in a.storage.indices {
            let entry = a.storage[index]
            if b.storage[index].key == entry.key {
                if b.storage[index].value != entry.value { return false }
            } else if b[entry.key] != entry.value {
                return false
            }
        }
        return true
    }
    private func isSame(_ other: Fields) -> Bool {
        storage.withUnsafeBufferPointer { own in other.storage.withUnsafeBufferPointer { own.baseAddress == $0.baseAddress } }
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(count) }
}

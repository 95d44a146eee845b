import Synchronization

/// One committed revision of one object. Never changes, so any thread may hold it; `body` is what was committed, byte for
/// byte, and so what GET answers and every WATCH sends.
package final class Record: Sendable {
    package let key: Key
    package let revision: Int64
    /// The revision that created the object; a later one of the same name has another.
    package let createRevision: Int64
    /// True for the last revision of an object: the body is its final state, with the deletion's revision.
    package let isDeletion: Bool
    package let body: [UInt8]
    /// What the caller wants to know about the object without decoding the body. Opaque to the store.
    package let header: [UInt8]
    private let slot: Mutex<[any AnyObject & Sendable]>

    init(
        key: Key, revision: Int64, createRevision: Int64, isDeletion: Bool, body: [UInt8], header: [UInt8],
        derived: [any AnyObject & Sendable] = []
    ) {
        self.key = key
        self.revision = revision
        self.createRevision = createRevision
        self.isDeletion = isDeletion
        self.body = body
        self.header = header
        slot = Mutex(derived)
    }

    /// The thing of type `Value` that belongs to this revision (a decoded header, a protobuf form, a tree): kept from the first
    /// call on and then given to all. `make` runs outside the lock and may ask for other derived values; when two threads
    /// come first at once, both make it and one result is kept.
    package func derived<Value: AnyObject & Sendable, Failure: Error>(
        _ type: Value.Type = Value.self, _ make: (Record) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        if let found = existing(type) { return found }
        let made = try make(self)
        return slot.withLock { objects in
            for object in objects { if let found = object as? Value { return found } }
            objects.append(made)
            return made
        }
    }

    /// What `derived` kept, without making it.
    package func existing<Value: AnyObject & Sendable>(_ type: Value.Type = Value.self) -> Value? {
        slot.withLock { objects in
            for object in objects { if let found = object as? Value { return found } }
            return nil
        }
    }

    /// The object has moved on: what is left of this revision is for the past, which few ask about.
    func forgetDerived() {
        let derived = slot.withLock { objects in
            defer { objects = [] }
            return objects
        }
        // Freed here, outside the lock.
        _ = derived
    }

    /// Rough cost in memory, for the bound on history.
    var size: Int { body.count + header.count + 192 }
}

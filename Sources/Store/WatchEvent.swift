/// One change of one object, as watchers see it.
package struct WatchEvent: Sendable {
    package enum Kind: Sendable, Equatable { case create, put, delete }

    /// The new revision; for a deletion the last state with the deletion's revision.
    package let record: Record
    /// What the object was before; nil when it did not exist.
    package let previous: Record?

    package var revision: Int64 { record.revision }
    package var kind: Kind { record.isDeletion ? .delete : previous == nil ? .create : .put }

    package init(record: Record, previous: Record?) {
        self.record = record
        self.previous = previous
    }
}

/// What a subscriber gets at once: the events of one commit (or of the replay) that it asked for, in revision order.
package struct WatchBatch: Sendable {
    package let events: [WatchEvent]
    /// With this batch the subscriber has seen all up to here.
    package let revision: Int64

    package init(events: [WatchEvent], revision: Int64) {
        self.events = events
        self.revision = revision
    }
}

/// Why a subscription ended by itself.
package enum WatchEnd: Sendable, Equatable {
    /// The subscriber took longer than its queue allows; events are lost to it, and it must list anew (410).
    case overflowed
    case closed
}

/// Takes the events of one subscription. Calls never overlap and come in commit order, on the writer's thread (the first,
/// with the replay, on the subscriber's): an implementation must not block, but hand over to its own loop.
package protocol WatchSink: AnyObject, Sendable {
    func deliver(_ batch: WatchBatch)
    /// The last call.
    func ended(_ reason: WatchEnd)
}

/// What a subscriber wants to see: a resource, or one namespace of it, or one name.
package struct WatchInterest: Sendable, Hashable {
    package let resource: String
    package let namespace: String?
    package let name: String?

    package init(_ resource: String, namespace: String? = nil, name: String? = nil) {
        self.resource = resource
        self.namespace = namespace
        self.name = name
    }

    func includes(_ key: Key) -> Bool {
        key.resource == resource && namespace.map { $0 == key.namespace } ?? true && name.map { $0 == key.name } ?? true
    }
}

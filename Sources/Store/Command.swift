/// One step of a transaction. `expected` is the revision the object must be at; nil accepts any.
package enum Command: Sendable {
    /// Fails with `exists` where the key is taken.
    case create(Key, Draft)
    /// Fails with `notFound`, or with `conflict` where the object is at another revision.
    case update(Key, Draft, expected: Int64?)
    /// As `update`; the draft is the object's last state, which DELETED events carry.
    case delete(Key, Draft, expected: Int64?)
    /// Writes nothing: the transaction holds only while the object is at this revision (nil: while it exists).
    case require(Key, expected: Int64?)
    /// The store's small area for facts about itself (cluster id, CA generation). No revision, no event; nil removes.
    case setMeta(String, [UInt8]?)

    var size: Int {
        switch self {
        case .create(_, let draft), .update(_, let draft, _), .delete(_, let draft, _): draft.size
        case .require: 0
        case .setMeta(let key, let value): key.utf8.count + (value?.count ?? 0)
        }
    }
}

package import Tree

/// JSON merge patch, RFC 7386.
package enum MergePatch {
    /// `target` with the patch's keys set, those that the patch has as null removed.
    package static func apply(_ patch: Node, to target: Node) -> Node {
        guard case .map(let changes) = patch else { return patch }
        var out = target.fields
        for (key, change) in changes {
            if change.isNull {
                out.remove(key)
            } else {
                out[key] = apply(change, to: out[key] ?? .null)
            }
        }
        return .map(out)
    }

    /// The smallest patch that makes `new` of `old`. Nulls inside `new` cannot be said by a merge patch; they read as removals.
    package static func between(_ old: Node, _ new: Node) -> Node {
        guard case .map(let before) = old, case .map(let after) = new else { return new }
        var out = Fields()
        for (key, value) in after {
            guard let earlier = before[key] else {
                out.appendUnique(key, value)
                continue
            }
            if earlier == value { continue }
            out.appendUnique(key, between(earlier, value))
        }
        for key in before.keys where after.index(of: key) == nil { out[key] = .null }
        return .map(out)
    }
}

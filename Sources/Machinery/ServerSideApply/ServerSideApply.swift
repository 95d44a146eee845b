package import Core
package import Schema
package import Tree

/// Keeps `metadata.managedFields` on every write, and applies configurations with their conflicts.
///
/// Objects come in canonical form. All sets of an object are read in the version that the request has.
package struct ServerSideApply {
    /// Metadata that the server keeps itself and nobody owns.
    private static let stripped = [
        ["f:apiVersion"], ["f:kind"], ["f:metadata", "f:name"], ["f:metadata", "f:namespace"], ["f:metadata", "f:creationTimestamp"],
        ["f:metadata", "f:selfLink"], ["f:metadata", "f:uid"], ["f:metadata", "f:generation"], ["f:metadata", "f:managedFields"],
        ["f:metadata", "f:resourceVersion"],
    ]

    private let canonical: Canonical
    let type: OwnedType
    let walk: FieldWalk
    private let id: MessageID
    private let now: Timestamp
    /// What this endpoint does not write, each with all below it: `status` on the object, `spec` on its status.
    private let ignored: [[String]]

    /// `ignored`: paths such as `metadata.labels`.
    package init(_ canonical: Canonical, as id: MessageID, ignoring ignored: [String], now: Timestamp) {
        self.canonical = canonical
        self.id = id
        self.now = now
        self.ignored = ignored.map { path in path.split(separator: ".").map { "f:\($0)" } }
        type = OwnedType(shape: .message(id), rules: .none)
        walk = FieldWalk(graph: canonical.graph)
    }

    // MARK: Writes that do not apply

    /// The managed fields after `new` replaced `live` (null at creation). What the client sent as managed fields counts
    /// where it can be read; `[{}]` forgets all.
    /// `tracksElsewhere`: owners of other versions of the object are kept by the caller.
    package func update(live: Node, new: Node, by manager: ManagedFields.Manager, tracksElsewhere: Bool = false) -> Node {
        let sent = new["metadata"]["managedFields"]
        if sent.list.count == 1, sent[0].fields.isEmpty { return .null }
        var managed = ManagedFields()
        if manager.subresource.isEmpty, let theirs = ManagedFields(sent), !theirs.entries.isEmpty {
            managed = theirs
        } else {
            managed = ManagedFields(live["metadata"]["managedFields"]) ?? ManagedFields()
        }
        // An object whose owners nobody tracks stays so until somebody applies.
        if managed.entries.isEmpty, !live.isNull, !tracksElsewhere { return .null }
        let difference = seen(walk.difference(base(live), bare(new), type))
        let changed = difference.modified.union(difference.added)
        release(changed, difference.removed, from: &managed, except: manager)
        let mine = owned(changed)
        managed.set(manager, managed[manager].map { owned($0.subtracting(difference.removed)).union(mine) } ?? mine, at: nil)
        if !mine.isEmpty { managed.touch(manager, now) }
        managed.cap()
        return managed.entries.isEmpty ? .null : managed.node
    }

    // MARK: Apply

    /// Why a configuration cannot be applied, whatever is there; nil where its types are right.
    package static func problem(_ config: Node, as id: MessageID, _ graph: Graph) -> String? {
        AppliedTypes(graph: graph).problem(config, OwnedType(shape: .message(id), rules: .none))
    }

    /// `live` (null when there is none) with the configuration applied, and its managed fields. Throws 409 where another
    /// manager owns what would change, unless `force`.
    package func apply(_ config: Node, to live: Node, by manager: ManagedFields.Manager, force: Bool, tracksElsewhere: Bool = false) throws(APIError) -> Node {
        if config["metadata"].has("managedFields") { throw .badRequest("metadata.managedFields must be nil") }
        if let problem = AppliedTypes(graph: canonical.graph).problem(config, type) {
            throw APIError(
                code: 500, reason: "",
                message: "failed to create typed patch object (\(config.namespace)/\(config.name); \(groupVersion(config)), Kind=\(config.kind)): \(problem)")
        }
        var managed = ManagedFields(live["metadata"]["managedFields"]) ?? ManagedFields()
        if managed.entries.isEmpty, !live.isNull, !tracksElsewhere {
            // What is there already belongs to whoever wrote it before anyone applied.
            let before = ManagedFields.Manager(name: "before-first-apply", operation: "Update", apiVersion: live["apiVersion"].string ?? "")
            managed = ManagedFields(update(live: .null, new: bare(live), by: before)) ?? ManagedFields()
        }
        let last = managed[manager] ?? FieldSet()
        let wanted = owned(walk.fields(of: bare(config), type))
        let current = live.isNull ? Node.emptyMap : bare(live)
        var merged = walk.merge(current, bare(config), type)
        managed.set(manager, wanted, at: nil)
        merged = walk.prune(merged, last, kept: managed.all, type)
        let whole = walk.difference(base(live), merged, type)
        let difference = seen(whole)
        let changed = difference.modified.union(difference.added)
        if !force { try refuseConflicts(changed.subtracting(inherited(live, by: manager)), managed, manager) }
        // What only says again what is there is no change, and leaves no time.
        if !(whole.added.isEmpty && whole.modified.isEmpty && whole.removed.isEmpty) { managed.touch(manager, now) }
        release(changed, difference.removed, from: &managed, except: manager)
        managed.cap()
        keepLastApplied(&merged, config, by: manager)
        merged["metadata"]["managedFields"] = managed.entries.isEmpty ? .null : managed.node
        return merged
    }

    /// Upstream's text: the slash stays where there is no group.
    private func groupVersion(_ config: Node) -> String { config.apiVersion.contains("/") ? config.apiVersion : "/\(config.apiVersion)" }

    private func refuseConflicts(_ changed: FieldSet, _ managed: ManagedFields, _ manager: ManagedFields.Manager) throws(APIError) {
        var found: [(who: String, path: String)] = []
        for entry in managed.entries where entry.manager != manager {
            found += changed.intersection(entry.fields).paths.map { (describe(entry), FieldSet.describe($0)) }
        }
        if let error = ServerSideApply.conflict(found.map { Taken(who: $0.who, path: $0.path) }) { throw error }
    }

    /// The refusal of an apply that would take what others own; nil where it takes nothing.
    package static func conflict(_ found: [Taken]) -> APIError? {
        guard let first = found.first else { return nil }
        var message = "Apply failed with 1 conflict: conflict with \(first.who): \(first.path)"
        if found.count > 1 {
            let managers = Set(found.map(\.who)).sorted()
            let lines = managers.flatMap { who in ["conflicts with \(who):"] + found.filter { $0.who == who }.map { "- \($0.path)" } }
            message = "Apply failed with \(found.count) conflicts: " + lines.joined(separator: "\n")
        }
        return APIError(
            code: 409, reason: "Conflict", message: message,
            details: .init(causes: found.map { .init(reason: "FieldManagerConflict", message: "conflict with \($0.who)", field: $0.path) }))
    }

    private func describe(_ entry: ManagedFields.Entry) -> String {
        var out = FieldError.quoted(entry.manager.name)
        if !entry.manager.subresource.isEmpty { out += " with subresource \(FieldError.quoted(entry.manager.subresource))" }
        if !entry.manager.isApplier { out += " using \(entry.manager.apiVersion)" }
        return out
    }

    // MARK: Other versions

    /// A path that a write takes from another manager.
    package struct Taken: Sendable {
        let who: String
        let path: String
        package init(who: String, path: String) {
            self.who = who
            self.path = path
        }
    }

    /// Who owns a field, given by its steps, as owners of one field of another object that stands for this one.
    package static func owners(of path: [String], _ object: Node, as other: [String], apiVersion: String) -> Node {
        var (wanted, theirs) = (FieldSet(), FieldSet())
        wanted.insert(path)
        theirs.insert(other)
        var managed = ManagedFields(object["metadata"]["managedFields"]) ?? ManagedFields()
        managed.entries.removeAll { $0.fields.intersection(wanted).isEmpty }
        for index in managed.entries.indices {
            managed.entries[index].manager.apiVersion = apiVersion
            managed.entries[index].time = nil
            managed.entries[index].fields = theirs
        }
        return managed.entries.isEmpty ? .null : managed.node
    }

    /// What becomes of entries that are read in this version when an object, in this version, becomes another: what is left of them,
    /// and what of them the write changes.
    package func settle(_ entries: Node, live: Node, new: Node, by manager: ManagedFields.Manager) -> (kept: Node, taken: [Taken]) {
        guard var managed = ManagedFields(entries) else { return (entries, []) }
        let difference = seen(walk.difference(bare(live), bare(new), type))
        let changed = difference.modified.union(difference.added)
        let taken = managed.entries.filter { $0.manager != manager }.flatMap { entry in
            changed.intersection(entry.fields).paths.map { Taken(who: describe(entry), path: FieldSet.describe($0)) }
        }
        release(changed, difference.removed, from: &managed, except: manager)
        return (managed.node, taken)
    }

    // MARK: Helpers

    /// Other managers lose what this write changed or removed.
    private func release(_ changed: FieldSet, _ removed: FieldSet, from managed: inout ManagedFields, except manager: ManagedFields.Manager) {
        for index in managed.entries.indices where managed.entries[index].manager != manager {
            managed.entries[index].fields = managed.entries[index].fields.subtracting(changed).subtracting(removed)
        }
        managed.entries.removeAll { $0.fields.isEmpty }
    }

    private func owned(_ set: FieldSet) -> FieldSet {
        var out = set
        for path in ServerSideApply.stripped { out.remove(path) }
        for path in ignored { out.remove(path) }
        return out
    }

    /// A difference without what this endpoint does not write.
    private func seen(_ difference: FieldWalk.Difference) -> FieldWalk.Difference {
        var out = difference
        for path in ignored {
            out.added.remove(path)
            out.removed.remove(path)
            out.modified.remove(path)
        }
        return out
    }

    /// What Go compares a new object with: its zero value.
    private func base(_ live: Node) -> Node { live.isNull ? canonical.zero(of: id) : bare(live) }

    func bare(_ node: Node) -> Node {
        guard node["metadata"].has("managedFields") else { return node }
        var out = node
        out["metadata"].remove("managedFields")
        return out
    }
}

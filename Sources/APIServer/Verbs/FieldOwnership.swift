import Core
import Kinds
import Machinery
import Schema
import Tree

/// Who owns which fields, kept with every write: the bridge between the verbs and `ServerSideApply`.
struct FieldOwnership {
    private let resource: ServedResource
    private let subresource: String
    private let now: Timestamp
    private let engine: ServerSideApply

    /// Subresources that write fields in somebody's name. Others (binding a pod) are the server's own doing.
    private static let tracked: Set<String> = ["", "status", "scale", "ephemeralcontainers", "resize", "finalize", "approval"]

    static func tracks(_ subresource: String) -> Bool { tracked.contains(subresource) }

    init(_ resource: ServedResource, subresource: String, now: Timestamp) {
        self.resource = resource
        self.subresource = subresource
        self.now = now
        engine = ServerSideApply(
            resource.canonical, as: resource.resource.message, ignoring: FieldOwnership.ignored(resource, subresource), now: now)
    }

    /// What an endpoint leaves as it was.
    private static func ignored(_ resource: ServedResource, _ subresource: String) -> [String] {
        if resource.isCustom {
            guard resource.resource.subresource("status") != nil else { return [] }
            return subresource == "status" ? ["metadata", "spec"] : subresource.isEmpty ? ["status"] : []
        }
        let traits = KindStrategies.of(group: resource.group, kind: resource.kind).traits
        if let told = traits.resetFields[subresource] { return told }
        switch subresource {
        case "status": return ["spec"]
        case "": return resource.resource.subresource("status") == nil ? [] : ["status"]
        default: return []
        }
    }

    private func manager(_ name: String, _ operation: String) -> ManagedFields.Manager {
        ManagedFields.Manager(name: name, operation: operation, subresource: subresource, apiVersion: resource.resource.gvk.apiVersion)
    }

    /// Writes the managed fields of a create, update or patch into the new object. Both are canonical; `old` is null at creation.
    func record(_ object: inout Node, old: Node, by name: String, tracksElsewhere: Bool = false) {
        if !old.isNull, object == old { return }
        let managed = engine.update(live: old, new: object, by: manager(name, "Update"), tracksElsewhere: tracksElsewhere)
        object["metadata"]["managedFields"] = managed
    }

    // MARK: - Versions that a webhook converts

    /// As `record`, where owners of other versions see the change as their version has it.
    func recordAcross(_ object: inout Node, old: Node, by name: String) async throws(APIError) {
        if !old.isNull, object == old { return }
        let foreign = others(old)
        guard !foreign.isEmpty else { return record(&object, old: old, by: name) }
        let before = own(old)
        var now = own(object)
        record(&now, old: before, by: name, tracksElsewhere: true)
        let (kept, _) = try await settle(foreign, old, object, manager(name, "Update"))
        object["metadata"]["managedFields"] = .list(now["metadata"]["managedFields"].list + kept)
    }

    /// As `apply`, with the conflicts of owners of other versions.
    func applyAcross(_ configuration: Node, to current: Node, by name: String, force: Bool) async throws(APIError) -> Node {
        let foreign = others(current).filter { !($0["manager"].string == name && $0["operation"].string == "Apply" && ($0["subresource"].string ?? "") == subresource) }
        guard !foreign.isEmpty else { return try apply(configuration, to: current, by: name, force: force) }
        var merged = try apply(configuration, to: own(current), by: name, force: force, tracksElsewhere: true)
        let (kept, taken) = try await settle(foreign, current, merged, manager(name, "Apply"))
        if !force, let error = ServerSideApply.conflict(taken) { throw error }
        merged["metadata"]["managedFields"] = .list(merged["metadata"]["managedFields"].list + kept)
        return merged
    }

    private func isOwn(_ entry: Node) -> Bool { entry["apiVersion"].string == resource.resource.gvk.apiVersion }

    /// Entries of versions in which the same field may have another name.
    private func others(_ object: Node) -> [Node] {
        guard resource.converter != nil else { return [] }
        return object["metadata"]["managedFields"].list.filter { !isOwn($0) }
    }

    private func own(_ object: Node) -> Node {
        var out = object
        out["metadata"]["managedFields"] = .list(object["metadata"]["managedFields"].list.filter(isOwn))
        return out
    }

    private func settle(_ entries: [Node], _ old: Node, _ new: Node, _ manager: ManagedFields.Manager) async throws(APIError) -> ([Node], [ServerSideApply.Taken]) {
        guard let converter = resource.converter else { return (entries, []) }
        var kept: [Node] = []
        var taken: [ServerSideApply.Taken] = []
        for version in Set(entries.compactMap { $0["apiVersion"].string }).sorted() {
            let theirs = entries.filter { $0["apiVersion"].string == version }
            guard let known = converter.version(version) else {
                kept += theirs
                continue
            }
            let seen = try await converter.convert([bare(old), bare(new)], to: version)
            guard seen.count == 2 else { throw .internalError("a conversion without an object") }
            let engine = ServerSideApply(known.canonical, as: known.message, ignoring: [], now: now)
            let outcome = engine.settle(.list(theirs), live: seen[0], new: seen[1], by: manager)
            kept += outcome.kept.list
            taken += outcome.taken
        }
        return (kept, taken)
    }

    private func bare(_ object: Node) -> Node {
        var out = object
        out["metadata"].remove("managedFields")
        out["kind"] = .string(resource.kind)
        out["apiVersion"] = .string(resource.resource.gvk.apiVersion)
        return out
    }

    /// The current object (null when there is none) with a configuration applied.
    func apply(_ configuration: Node, to current: Node, by name: String, force: Bool, tracksElsewhere: Bool = false) throws(APIError) -> Node {
        try engine.apply(configuration, to: current, by: manager(name, "Apply"), force: force, tracksElsewhere: tracksElsewhere)
    }
}

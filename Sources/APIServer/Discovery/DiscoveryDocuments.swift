import Core
import Machinery
import Schema
import Synchronization
import Tree

/// The documents by which clients learn what is served, made once per change of the catalog.
final class DiscoveryDocuments: Sendable {
    struct Document: Sendable {
        let body: [UInt8]
        /// Quoted SHA-512 is upstream's; any strong tag does.
        let etag: String
    }

    private struct Cache {
        var generation = -1
        var documents: [String: Document] = [:]
    }

    private let catalog: ResourceCatalog
    private let aggregation: AggregatedAPIs?
    private let embedded: [any EmbeddedAPI]
    private let cache = Mutex(Cache())

    init(catalog: ResourceCatalog, aggregation: AggregatedAPIs? = nil, embedded: [any EmbeddedAPI] = []) {
        self.embedded = embedded
        self.catalog = catalog
        self.aggregation = aggregation
    }

    private func cached(_ key: String, _ make: () -> Node) -> Document {
        let generation = catalog.generation &+ (aggregation?.generation ?? 0) &* 1_000_003 &+ embedded.reduce(0) { $0 &+ $1.generation } &* 1_000_000_007
        if let found = cache.withLock({ $0.generation == generation ? $0.documents[key] : nil }) { return found }
        let body = JSONWriter.write(make())
        let document = Document(body: body, etag: "\"\(Encoding.hex(SHA256.hash(body)).uppercased())\"")
        cache.withLock { cache in
            if cache.generation != generation { cache = Cache(generation: generation) }
            cache.documents[key] = document
        }
        return document
    }

    // MARK: - Aggregated (apidiscovery.k8s.io/v2)

    /// `legacy`: the document of /api instead of /apis.
    func aggregated(legacy: Bool) -> Document {
        cached("v2 \(legacy)") {
            let groups = self.groups.filter { $0.name.isEmpty == legacy }
            let items = groups.map { group -> Node in
                let versions = group.versions.map { version -> Node in
                    if let foreign = self.foreign(group.name, version) { return foreign }
                    if let api = self.embedded(group.name) {
                        let list: Node = ["resources": .list(api.resources(version))]
                        return ["version": .string(version), "resources": .list(LegacyDiscovery.resources(list)), "freshness": "Current"]
                    }
                    return [
                        "version": .string(version),
                        "resources": .list(self.resources(group.name, version).map(aggregatedResource)),
                        "freshness": "Current",
                    ]
                }
                let metadata: Node = group.name.isEmpty ? [:] : ["name": .string(group.name)]
                return ["metadata": metadata, "versions": .list(versions)]
            }
            return ["kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": [:], "items": .list(items)]
        }
    }

    /// What another server serves, as it was last heard of it.
    private func foreign(_ group: String, _ version: String) -> Node? {
        let groupVersion = GroupVersion(group: group, version: version)
        guard let aggregation, let entry = aggregation.table.entry(groupVersion) else { return nil }
        return [
            "version": .string(version), "resources": .list(aggregation.description(groupVersion)?.resources ?? []),
            "freshness": entry.isAvailable ? "Current" : "Stale",
        ]
    }

    private func aggregatedResource(_ resource: Schema.Resource) -> Node {
        var out: Node = [
            "resource": .string(resource.name), "responseKind": kindNode(resource.gvk, own: resource.gvk),
            "scope": resource.isNamespaced ? "Namespaced" : "Cluster", "singularResource": .string(resource.singular), "verbs": Node(resource.verbs),
        ]
        if !resource.shortNames.isEmpty { out["shortNames"] = Node(resource.shortNames) }
        if !resource.categories.isEmpty { out["categories"] = Node(resource.categories) }
        if !resource.subresources.isEmpty {
            out["subresources"] = .list(
                resource.subresources.map {
                    ["subresource": .string($0.name), "responseKind": kindNode($0.gvk, own: resource.gvk), "verbs": Node($0.verbs)]
                })
        }
        return out
    }

    /// Upstream leaves the group and version out where they are the resource's own.
    private func kindNode(_ gvk: GroupVersionKind, own: GroupVersionKind) -> Node {
        let isOwn = gvk.group == own.group && gvk.version == own.version
        return ["group": .string(isOwn ? "" : gvk.group), "version": .string(isOwn ? "" : gvk.version), "kind": .string(gvk.kind)]
    }

    // MARK: - Legacy

    func versions(serverAddress: String) -> Node {
        [
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [["clientCIDR": "0.0.0.0/0", "serverAddress": .string(serverAddress)]],
        ]
    }

    func groupList() -> Document {
        cached("groups") {
            ["kind": "APIGroupList", "apiVersion": "v1", "groups": .list(self.groups.filter { !$0.name.isEmpty }.map { groupNode($0) })]
        }
    }

    func group(_ name: String) -> Node? {
        guard let group = groups.first(where: { $0.name == name }), !name.isEmpty else { return nil }
        var node = groupNode(group)
        node["kind"] = "APIGroup"
        node["apiVersion"] = "v1"
        return node
    }

    private func groupNode(_ group: ServedGroup) -> Node {
        let versions = group.versions.map { version -> Node in ["groupVersion": .string("\(group.name)/\(version)"), "version": .string(version)] }
        return ["name": .string(group.name), "versions": .list(versions), "preferredVersion": versions.first ?? .null]
    }

    func resourceList(group: String, version: String) -> Document? {
        guard groups.contains(where: { $0.name == group && $0.versions.contains(version) }) else { return nil }
        return cached("resources \(group)/\(version)") {
            var items = self.embedded(group)?.resources(version) ?? []
            for resource in self.resources(group, version) {
                items.append(legacyResource(resource, stored: self.storage(resource)))
                for subresource in resource.subresources { items.append(legacySubresource(subresource, of: resource)) }
            }
            let groupVersion = group.isEmpty ? version : "\(group)/\(version)"
            return ["kind": "APIResourceList", "apiVersion": "v1", "groupVersion": .string(groupVersion), "resources": .list(items)]
        }
    }

    /// The version that a resource is kept in, as upstream's servers have it: the hash of it is no more than a name.
    private func storage(_ resource: Schema.Resource) -> String {
        switch resource.name {
        case "customresourcedefinitions", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings": return "\(resource.group)/v1beta1"
        case "events": return "/v1"
        default:
            let stored = catalog.resource(resource.gvr)?.storageAPIVersion ?? resource.gvk.apiVersion
            return stored.contains("/") ? stored : "/\(stored)"
        }
    }

    private func legacyResource(_ resource: Schema.Resource, stored: String) -> Node {
        var out: Node = [
            "name": .string(resource.name), "singularName": .string(resource.singular), "namespaced": .bool(resource.isNamespaced),
            "kind": .string(resource.kind), "verbs": Node(resource.verbs),
        ]
        if !resource.shortNames.isEmpty { out["shortNames"] = Node(resource.shortNames) }
        if !resource.categories.isEmpty { out["categories"] = Node(resource.categories) }
        // What is answered and never stored has no version there.
        if resource.verbs == ["create"] || resource.name == "componentstatuses" { return out }
        out["storageVersionHash"] = .string(Encoding.base64(Array(SHA256.hash(Array("\(stored)/\(resource.kind)".utf8)).prefix(8))))
        return out
    }

    private func legacySubresource(_ subresource: Subresource, of resource: Schema.Resource) -> Node {
        var out: Node = [
            "name": .string("\(resource.name)/\(subresource.name)"), "singularName": "", "namespaced": .bool(resource.isNamespaced),
            "kind": .string(subresource.gvk.kind), "verbs": Node(subresource.verbs),
        ]
        if subresource.gvk.group != resource.group || subresource.gvk.version != resource.version {
            if !subresource.gvk.group.isEmpty { out["group"] = .string(subresource.gvk.group) }
            out["version"] = .string(subresource.gvk.version)
        }
        return out
    }

    // MARK: - Groups

    struct ServedGroup {
        let name: String
        var versions: [String]
    }

    /// Built-in groups in the schema's order, then those of custom resources.
    private var groups: [ServedGroup] {
        var out: [ServedGroup] = []
        let all = catalog.all
        for group in catalog.graph.groups {
            let versions = group.versions.filter { version in all.contains { $0.group == group.name && $0.resource.version == version } }
            if !versions.isEmpty { out.append(ServedGroup(name: group.name, versions: versions)) }
        }
        var custom: Set<String> = []
        for served in all where served.isCustom {
            if let index = out.firstIndex(where: { $0.name == served.group }) {
                if !out[index].versions.contains(served.resource.version) { out[index].versions.append(served.resource.version) }
            } else {
                custom.insert(served.group)
                out.append(ServedGroup(name: served.group, versions: [served.resource.version]))
            }
        }
        for index in out.indices where custom.contains(out[index].name) { out[index].versions.sort { VersionPriority($0) < VersionPriority($1) } }
        out = joined(out)
        for api in embedded where !out.contains(where: { $0.name == api.group }) { out.append(ServedGroup(name: api.group, versions: api.versions)) }
        return out
    }

    /// The API of this process that has a group: the catalog and other servers come first.
    func embedded(_ group: String) -> (any EmbeddedAPI)? {
        guard let api = embedded.first(where: { $0.group == group }) else { return nil }
        if aggregation?.table.entries.contains(where: { $0.group == group }) == true { return nil }
        return catalog.all.contains { $0.group == group } ? nil : api
    }

    /// With the group versions of other servers: groups after the built-in ones by their priority, versions by theirs.
    private func joined(_ own: [ServedGroup]) -> [ServedGroup] {
        guard let entries = aggregation?.table.entries, !entries.isEmpty else { return own }
        var out = own
        var foreign: [String: [APIServiceTable.Entry]] = [:]
        for entry in entries { foreign[entry.group, default: []].append(entry) }
        for (group, entries) in foreign.sorted(by: { (-(($0.value.map(\.groupPriority).max() ?? 0)), $0.key) < (-(($1.value.map(\.groupPriority).max() ?? 0)), $1.key) }) {
            let versions = entries.sorted { ($1.versionPriority, VersionPriority($0.version)) < ($0.versionPriority, VersionPriority($1.version)) }.map(\.version)
            if let index = out.firstIndex(where: { $0.name == group }) {
                out[index].versions += versions.filter { !out[index].versions.contains($0) }
            } else {
                out.append(ServedGroup(name: group, versions: versions))
            }
        }
        return out
    }

    private func resources(_ group: String, _ version: String) -> [Schema.Resource] {
        catalog.all.filter { $0.group == group && $0.resource.version == version }.map(\.resource).sorted { $0.name < $1.name }
    }
}

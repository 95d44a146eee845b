/// A version of a group; the core group's name is empty.
package struct GroupVersion: Hashable, Sendable {
    package var group: String
    package var version: String
    package init(group: String, version: String) {
        self.group = group
        self.version = version
    }
}

/// A kind in a version of a group; the core group's name is empty.
package struct GroupVersionKind: Hashable, Sendable, CustomStringConvertible {
    package var group: String
    package var version: String
    package var kind: String
    package init(group: String, version: String, kind: String) {
        self.group = group
        self.version = version
        self.kind = kind
    }
    /// As objects carry it: `v1`, `apps/v1`.
    package var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }
    package var description: String { "\(apiVersion), Kind=\(kind)" }

    /// Splits an object's `apiVersion`; nil when it has more than one slash.
    package init?(apiVersion: String, kind: String) {
        guard let slash = apiVersion.utf8.firstIndex(of: UInt8(ascii: "/")) else {
            self.init(group: "", version: apiVersion, kind: kind)
            return
        }
        let version = apiVersion[apiVersion.utf8.index(after: slash)...]
        guard !version.utf8.contains(UInt8(ascii: "/")) else { return nil }
        self.init(group: String(apiVersion[..<slash]), version: String(version), kind: kind)
    }
}

/// A resource in a version of a group; the core group's name is empty.
package struct GroupVersionResource: Hashable, Sendable, CustomStringConvertible {
    package var group: String
    package var version: String
    package var resource: String
    package init(group: String, version: String, resource: String) {
        self.group = group
        self.version = version
        self.resource = resource
    }
    package var description: String { "\(group.isEmpty ? version : "\(group)/\(version)"), Resource=\(resource)" }
}

/// A group, its versions by preference, and its place in discovery.
package struct APIGroup: Sendable {
    package let name: String
    /// The first is the one preferred.
    package let versions: [String]
}

/// What discovery says of a resource, and how tables print it.
package struct Resource: Sendable {
    package var group: String
    package var version: String
    /// The plural, which paths carry.
    package var name: String
    package var singular: String
    package var kind: String
    package var listKind: String
    package var message: MessageID
    package var list: MessageID?
    package var shortNames: [String]
    package var categories: [String]
    package var isNamespaced: Bool
    /// In discovery's order; empty for a name that only has subresources served.
    package var verbs: [String]
    package var subresources: [Subresource]
    /// Empty where tables have the generic two (Name, Created At). Those of a custom resource begin with its name.
    package var columns: [Column]
    /// JSON paths (`.spec.color`) that field selectors may name besides the metadata; custom resources declare theirs.
    package var selectableFields: [String] = []

    package var gvk: GroupVersionKind { GroupVersionKind(group: group, version: version, kind: kind) }
    package var gvr: GroupVersionResource { GroupVersionResource(group: group, version: version, resource: name) }
    package func subresource(_ name: String) -> Subresource? { subresources.first { $0.name == name } }
    package func allows(_ verb: String) -> Bool { verbs.contains(verb) }
}

/// Something below one object: `status`, `scale`, `exec`, `eviction` …
package struct Subresource: Sendable {
    package var name: String
    /// What it reads and writes: `autoscaling/v1, Kind=Scale` below a Deployment.
    package var gvk: GroupVersionKind
    package var verbs: [String]
    /// Nil for a kind that this graph does not have.
    package var message: MessageID?
    /// Where a custom resource keeps what `scale` shows; nil for built-in resources, whose scale is computed.
    package var scalePaths: ScalePaths?
}

/// The JSON paths of a custom resource's `scale` subresource.
package struct ScalePaths: Sendable, Equatable {
    package var specReplicas: String
    package var statusReplicas: String
    /// Empty when there is none.
    package var labelSelector: String
}

/// A column of a printed table.
package struct Column: Sendable, Equatable {
    package var name: String
    /// OpenAPI's type: `string`, `integer`, `number`, `boolean`, `date`.
    package var type: String
    package var format: String
    /// 0 is always shown; higher ones by `-o wide`.
    package var priority: Int
    /// A custom resource's path to the value; empty for built-in resources, whose cells are computed.
    package var jsonPath: String
    package var description: String

    package init(name: String, type: String = "string", format: String = "", priority: Int = 0, jsonPath: String = "", description: String = "") {
        self.name = name
        self.type = type
        self.format = format
        self.priority = priority
        self.jsonPath = jsonPath
        self.description = description
    }
}

package import Machinery
package import Schema
import Synchronization
import Tree

/// A resource as this server serves it in one version: what discovery says of it, and where its objects are kept.
package final class ServedResource: Sendable {
    package let resource: Schema.Resource
    package let graph: Graph
    /// Of `graph`, shared by all resources of it.
    package let canonical: Canonical
    /// The collection in the store: `pods`, `apps/deployments`. One for all versions of a resource.
    package let collection: String
    /// The apiVersion of the bytes in the store; differs from the served one for a second version.
    package let storageAPIVersion: String
    /// Fields that a field selector may name, beside metadata.name and metadata.namespace.
    package let selectableFields: [SelectableField]
    package let isCustom: Bool
    /// What converts between the versions of a custom resource, where a new apiVersion is not all there is to it.
    package let converter: (any CustomConverter)?
    /// The CEL rules of a custom resource; nil where its schema has none.
    package let rules: CustomRules?
    /// Where the definition of a custom resource is read again, for what is not kept of it.
    package let definition: StoredDefinition?
    /// What documents tell of a custom resource, made when somebody asks for them.
    let pieces = Mutex<[OpenAPIPiece.Form: OpenAPIPiece]>([:])
    /// What a version that is not stored loses and gains by being stored in another; nil for all others.
    package let storageSchema: CustomVersion?
    /// What is said with every answer about a version on its way out.
    package let deprecation: String?
    /// `{"kind":"Pod","apiVersion":"v1",`: how every body of this version begins.
    let head: [UInt8]
    let storageHead: [UInt8]

    /// `storageAPIVersion` is the form that the store keeps the collection in.
    package init(
        _ resource: Schema.Resource, canonical: Canonical, collection: String, storageAPIVersion: String, selectableFields: [SelectableField], isCustom: Bool = false,
        converter: (any CustomConverter)? = nil, rules: CustomRules? = nil, definition: StoredDefinition? = nil, storageSchema: CustomVersion? = nil,
        deprecation: String? = nil
    ) {
        self.storageSchema = storageSchema
        self.deprecation = deprecation
        self.converter = converter
        self.resource = resource
        graph = canonical.graph
        self.canonical = canonical
        self.selectableFields = selectableFields
        self.isCustom = isCustom
        self.rules = rules
        self.definition = definition
        self.collection = collection
        self.storageAPIVersion = storageAPIVersion
        head = ServedResource.head(kind: resource.kind, apiVersion: resource.gvk.apiVersion)
        storageHead = ServedResource.head(kind: resource.kind, apiVersion: storageAPIVersion)
    }

    static func head(kind: String, apiVersion: String) -> [UInt8] { Array("{\"kind\":\"\(kind)\",\"apiVersion\":\"\(apiVersion)\",".utf8) }

    /// Defaults that a definition got later hold for the objects that were there before, when they are read.
    var defaultsOnRead: Bool { isCustom && graph[resource.message].flags.contains(.defaults) }

    func withDefaults(_ object: Node) -> Node {
        guard defaultsOnRead else { return object }
        var object = object
        Defaulting(graph).apply(to: &object, as: resource.message)
        return object
    }

    /// Whether a stored body is in this very version.
    func isOwnVersion(_ body: [UInt8]) -> Bool { body.starts(with: head) }

    /// A stored body behind its kind and apiVersion, which may be those of an earlier storage version.
    func rest(of body: [UInt8]) -> ArraySlice<UInt8> {
        if body.starts(with: storageHead) { return body[storageHead.count...] }
        // `{"kind":"K","apiVersion":"g/v",`: neither name holds a comma.
        guard let first = body.firstIndex(of: 0x2C), let second = body[(first + 1)...].firstIndex(of: 0x2C) else { return body[...] }
        return body[(second + 1)...]
    }

    package var gvr: GroupVersionResource { resource.gvr }
    package var group: String { resource.group }
    package var plural: String { resource.name }
    package var kind: String { resource.kind }
    package var isNamespaced: Bool { resource.isNamespaced }
    package var isStorageVersion: Bool { storageAPIVersion == resource.gvk.apiVersion }
}

/// A field by which lists and watches may be narrowed, and where its value is.
package struct SelectableField: Sendable, Equatable {
    package let name: String
    package let path: [String]
    /// What an absent value counts as: upstream renders booleans and numbers.
    package let absent: String
    /// Where else to look for an absent value.
    package let otherwise: [String]

    package init(_ name: String, path: [String]? = nil, absent: String = "", otherwise: [String] = []) {
        self.name = name
        self.path = path ?? name.split(separator: ".").map(String.init)
        self.absent = absent
        self.otherwise = otherwise
    }
}

/// Upstream's `SelectableFields` of each built-in resource (pkg/registry/*/strategy.go), by collection.
package enum SelectableFields {
    package static func of(_ collection: String) -> [SelectableField] { table[collection] ?? [] }

    private static let table: [String: [SelectableField]] = [
        "pods": [
            SelectableField("spec.nodeName"), SelectableField("spec.restartPolicy"), SelectableField("spec.schedulerName"),
            SelectableField("spec.serviceAccountName"), SelectableField("spec.hostNetwork", absent: "false"), SelectableField("status.phase"),
            SelectableField("status.podIP"), SelectableField("status.podIPs", path: ["status", "podIP"]), SelectableField("status.nominatedNodeName"),
        ],
        "events": events,
        "events.k8s.io/events": events,
        "nodes": [SelectableField("spec.unschedulable", absent: "false")],
        "namespaces": [SelectableField("status.phase")],
        "secrets": [SelectableField("type")],
        "services": [SelectableField("spec.clusterIP"), SelectableField("spec.type")],
        "replicationcontrollers": [SelectableField("status.replicas", absent: "0")],
        "batch/jobs": [SelectableField("status.successful", path: ["status", "succeeded"], absent: "0")],
        "certificates.k8s.io/certificatesigningrequests": [SelectableField("spec.signerName")],
        "certificates.k8s.io/clustertrustbundles": [SelectableField("spec.signerName")],
        "resource.k8s.io/resourceslices": [SelectableField("spec.nodeName"), SelectableField("spec.driver")],
    ]

    private static let events: [SelectableField] = [
        SelectableField("involvedObject.kind"), SelectableField("involvedObject.namespace"), SelectableField("involvedObject.name"),
        SelectableField("involvedObject.uid"), SelectableField("involvedObject.apiVersion"), SelectableField("involvedObject.resourceVersion"),
        SelectableField("involvedObject.fieldPath"), SelectableField("reason"), SelectableField("reportingComponent"),
        SelectableField("source", path: ["source", "component"], otherwise: ["reportingComponent"]), SelectableField("type"),
    ]
}

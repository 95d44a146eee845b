import Core
import Kinds
import Machinery
import Schema
import Store
import Tree

/// Makes the bytes of an answer from records: the stored bytes themselves wherever the client asked for nothing else.
struct Rendering: Sendable {
    let resource: ServedResource
    let format: ResponseFormat
    let conversion: any VersionConversion
    var tableOptions = TableOptions()
    /// Filled by `prepare`.
    let converted = ConvertedRecords()

    struct TableOptions: Sendable {
        /// `includeObject`: None, Metadata (the default) or Object.
        var includeObject = "Metadata"
    }

    /// Whether records can be sent as they are (after their head, for lists and other versions).
    private var sendsStoredBytes: Bool {
        format.encoding == .json && format.shape == .object && !format.isPretty && resource.converter == nil && !resource.defaultsOnRead
            && (resource.isStorageVersion || conversion.isRename(resource))
    }

    // MARK: - One object

    func object(_ record: Record) throws(APIError) -> [UInt8] {
        if sendsStoredBytes { return resource.isStorageVersion && !resource.isCustom ? record.body : resource.head + resource.rest(of: record.body) }
        return try encode(shape(served(record)))
    }

    /// The object in the served version.
    func served(_ record: Record) throws(APIError) -> Node {
        if let node = converted[record] { return resource.withDefaults(node) }
        let node = try record.node()
        return resource.withDefaults(resource.isStorageVersion && !resource.isCustom ? node : try conversion.convert(node, to: resource))
    }

    /// Asks the webhook that converts a custom resource for what cannot be sent as it is stored. Before the records are rendered.
    func prepare(_ records: [Record]) async throws(APIError) {
        guard resource.converter != nil else { return }
        let foreign = records.filter { !resource.isOwnVersion($0.body) && converted[$0] == nil }
        guard !foreign.isEmpty else { return }
        var nodes: [Node] = []
        for record in foreign { nodes.append(try record.node()) }
        converted.set(foreign, try await conversion.served(nodes, as: resource))
    }

    /// Renders an object that is no record: a dry run's outcome, a Scale, a Status.
    func object(_ node: Node) throws(APIError) -> [UInt8] { try encode(shape(node)) }

    func shape(_ node: Node) throws(APIError) -> Node {
        switch format.shape {
        case .object, .discoveryV2: return node
        case .partialMetadata: return partialMetadata(node)
        case .partialMetadataList: throw refuse("PartialObjectMetadataList", "not a list (\(goType(resource.kind)))")
        case .table: return try table([node], listMetadata: ["resourceVersion": node["metadata"]["resourceVersion"]])
        }
    }

    private func partialMetadata(_ node: Node) -> Node {
        ["kind": "PartialObjectMetadata", "apiVersion": .string("meta.k8s.io/\(format.shapeVersion)"), "metadata": outward(node)["metadata"]]
    }

    /// Without the annotations that are fields within upstream.
    private func outward(_ node: Node) -> Node {
        let hidden = resource.isCustom ? [] : KindStrategies.of(group: resource.group, kind: resource.kind).traits.hiddenAnnotations
        guard !hidden.isEmpty, case .map(let annotations) = node["metadata"]["annotations"] else { return node }
        let left = annotations.filter { !hidden.contains($0.key) }.map { ($0.key, $0.value) }
        var out = node
        if left.isEmpty { out["metadata"].remove("annotations") } else { out["metadata"]["annotations"] = .map(Fields(left)) }
        return out
    }

    func encode(_ node: Node) throws(APIError) -> [UInt8] {
        switch format.encoding {
        case .json: return format.isPretty ? JSONWriter.writePretty(node) : JSONWriter.write(node)
        case .yaml: return YAMLWriter.write(node)
        case .protobuf: return try ProtobufCodec(resource.canonical).encodeObject(node)
        }
    }

    // MARK: - Lists

    struct ListMetadata {
        var revision: Int64
        var continueToken = ""
        var remaining: Int?

        /// Lists of custom resources name the token also where there is none.
        var alwaysContinues = false

        var node: Node {
            var out: Node = ["resourceVersion": .string(String(revision))]
            if !continueToken.isEmpty || alwaysContinues { out["continue"] = .string(continueToken) }
            if let remaining { out["remainingItemCount"] = .int(Int64(remaining)) }
            return out
        }
    }

    /// Upstream's word for the type of a list or an object.
    private func goType(_ kind: String) -> String { resource.isCustom ? "*unstructured.Unstructured\(kind == resource.kind ? "" : "List")" : "*\(BodyDecoder.internalPackage(resource.resource.gvk)).\(kind)" }

    private func refuse(_ shape: String, _ what: String) -> APIError {
        .notAcceptable("you requested \(shape), but the requested object is \(what)")
    }

    func list(_ records: [Record], _ metadata: ListMetadata) throws(APIError) -> [ArraySlice<UInt8>] {
        if format.shape == .partialMetadata { throw refuse("PartialObjectMetadata", "a list (\(goType(resource.resource.listKind)))") }
        if sendsStoredBytes { return storedList(records, metadata) }
        if format.shape == .table {
            var rows: [Node] = []
            for record in records { rows.append(try served(record)) }
            return [try encode(try table(rows, listMetadata: metadata.node))[...]]
        }
        var items: [Node] = []
        items.reserveCapacity(records.count)
        for record in records {
            let node = try served(record)
            if format.shape == .object {
                items.append(node)
            } else {
                items.append(partialMetadata(node))
            }
        }
        let isPartial = format.shape != .object
        let kind = isPartial ? "PartialObjectMetadataList" : resource.resource.listKind
        let apiVersion = isPartial ? "meta.k8s.io/\(format.shapeVersion)" : resource.resource.gvk.apiVersion
        if !isPartial, !resource.isCustom { for index in items.indices { Rendering.dropType(&items[index]) } }
        return [try encode(["kind": .string(kind), "apiVersion": .string(apiVersion), "metadata": node(of: metadata), "items": .list(items)])[...]]
    }

    /// A list of objects that no store holds.
    func virtualList(_ objects: [Node]) throws(APIError) -> [UInt8] {
        if format.shape == .table { return try encode(try table(objects, listMetadata: [:])) }
        var items = objects
        for index in items.indices { Rendering.dropType(&items[index]) }
        return try encode([
            "kind": .string(resource.resource.listKind), "apiVersion": .string(resource.resource.gvk.apiVersion), "metadata": [:], "items": .list(items),
        ])
    }

    /// Items of a typed list carry neither kind nor apiVersion; a custom resource's items carry both.
    private static func dropType(_ node: inout Node) {
        node.remove("kind")
        node.remove("apiVersion")
    }

    // A body without its head lacks the brace, and items of a custom resource keep their type.
    private var itemOpening: [UInt8] { resource.isCustom ? resource.head : [0x7B] }

    private func node(of metadata: ListMetadata) -> Node {
        var metadata = metadata
        metadata.alwaysContinues = resource.isCustom && format.shape == .object
        return metadata.node
    }

    private func listHead(_ metadata: ListMetadata) -> [UInt8] {
        ServedResource.head(kind: resource.resource.listKind, apiVersion: resource.resource.gvk.apiVersion) + Array("\"metadata\":".utf8)
            + JSONWriter.write(node(of: metadata)) + Array(",\"items\":[".utf8)
    }

    /// A list whose items are sent as they are stored, to be packed in runs that are kept.
    struct PackableList: Sendable {
        fileprivate let head: [UInt8]
        fileprivate let records: [Record]
        fileprivate let shape: [UInt8]
        fileprivate let opening: [UInt8]
        fileprivate let skip: Int

        var size: Int { records.reduce(head.count) { $0 + $1.body.count + 1 + opening.count - skip } }

        func packed(_ lists: PackedLists) -> [ArraySlice<UInt8>] {
            var first: [ArraySlice<UInt8>] = [head[...]]
            if let record = records.first { first += [opening[...], record.body[skip...]] }
            return lists.list(head: first, records.dropFirst(), shape: shape, separator: [0x2C] + opening, skip: skip, tail: [0x5D, 0x7D])
        }
    }

    /// Nil where each item has to be made.
    func packable(_ records: [Record], _ metadata: ListMetadata) -> PackableList? {
        guard sendsStoredBytes else { return nil }
        let shape = Array(resource.collection.utf8) + [0] + itemOpening
        return PackableList(head: listHead(metadata), records: records, shape: shape, opening: itemOpening, skip: resource.storageHead.count)
    }

    /// The stored bytes themselves with what belongs between them: nothing is copied before it is sent.
    private func storedList(_ records: [Record], _ metadata: ListMetadata) -> [ArraySlice<UInt8>] {
        let skip = resource.storageHead.count
        let opening = itemOpening
        var parts: [ArraySlice<UInt8>] = []
        parts.reserveCapacity(2 * records.count + 2)
        var head = listHead(metadata)
        if !records.isEmpty { head += opening }
        parts.append(head[...])
        let next = ([0x2C] + opening)[...]
        for (index, record) in records.enumerated() {
            if index > 0 { parts.append(next) }
            parts.append(record.body[skip...])
        }
        parts.append(([0x5D, 0x7D] as [UInt8])[...])
        return parts
    }

    // MARK: - Tables

    private func table(_ objects: [Node], listMetadata: Node) throws(APIError) -> Node {
        var (columns, cells): (Resource, (any Cells)?) = (resource.resource, nil)
        if resource.isCustom {
            cells = ColumnCells(columns)
        } else if objects.first?.kind == "Scale" {
            columns.columns = [Column(name: "Name"), Column(name: "Desired", type: "integer"), Column(name: "Available", type: "integer"), Column(name: "Age")]
            cells = KindCells.of(group: "autoscaling", kind: "Scale")
        } else {
            cells = KindCells.of(group: resource.group, kind: resource.kind)
        }
        let printer = Table(columns, cells)
        let include = Table.Include(rawValue: tableOptions.includeObject) ?? .metadata
        let shown = include == .metadata ? objects.map(outward) : objects
        return printer.table(shown, metadata: listMetadata, include, version: format.shapeVersion, now: Timestamp.now())
    }

    // MARK: - Watch events

    /// What stands before and after the stored bytes in a frame of a watch stream; nil where they cannot be sent as they are.
    /// So the bytes of a record are one array for all watchers.
    func storedFrame(_ kind: String, _ record: Record) -> (head: [UInt8], tail: [UInt8])? {
        guard sendsStoredBytes, resource.isStorageVersion, !resource.isCustom || resource.isOwnVersion(record.body) else { return nil }
        return (WatchFrames.head(kind), WatchFrames.tail)
    }

    /// One frame of a watch stream.
    func frame(_ kind: String, _ record: Record) throws(APIError) -> [UInt8] { try frame(kind, try shape(served(record))) }

    func frame(_ kind: String, _ node: Node) throws(APIError) -> [UInt8] {
        switch format.encoding {
        case .json, .yaml: return WatchFrames.join(kind, JSONWriter.write(node))
        case .protobuf: return try ProtobufCodec(resource.canonical).encodeWatchEvent(kind, node)
        }
    }

    /// A bookmark of the watched type; `initialEventsEnd` marks the end of a WatchList's first part.
    func bookmark(_ revision: Int64, initialEventsEnd: Bool) throws(APIError) -> [UInt8] {
        var metadata: Node = ["resourceVersion": .string(String(revision))]
        if initialEventsEnd { metadata["annotations"] = ["k8s.io/initial-events-end": "true"] }
        var node: Node = ["kind": .string(resource.kind), "apiVersion": .string(resource.resource.gvk.apiVersion), "metadata": metadata]
        // An object of the kind without anything in it: typed clients read what every such object has.
        if !resource.isCustom {
            for (key, value) in resource.canonical.zero(of: resource.resource.message).fields where !node.has(key) { node[key] = value }
        }
        if format.shape == .partialMetadata || format.shape == .partialMetadataList {
            node = partialMetadata(node)
        } else if format.shape == .table {
            node = try table([node], listMetadata: ["resourceVersion": .string(String(revision))])
        }
        return try frame("BOOKMARK", node)
    }
}

/// What JSON watch frames have around the object.
enum WatchFrames {
    private static let added = opening("ADDED")
    private static let modified = opening("MODIFIED")
    private static let deleted = opening("DELETED")
    static let tail: [UInt8] = [0x7D, 0x0A]

    private static func opening(_ kind: String) -> [UInt8] { Array("{\"type\":\"\(kind)\",\"object\":".utf8) }

    static func head(_ kind: String) -> [UInt8] {
        switch kind {
        case "ADDED": added
        case "MODIFIED": modified
        case "DELETED": deleted
        default: opening(kind)
        }
    }

    static func join(_ kind: String, _ body: [UInt8]) -> [UInt8] { head(kind) + body + tail }
}

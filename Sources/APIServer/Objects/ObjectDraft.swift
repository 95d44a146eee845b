import Machinery
import Store
import Tree

/// Turns an object into the bytes that are stored, with the place left open where the writer puts the revision.
///
/// Every body starts `{"kind":…,"apiVersion":…,"metadata":{"resourceVersion":"`: so the place is known without a search, and a
/// list or another version of the same shape can replace the head without decoding.
enum ObjectDraft {
    static let metadataOpening = Array("\"metadata\":{\"resourceVersion\":\"".utf8)

    /// `object` is in the storage version. Its resourceVersion, if any, is not used.
    static func make(_ object: Node, _ resource: ServedResource) -> Draft {
        var metadata = object["metadata"].fields
        metadata.remove("resourceVersion")
        var ordered = Fields()
        ordered.reserve(object.fields.count)
        ordered.appendUnique("kind", .string(resource.kind))
        ordered.appendUnique("apiVersion", .string(resource.storageAPIVersion))
        var opened = Fields(unique: [Fields.Entry(key: "resourceVersion", value: "")])
        opened.reserve(metadata.count + 1)
        for (key, value) in metadata { opened.appendUnique(key, value) }
        ordered.appendUnique("metadata", .map(opened))
        for (key, value) in object.fields where key != "kind" && key != "apiVersion" && key != "metadata" { ordered.appendUnique(key, value) }
        let body = JSONWriter.write(.map(ordered))
        let offset = resource.storageHead.count + metadataOpening.count
        return Draft(body: body, revisionOffsets: [offset], header: ObjectHeader.encode(object, fields: resource.selectableFields))
    }
}

/// The tree of a committed record, kept with it while somebody in this process watches the resource.
final class ParsedObject: Sendable {
    let node: Node
    init(_ node: Node) { self.node = node }
}

extension Record {
    /// The object in its storage version. A body that the store gives back was written by us: what does not parse is lost data.
    func node() throws(APIError) -> Node {
        if let parsed = existing(ParsedObject.self) { return parsed.node }
        return try decode()
    }

    /// The same, kept with the record for the next who asks.
    func sharedNode() throws(APIError) -> Node {
        try derived(ParsedObject.self) { (record: Record) throws(APIError) in ParsedObject(try record.decode()) }.node
    }

    private func decode() throws(APIError) -> Node {
        do { return try JSONReader.read(body) } catch {
            throw APIError.internalError("the stored object \(key) at revision \(revision) does not parse: \(error)")
        }
    }
}

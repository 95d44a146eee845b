import Machinery
import Schema
import Synchronization
import Transport
import Tree

/// The OpenAPI documents, emitted from the schema when somebody asks and kept packed. They are joined from pieces, of which a change of a
/// definition makes its own again and no other: so a document is there at once, however many definitions there are.
final class OpenAPIDocuments: Sendable {
    /// What version 2 tells of all built-in resources.
    private struct BuiltIn {
        let frame: Node
        let parameters: Fields
        let piece: OpenAPIPiece
    }

    /// A version 3 document that custom resources are in.
    private struct Joined {
        let pieces: [OpenAPIPiece]
        let document: OpenAPIDocument
    }

    private let catalog: ResourceCatalog
    private let aggregation: AggregatedAPIs?
    private let emitter: OpenAPIEmitter
    private let pieces: OpenAPIPieces
    private let builtIns = Mutex<[OpenAPIPiece.Form: BuiltIn]>([:])
    /// Of version 3, of built-in resources alone.
    private let documents = Mutex<[String: OpenAPIDocument]>([:])
    private let joined = Mutex<[String: Joined]>([:])
    /// What tells of everything, until anything changes.
    private let whole = Mutex<[String: (generation: Int, document: OpenAPIDocument)]>([:])

    init(catalog: ResourceCatalog, aggregation: AggregatedAPIs? = nil) {
        self.catalog = catalog
        self.aggregation = aggregation
        emitter = OpenAPIEmitter(catalog.graph)
        pieces = OpenAPIPieces(emitter)
    }

    private func whole(_ key: String, _ make: () -> OpenAPIDocument) -> OpenAPIDocument {
        let generation = catalog.generation &+ (aggregation?.generation ?? 0) &* 1_000_003
        if let found = whole.withLock({ $0[key] }), found.generation == generation { return found.document }
        let made = make()
        whole.withLock { $0[key] = (generation, made) }
        return made
    }

    // MARK: - Version 2

    /// The one document of all, in JSON or (as kubectl asks) protobuf.
    func v2(accept: String) -> OpenAPIDocument {
        let names = ["application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"]
        let isProtobuf = names.contains { accept.contains($0) }
        return whole(isProtobuf ? "v2 protobuf" : "v2") { v2(isProtobuf ? .v2Protobuf : .v2) }
    }

    private func v2(_ form: OpenAPIPiece.Form) -> OpenAPIDocument {
        let customs = customs()
        let builtIn = builtIn(form)
        let own = customs.sorted { $0.key < $1.key }.flatMap(\.value).map { pieces.piece(form, of: $0) }
        var all = [builtIn.piece] + own
        if let foreign = foreign(besides: customs) {
            all.append(OpenAPIPiece(paths: foreign["paths"].fields, definitions: foreign["definitions"].fields, form))
        }
        var parameters = builtIn.parameters
        for (name, value) in pieces.parameters(of: own, besides: parameters) { parameters.appendUnique(name, value) }
        let digests = all.map(\.digest)
        if form == .v2Protobuf {
            var head = builtIn.frame
            head["parameters"] = .map(parameters)
            return OpenAPIDocument(
                [GzipPart([OpenAPIProtobuf.encode(head)[...]])] + all.compactMap(\.paths), digests: digests,
                contentType: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        }
        let places = [all.compactMap(\.paths), all.compactMap(\.definitions), [GzipPart([OpenAPIPiece.entries(parameters)])]]
        return OpenAPIDocument(OpenAPIFrame(builtIn.frame).filled(places), digests: digests)
    }

    private func builtIn(_ form: OpenAPIPiece.Form) -> BuiltIn {
        if let found = builtIns.withLock({ $0[form] }) { return found }
        let document = emitter.v2(builtIn)
        var frame = document
        for key in ["paths", "definitions", "parameters"] { frame[key] = [:] }
        let made = BuiltIn(
            frame: frame, parameters: document["parameters"].fields,
            piece: OpenAPIPiece(paths: document["paths"].fields, definitions: document["definitions"].fields, form))
        builtIns.withLock { $0[form] = made }
        return made
    }

    /// The paths and definitions of other servers; what is known already stays.
    private func foreign(besides customs: [String: [ServedResource]]) -> Node? {
        let entries = (aggregation?.table.entries ?? []).sorted { $0.name < $1.name }
        let documents = entries.compactMap { aggregation?.description($0.groupVersion)?.openAPIv2 }.filter { !$0.isNull }
        guard !documents.isEmpty else { return nil }
        let own = emitter.v2(builtIn)
        var known = ["paths": Set(own["paths"].fields.keys), "definitions": Set(own["definitions"].fields.keys)]
        for served in customs.values.joined() {
            let names = OpenAPIEmitter.names(of: served.resource, in: served.graph)
            known["paths"]?.formUnion(names.paths)
            known["definitions"]?.formUnion(names.definitions)
        }
        var out: Node = ["paths": [:], "definitions": [:]]
        for document in documents {
            for part in ["paths", "definitions"] {
                for (key, value) in document[part].fields where known[part]?.insert(key).inserted == true { out[part][key] = value }
            }
        }
        return out
    }

    // MARK: - Version 3

    /// Which documents there are in v3, each with its hash, by which clients keep them for ever.
    func v3Index() -> OpenAPIDocument { whole("v3", makeV3Index) }

    private func makeV3Index() -> OpenAPIDocument {
        var paths = Fields()
        let customs = customs()
        // Custom resources have no documents of their groups.
        for path in Set(OpenAPIEmitter.v3Documents(builtIn) + customs.keys).sorted() {
            paths[path] = ["serverRelativeURL": .string("/openapi/v3/\(path)?hash=\(v3(path, customs[path] ?? []).hash)")]
        }
        joined.withLock { joined in joined = joined.filter { customs[$0.key] != nil } }
        for entry in aggregation?.table.entries ?? [] {
            if let url = aggregation?.description(entry.groupVersion)?.openAPI { paths["apis/\(entry.group)/\(entry.version)"] = ["serverRelativeURL": .string(url)] }
        }
        return OpenAPIDocument(["paths": .map(paths)])
    }

    func v3(_ path: String) throws(APIError) -> OpenAPIDocument {
        let resources = catalog.all.filter { $0.isCustom && OpenAPIEmitter.document(of: $0.resource) == path }.sorted { $0.plural < $1.plural }
        guard !resources.isEmpty || OpenAPIEmitter.v3Documents(builtIn).contains(path) else { throw APIError.pathNotFound }
        return v3(path, resources)
    }

    private func v3(_ path: String, _ resources: [ServedResource]) -> OpenAPIDocument {
        guard resources.isEmpty else { return joined(path, resources.map { pieces.piece(.v3, of: $0) }) }
        if let found = documents.withLock({ $0[path] }) { return found }
        let made = OpenAPIDocument(emitter.v3(path, builtIn))
        documents.withLock { $0[path] = made }
        return made
    }

    private func joined(_ path: String, _ own: [OpenAPIPiece]) -> OpenAPIDocument {
        if let found = joined.withLock({ $0[path] }), found.pieces.elementsEqual(own, by: ===) { return found.document }
        var (paths, definitions) = (Fields(), Fields())
        // A definition may add to a built-in group version.
        if OpenAPIEmitter.v3Documents(builtIn).contains(path) {
            let document = emitter.v3(path, builtIn)
            (paths, definitions) = (document["paths"].fields, document["components"]["schemas"].fields)
        }
        let builtIn = OpenAPIPiece(paths: paths, definitions: definitions, .v3)
        let shared = pieces.definitions(of: own, besides: definitions)
        let all = [builtIn] + own
        let head = OpenAPIFrame(emitter.v3Frame)
        let parts = head.filled([all.compactMap(\.paths), (shared.map { [$0.part] } ?? []) + all.compactMap(\.definitions)])
        let document = OpenAPIDocument(parts, digests: [head.digest] + (shared.map { [$0.digest] } ?? []) + all.map(\.digest))
        joined.withLock { $0[path] = Joined(pieces: own, document: document) }
        return document
    }

    // MARK: - What there is

    private var builtIn: [Schema.Resource] { catalog.all.filter { !$0.isCustom }.map(\.resource) }

    /// By the version 3 document that tells of them; always in the same order, since hashes depend on it.
    private func customs() -> [String: [ServedResource]] {
        Dictionary(grouping: catalog.all.filter(\.isCustom)) { OpenAPIEmitter.document(of: $0.resource) }.mapValues { resources in
            resources.sorted { $0.plural < $1.plural }
        }
    }
}

import Core
import Machinery
import Schema
import Synchronization
import Tree

/// The OpenAPI documents, emitted from the schema when somebody asks and kept packed. A change of a definition makes work for its own group
/// version only: so a document is there at once, however many definitions there are.
final class OpenAPIDocuments: Sendable {
    private let catalog: ResourceCatalog
    private let aggregation: AggregatedAPIs?
    private let emitter: OpenAPIEmitter
    private let documents = Mutex<[String: OpenAPIDocument]>([:])
    private let pieces = Mutex<[String: OpenAPIPiece]>([:])
    /// What tells of everything, until anything changes.
    private let whole = Mutex<[String: (generation: Int, document: OpenAPIDocument)]>([:])

    init(catalog: ResourceCatalog, aggregation: AggregatedAPIs? = nil) {
        self.catalog = catalog
        self.aggregation = aggregation
        emitter = OpenAPIEmitter(catalog.graph)
    }

    /// The one document of all, in JSON or (as kubectl asks) protobuf.
    func v2(accept: String) -> OpenAPIDocument {
        let names = ["application/com.github.proto-openapi.spec.v2@v1.0+protobuf", "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"]
        let isProtobuf = names.contains { accept.contains($0) }
        return whole(isProtobuf ? "v2 protobuf" : "v2") { v2(isProtobuf: isProtobuf) }
    }

    private func whole(_ key: String, _ make: () -> OpenAPIDocument) -> OpenAPIDocument {
        let generation = catalog.generation &+ (aggregation?.generation ?? 0) &* 1_000_003
        if let found = whole.withLock({ $0[key] }), found.generation == generation { return found.document }
        let made = make()
        whole.withLock { $0[key] = (generation, made) }
        return made
    }

    private func v2(isProtobuf: Bool) -> OpenAPIDocument {
        let customs = customs()
        var parts = [piece("", [], isProtobuf) { emitter.v2(builtIn) }]
        for (path, resources) in customs.sorted(by: { $0.key < $1.key }) {
            parts.append(piece(path, resources, isProtobuf) { emitter.v2([], besides: OpenAPIDocuments.graphs(resources)) })
        }
        pieces.withLock { pieces in pieces = pieces.filter { $0.value.resources.isEmpty || customs[String($0.key.dropFirst(2))] != nil } }
        if let foreign = foreign(besides: customs) { parts.append(OpenAPIPiece(foreign, [], isProtobuf: isProtobuf)) }
        return OpenAPIDocument(v2: parts, isProtobuf: isProtobuf)
    }

    private func piece(_ path: String, _ resources: [ServedResource], _ isProtobuf: Bool, _ make: () -> Node) -> OpenAPIPiece {
        let key = (isProtobuf ? "p " : "j ") + path
        if let found = pieces.withLock({ $0[key] }), OpenAPIDocuments.same(found.resources, resources) { return found }
        let made = OpenAPIPiece(make(), resources, isProtobuf: isProtobuf)
        pieces.withLock { $0[key] = made }
        return made
    }

    /// Which documents there are in v3, each with its hash, by which clients keep them for ever.
    func v3Index() -> OpenAPIDocument { whole("v3", makeV3Index) }

    private func makeV3Index() -> OpenAPIDocument {
        var paths = Fields()
        let customs = customs()
        // Custom resources have no documents of their groups.
        for path in Set(OpenAPIEmitter.v3Documents(builtIn) + customs.keys).sorted() {
            paths[path] = ["serverRelativeURL": .string("/openapi/v3/\(path)?hash=\(v3(path, customs[path] ?? []).hash)")]
        }
        documents.withLock { documents in documents = documents.filter { $0.value.resources.isEmpty || customs[$0.key] != nil } }
        for entry in aggregation?.table.entries ?? [] {
            if let url = aggregation?.description(entry.groupVersion)?.openAPI { paths["apis/\(entry.group)/\(entry.version)"] = ["serverRelativeURL": .string(url)] }
        }
        return OpenAPIDocument(["paths": .map(paths)])
    }

    func v3(_ path: String) throws(APIError) -> OpenAPIDocument {
        let resources = customs()[path] ?? []
        guard !resources.isEmpty || OpenAPIEmitter.v3Documents(builtIn).contains(path) else { throw APIError.pathNotFound }
        return v3(path, resources)
    }

    private func v3(_ path: String, _ resources: [ServedResource]) -> OpenAPIDocument {
        if let found = documents.withLock({ $0[path] }), OpenAPIDocuments.same(found.resources, resources) { return found }
        let made = OpenAPIDocument(emitter.v3(path, builtIn, besides: OpenAPIDocuments.graphs(resources)), resources)
        documents.withLock { $0[path] = made }
        return made
    }

    /// The paths and definitions of other servers; what is known already stays.
    private func foreign(besides customs: [String: [ServedResource]]) -> Node? {
        let entries = (aggregation?.table.entries ?? []).sorted { $0.name < $1.name }
        let documents = entries.compactMap { aggregation?.description($0.groupVersion)?.openAPIv2 }.filter { !$0.isNull }
        guard !documents.isEmpty else { return nil }
        let own = emitter.v2(builtIn, besides: customs.values.flatMap(OpenAPIDocuments.graphs))
        var out: Node = ["paths": [:], "definitions": [:]]
        for document in documents {
            for part in ["paths", "definitions"] {
                for (key, value) in document[part].fields where own[part][key].isNull && out[part][key].isNull { out[part][key] = value }
            }
        }
        return out
    }

    private var builtIn: [Schema.Resource] { catalog.all.filter { !$0.isCustom }.map(\.resource) }

    /// By the version 3 document that tells of them.
    private func customs() -> [String: [ServedResource]] {
        Dictionary(grouping: catalog.all.filter(\.isCustom)) { OpenAPIEmitter.document(of: $0.resource) }
    }

    private static func same(_ a: [ServedResource], _ b: [ServedResource]) -> Bool { a.elementsEqual(b, by: ===) }

    /// Each custom resource has a graph of its own.
    private static func graphs(_ resources: [ServedResource]) -> [(graph: Graph, resources: [Schema.Resource])] {
        resources.map { (graph: $0.graph, resources: [$0.resource]) }
    }
}

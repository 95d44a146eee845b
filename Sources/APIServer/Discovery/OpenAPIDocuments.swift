import Core
import Machinery
import Schema
import Synchronization
import Tree

/// The OpenAPI documents, emitted from the schema once per change of the catalog and only when somebody asks.
final class OpenAPIDocuments: Sendable {
    struct Document: Sendable {
        let body: [UInt8]
        let contentType: String
        let hash: String
    }

    private struct Cache {
        var generation = -1
        var documents: [String: Document] = [:]
    }

    private let catalog: ResourceCatalog
    private let aggregation: AggregatedAPIs?
    private let cache = Mutex(Cache())

    init(catalog: ResourceCatalog, aggregation: AggregatedAPIs? = nil) {
        self.catalog = catalog
        self.aggregation = aggregation
    }

    private func cached(_ key: String, contentType: String, _ make: () throws(APIError) -> [UInt8]) throws(APIError) -> Document {
        let generation = catalog.generation &+ (aggregation?.generation ?? 0) &* 1_000_003
        if let found = cache.withLock({ $0.generation == generation ? $0.documents[key] : nil }) { return found }
        let body = try make()
        let document = Document(body: body, contentType: contentType, hash: Encoding.hex(SHA256.hash(body)).uppercased())
        cache.withLock { cache in
            if cache.generation != generation { cache = Cache(generation: generation) }
            cache.documents[key] = document
        }
        return document
    }

    /// The one document of all, in JSON or (as kubectl asks) protobuf.
    func v2(accept: String) throws(APIError) -> Document {
        let protobuf = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
        if accept.contains(protobuf) || accept.contains("application/com.github.proto-openapi.spec.v2.v1.0+protobuf") {
            return try cached("v2 protobuf", contentType: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf") { () throws(APIError) in
                // What is ours alone goes out without the whole tree in memory.
                guard hasForeign else { return OpenAPIEmitter(catalog.graph).v2Protobuf(builtIn, besides: customs(catalog.all)) }
                return OpenAPIProtobuf.encode(joined(OpenAPIEmitter(catalog.graph).v2(builtIn, besides: customs(catalog.all))))
            }
        }
        return try cached("v2", contentType: "application/json") { () throws(APIError) in
            JSONWriter.write(joined(OpenAPIEmitter(catalog.graph).v2(builtIn, besides: customs(catalog.all))))
        }
    }

    /// Which documents there are in v3, each with its hash, by which clients keep them for ever.
    func v3Index() throws(APIError) -> Document {
        try cached("v3", contentType: "application/json") { () throws(APIError) in
            var paths = Fields()
            for path in documents() {
                let document = try v3(path)
                paths[path] = ["serverRelativeURL": .string("/openapi/v3/\(path)?hash=\(document.hash)")]
            }
            for entry in aggregation?.table.entries ?? [] {
                if let url = aggregation?.description(entry.groupVersion)?.openAPI { paths["apis/\(entry.group)/\(entry.version)"] = ["serverRelativeURL": .string(url)] }
            }
            return JSONWriter.write(["paths": .map(paths)])
        }
    }

    func v3(_ path: String) throws(APIError) -> Document {
        guard documents().contains(path) else { throw APIError.pathNotFound }
        return try cached("v3 \(path)", contentType: "application/json") { () throws(APIError) in
            let others = catalog.all.filter { $0.isCustom && OpenAPIEmitter.document(of: $0.resource) == path }
            return JSONWriter.write(OpenAPIEmitter(catalog.graph).v3(path, builtIn, besides: customs(others)))
        }
    }

    /// With the paths and definitions of other servers; a definition that is known already stays.
    private func joined(_ own: Node) -> Node {
        guard let aggregation else { return own }
        var out = own
        for entry in aggregation.table.entries.sorted(by: { $0.name < $1.name }) {
            guard let foreign = aggregation.description(entry.groupVersion)?.openAPIv2 else { continue }
            for part in ["paths", "definitions"] {
                for (key, value) in foreign[part].fields where out[part][key].isNull { out[part][key] = value }
            }
        }
        return out
    }

    private var hasForeign: Bool {
        aggregation?.table.entries.contains { aggregation?.description($0.groupVersion)?.openAPIv2.isNull == false } ?? false
    }

    private var builtIn: [Schema.Resource] { catalog.all.filter { !$0.isCustom }.map(\.resource) }

    /// Each custom resource has a graph of its own.
    private func customs(_ resources: [ServedResource]) -> [(graph: Graph, resources: [Schema.Resource])] {
        resources.filter(\.isCustom).map { (graph: $0.graph, resources: [$0.resource]) }
    }

    /// Custom resources have no documents of their groups.
    private func documents() -> [String] {
        Set(OpenAPIEmitter.v3Documents(builtIn) + catalog.all.filter(\.isCustom).map { OpenAPIEmitter.document(of: $0.resource) }).sorted()
    }
}

import Core
import Machinery
import Schema
import Synchronization
import Transport
import Tree

/// The pieces of all custom resources, each made once, and what they have in common, kept once.
final class OpenAPIPieces: Sendable {
    private struct Shared {
        /// Pieces with the same names hold the same list of them.
        var lists: Set<[String]> = []
        /// Of version 2.
        var parameters: [String: Node] = [:]
        /// Of version 3: `"name":{…}`.
        var definitions: [String: ArraySlice<UInt8>] = [:]
        var packed: [[String]: (part: GzipPart, digest: [UInt8])] = [:]
    }

    private let emitter: OpenAPIEmitter
    private let shared = Mutex(Shared())

    init(_ emitter: OpenAPIEmitter) { self.emitter = emitter }

    /// Belongs to the resource: a changed definition has other resources.
    func piece(_ form: OpenAPIPiece.Form, of served: ServedResource) -> OpenAPIPiece {
        if let found = served.pieces.withLock({ $0[form] }) { return found }
        var (graph, resource) = (served.graph, served.resource)
        if let described = served.definition?.graph, let its = described.resources.first { (graph, resource) = (described, its) }
        let part = emitter.part(form.version, of: resource, in: graph)
        let names = form == .v3 ? part.shared.sorted() : part.parameters.keys.sorted()
        let isKnown = shared.withLock { shared in part.shared.allSatisfy { shared.definitions[$0] != nil } }
        let definitions = form == .v3 && !isKnown ? emitter.shared(.v3, of: resource, in: graph) : Fields()
        let list = shared.withLock { shared in
            for (name, value) in part.parameters { shared.parameters[name] = value }
            for name in names { if let value = definitions[name] { shared.definitions[name] = OpenAPIPiece.entries(Fields([(name, value)])) } }
            return shared.lists.insert(names).memberAfterInsert
        }
        let made = OpenAPIPiece(paths: part.paths, definitions: part.definitions, shared: list, form)
        served.pieces.withLock { $0[form] = made }
        return made
    }

    /// What these pieces refer to, without what is in the document anyway.
    private static func names(_ pieces: [OpenAPIPiece], besides known: Fields) -> [String] {
        // Nearly all have the same list, which costs nothing to compare.
        var lists: [[String]] = []
        for piece in pieces where !lists.contains(piece.shared) { lists.append(piece.shared) }
        return Set(lists.joined()).filter { known.index(of: $0) == nil }.sorted()
    }

    func parameters(of pieces: [OpenAPIPiece], besides known: Fields) -> Fields {
        let names = OpenAPIPieces.names(pieces, besides: known)
        return shared.withLock { shared in
            Fields(unique: names.compactMap { name in shared.parameters[name].map { Fields.Entry(key: name, value: $0) } })
        }
    }

    /// Nil where there is nothing that is not known.
    func definitions(of pieces: [OpenAPIPiece], besides known: Fields) -> (part: GzipPart, digest: [UInt8])? {
        let names = OpenAPIPieces.names(pieces, besides: known)
        guard !names.isEmpty else { return nil }
        return shared.withLock { shared in
            if let found = shared.packed[names] { return found }
            let text = Array(names.compactMap { shared.definitions[$0] }.joined(separator: [0x2C]))
            let made = (part: GzipPart([text[...]]), digest: SHA256.hash(text))
            shared.packed[names] = made
            return made
        }
    }
}

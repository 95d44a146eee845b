import Core
import Machinery
import Schema
import Transport
import Tree

/// Part of an OpenAPI document of version 2, and what it was made from. Packed, since definitions are many and documents are rarely asked
/// for: a kept piece is a tenth of its text.
final class OpenAPIPiece: Sendable {
    /// The custom resources in it, as they were served then.
    let resources: [ServedResource]
    /// The document without its long parts.
    let frame: Node
    /// Entries without what is around and between them; nil for none. Protobuf has both in `paths`.
    let paths: GzipPart?
    let definitions: GzipPart?
    let parameters: Fields
    let digest: [UInt8]

    /// `document` is a whole one; of custom resources only what begins with their own names counts, since the rest is in the built-in piece.
    init(_ document: Node, _ resources: [ServedResource], isProtobuf: Bool) {
        var rest = document
        var paths = document["paths"].fields
        var definitions = document["definitions"].fields
        if let place = resources.first?.resource {
            let types = place.group.split(separator: ".").reversed().joined(separator: ".") + ".\(place.version)."
            paths = Fields(unique: paths.storage.filter { $0.key.hasPrefix("/apis/\(place.group)/\(place.version)/") })
            definitions = Fields(unique: definitions.storage.filter { $0.key.hasPrefix(types) })
        }
        for key in ["paths", "definitions", "parameters"] { rest[key] = [:] }
        frame = rest
        parameters = document["parameters"].fields
        self.resources = resources
        if isProtobuf {
            // Messages that come in several pieces are one message: so protobuf documents are pieces in a row.
            let bytes = OpenAPIProtobuf.encode(["paths": .map(paths), "definitions": .map(definitions)])
            self.paths = GzipPart([bytes[...]])
            self.definitions = nil
            digest = SHA256.hash(bytes)
        } else {
            let texts = [OpenAPIPiece.entries(paths), OpenAPIPiece.entries(definitions)]
            let parts = texts.map { $0.isEmpty ? nil : GzipPart([$0]) }
            self.paths = parts[0]
            self.definitions = parts[1]
            digest = SHA256.hash(texts.flatMap { SHA256.hash(Array($0)) })
        }
    }

    static func entries(_ fields: Fields) -> ArraySlice<UInt8> { JSONWriter.write(.map(fields)).dropFirst().dropLast() }
}

/// A whole document, in the parts it is kept in.
final class OpenAPIDocument: Sendable {
    /// The custom resources in it, as they were served then.
    let resources: [ServedResource]
    let parts: [GzipPart]
    let contentType: String
    let hash: String

    /// A text of its own.
    init(_ document: Node, _ resources: [ServedResource] = []) {
        let text = JSONWriter.write(document)
        parts = [GzipPart([text[...]])]
        contentType = "application/json"
        hash = Encoding.hex(SHA256.hash(text)).uppercased()
        self.resources = resources
    }

    /// The pieces in the frame of the first.
    init(v2 pieces: [OpenAPIPiece], isProtobuf: Bool) {
        var frame = pieces.first?.frame ?? [:]
        var parameters = Fields()
        for piece in pieces { for (name, value) in piece.parameters where parameters.index(of: name) == nil { parameters.appendUnique(name, value) } }
        if isProtobuf {
            frame["parameters"] = .map(parameters)
            parts = [GzipPart([OpenAPIProtobuf.encode(frame)[...]])] + pieces.compactMap(\.paths)
            contentType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
        } else {
            // Nothing else of the frame is empty.
            let text = String(decoding: JSONWriter.write(frame), as: UTF8.self).split(separator: "{}", omittingEmptySubsequences: false)
            let places = [pieces.compactMap(\.paths), pieces.compactMap(\.definitions), [GzipPart([OpenAPIPiece.entries(parameters)])], []]
            var parts: [GzipPart] = []
            for (index, (words, entries)) in zip(text, places).enumerated() {
                parts.append(GzipPart([Array("\(index > 0 ? "}" : "")\(words)\(index < places.count - 1 ? "{" : "")".utf8)[...]]))
                for entry in entries.indices { parts += entry > 0 ? [OpenAPIDocument.comma, entries[entry]] : [entries[entry]] }
            }
            self.parts = parts
            contentType = "application/json"
        }
        hash = Encoding.hex(SHA256.hash(pieces.flatMap(\.digest))).uppercased()
        resources = []
    }

    private static let comma = GzipPart([[0x2C]])

    var size: Int { parts.reduce(0) { $0 + $1.count } }
}

import Core
import Machinery
import Transport
import Tree

/// What documents of one form tell of one custom resource. Packed, since definitions are many and documents are rarely asked for: a kept
/// piece is a tenth of its text.
final class OpenAPIPiece: Sendable {
    enum Form: Hashable, Sendable {
        case v2, v2Protobuf, v3
        var version: OpenAPI.Version { self == .v3 ? .v3 : .v2 }
    }

    /// Entries without what is around and between them; nil for none. Protobuf has both in `paths`.
    let paths: GzipPart?
    let definitions: GzipPart?
    /// The names of what it refers to and a document has once: of parameters in version 2, of definitions in version 3.
    let shared: [String]
    let digest: [UInt8]

    init(paths: Fields, definitions: Fields, shared: [String] = [], _ form: Form) {
        self.shared = shared
        if form == .v2Protobuf {
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

/// A document without its long parts, which stand in it as empty objects.
struct OpenAPIFrame {
    private let words: [Substring]
    let digest: [UInt8]

    /// Nothing else of it may be empty.
    init(_ document: Node) {
        let text = JSONWriter.write(document)
        words = String(decoding: text, as: UTF8.self).split(separator: "{}", omittingEmptySubsequences: false)
        digest = SHA256.hash(text)
    }

    /// With entries in each of the places, in the order of the text.
    func filled(_ places: [[GzipPart]]) -> [GzipPart] {
        var parts: [GzipPart] = []
        for (index, (words, entries)) in zip(words, places + [[]]).enumerated() {
            parts.append(GzipPart([Array("\(index > 0 ? "}" : "")\(words)\(index < places.count ? "{" : "")".utf8)[...]]))
            for entry in entries.indices { parts += entry > 0 ? [OpenAPIFrame.comma, entries[entry]] : [entries[entry]] }
        }
        return parts
    }

    private static let comma = GzipPart([[0x2C]])
}

/// A whole document, in the parts it is kept in.
final class OpenAPIDocument: Sendable {
    let parts: [GzipPart]
    let contentType: String
    /// Tells documents apart that differ in anything.
    let hash: String

    /// A text of its own.
    init(_ document: Node) {
        let text = JSONWriter.write(document)
        parts = [GzipPart([text[...]])]
        contentType = "application/json"
        hash = Encoding.hex(SHA256.hash(text)).uppercased()
    }

    /// `digests` are those of all that went into the parts.
    init(_ parts: [GzipPart], digests: [[UInt8]], contentType: String = "application/json") {
        self.parts = parts
        self.contentType = contentType
        hash = Encoding.hex(SHA256.hash(digests.flatMap { $0 })).uppercased()
    }

    var size: Int { parts.reduce(0) { $0 + $1.count } }
}

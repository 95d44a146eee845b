import Tree

/// Reads schema text into a `GraphBuilder`, one pass over the bytes.
///
/// The grammar, line by line; `#` starts a comment, an indented line belongs to the block above it:
///
///     package apps group=apps openapi=io.k8s.api.apps     the core group is `-`; `outside` = the server knows no options of it
///     version v1                                          what follows is of this version
///     version v1beta2 like v1 without A B                 types that do not follow here are as in v1, but for A and B
///     resource deployments Deployment namespaced short=deploy categories=all
///       /scale autoscaling/v1.Scale verbs=get,patch,update
///       | "Node Selector" string format=name priority=1
///     kind Deployment list                                has apiVersion and kind; `list`: there is a DeploymentList too
///       metadata 1 meta/v1.ObjectMeta                     JSON name, protobuf tag or -, type, attributes
///       = spec.paused false                               a default that holds for this kind, where its types are shared with others
///     type RuleWithOperations
///       -        2 Rule inline                            `-`: inline in JSON
///     enum RestartPolicy Always Never OnFailure           texts of a type of their own; without values any text will do
///
/// Types are as in Go: `*T` pointer, `[]T`, `map[string]T`; `items[]string` is a list that protobuf wraps in a message.
/// The attributes and their order are in `SchemaText+Fields.swift`. Whatever is not known is an error with its line.
struct SchemaText {
    typealias Bytes = UnsafeBufferPointer<UInt8>
    /// A token's place in the bytes.
    typealias Token = Range<Int>

    var bytes = Bytes(start: nil, count: 0)
    var file = ""
    var line = 0
    /// Where the next line starts.
    var position = 0
    /// The rest of the line being read.
    var cursor = 0
    var lineEnd = 0
    var indented = false

    var builder = GraphBuilder()
    var names = Interner()

    // Where we are.
    var package = Package()
    var version = Version()
    var versions: [Version] = []
    var block = Block.none
    /// The type whose lines are being read.
    var open: OpenType?

    // What was seen.
    /// Qualified names (`core/v1.Pod`) that have a message, an enumeration or are only referred to so far.
    var enums: [String: [Node]] = ["types.UID": [], "types.NodeName": []]
    var unresolved: [String: (file: String, line: Int)] = [:]
    /// Types by the text of their token within a version, and what attributes come to by their text.
    var localTypes: [UInt64: TypeUse] = [:]
    var sharedAttributes: [UInt64: AttributeUse] = [:]
    /// What types of texts come to by themselves, by version and name.
    var typeRules: [String: RulesID] = [:]
    var sources: [String: [TypeSource]] = [:]

    struct Package {
        var name = ""
        var group = ""
        var openAPI = ""
        var outside = false
    }

    struct Version {
        var group = ""
        var name = ""
        /// `apps/v1`, the qualifier of its types.
        var qualifier = ""
        var openAPI = ""
        var outside = false
        /// The version it is like, and the types that it lacks.
        var base = ""
        var without: Set<String> = []
    }

    /// The lines of a type or enumeration, kept for versions that are like its own.
    struct TypeSource {
        let name: String
        let range: Range<Int>
        let line: Int
    }

    enum Block { case none, type, resource }

    struct OpenType {
        let id: MessageID
        let start: Int
        let line: Int
        var hasList: Bool
        var union = Union()
        var defaults: [Rules.PathDefault] = []
        var rules = Rules()
        var draft: GraphBuilder.Draft
    }

    init() { builder.messageIndex.reserveCapacity(1024) }

    func fail(_ message: String) -> SchemaError { SchemaError(place: file, line: line, message: message) }
}

// MARK: - Lines and tokens

extension SchemaText {
    /// Moves to the next line that says something; false at the end.
    mutating func nextLine(before end: Int) -> Bool {
        while position < end {
            var stop = position
            while stop < end, bytes[stop] != UInt8(ascii: "\n") { stop += 1 }
            line += 1
            cursor = position
            lineEnd = stop
            position = stop + 1
            indented = cursor < lineEnd && bytes[cursor] == UInt8(ascii: " ")
            skipSpaces()
            if cursor < lineEnd, bytes[cursor] != UInt8(ascii: "#") { return true }
        }
        return false
    }

    mutating func skipSpaces() {
        while cursor < lineEnd, bytes[cursor] == UInt8(ascii: " ") { cursor += 1 }
    }

    /// The next token of the line: up to a space outside of quotes. Nil at the end or where a comment starts.
    mutating func next() -> Token? {
        skipSpaces()
        guard cursor < lineEnd, bytes[cursor] != UInt8(ascii: "#") else { return nil }
        let start = cursor
        var quoted = false
        while cursor < lineEnd {
            let byte = bytes[cursor]
            if byte == UInt8(ascii: "\"") { quoted.toggle() }
            if byte == UInt8(ascii: "\\"), quoted { cursor += 1 }
            if byte == UInt8(ascii: " "), !quoted { break }
            cursor += 1
        }
        cursor = min(cursor, lineEnd)
        return start..<cursor
    }

    mutating func need(_ what: StaticString) throws(SchemaError) -> Token {
        guard let token = next() else { throw fail("\(what) missing") }
        return token
    }

    mutating func string(_ token: Token) -> String { names.string(bytes, token) }

    /// The token as text, without its quotes if it has any.
    mutating func text(_ token: Token) throws(SchemaError) -> String {
        guard !token.isEmpty, bytes[token.lowerBound] == UInt8(ascii: "\"") else { return string(token) }
        guard case .string(let text) = try value(token) else { throw fail("text expected") }
        return text
    }

    /// Splits `key=value`; the value is nil for a bare word.
    func split(_ token: Token) -> (key: Token, value: Token?) {
        for index in token where bytes[index] == UInt8(ascii: "=") {
            return (token.lowerBound..<index, index + 1..<token.upperBound)
        }
        return (token, nil)
    }

    mutating func list(_ token: Token?) -> [String] {
        guard let token, !token.isEmpty else { return [] }
        var out: [String] = []
        var start = token.lowerBound
        for index in token where bytes[index] == UInt8(ascii: ",") {
            out.append(string(start..<index))
            start = index + 1
        }
        out.append(string(start..<token.upperBound))
        return out
    }
}

/// Gives equal bytes the same string, so that the graph holds each name once.
struct Interner {
    private var slots: [Int32]
    private var strings: [String] = []
    private var hashes: [UInt64] = []

    init() {
        slots = Array(repeating: -1, count: 16384)
        strings.reserveCapacity(4096)
        hashes.reserveCapacity(4096)
    }

    static func hash(_ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> UInt64 {
        NameHash.of(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: bytes[range])), seed: 0)
    }

    mutating func string(_ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> String {
        let hash = Interner.hash(bytes, range)
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: hash ^ (hash >> 32)) & mask
        while slots[slot] >= 0 {
            let index = Int(slots[slot])
            // 64 bits and the length have to do: the text is the binary's own, and a test compares all of it with what is published.
            if hashes[index] == hash, strings[index].utf8.count == range.count { return strings[index] }
            slot = (slot + 1) & mask
        }
        let string = String(decoding: UnsafeBufferPointer(rebasing: bytes[range]), as: UTF8.self)
        slots[slot] = Int32(strings.count)
        strings.append(string)
        hashes.append(hash)
        if strings.count * 2 > slots.count { grow() }
        return string
    }

    private mutating func grow() {
        slots = Array(repeating: -1, count: slots.count * 2)
        let mask = slots.count - 1
        for (index, hash) in hashes.enumerated() {
            var slot = Int(truncatingIfNeeded: hash ^ (hash >> 32)) & mask
            while slots[slot] >= 0 { slot = (slot + 1) & mask }
            slots[slot] = Int32(index)
        }
    }
}

import Schema

/// One verb at one path, whatever the document's version.
struct OpenAPIRoute: Sendable {
    struct Parameter: Hashable, Sendable {
        enum Place: String, Sendable { case path, query }
        let name: String
        let place: Place
        let type: String

        init(_ name: String, _ type: String = "string", in place: Place = .query) {
            self.name = name
            self.place = place
            self.type = type
        }
    }

    /// What a body or an answer is.
    enum Schema: Sendable {
        case text
        case own(MessageID)
        /// A type that every graph knows of and only the built-in one has.
        case shared(String)
    }

    var path: String
    var method: String
    var id: String
    var tag: String
    /// What it does, in a few words.
    var text = ""
    /// Absent where there is no kind: discovery.
    var action = ""
    var kind: GroupVersionKind?
    var parameters: [Parameter] = []
    var body: Schema?
    var consumes = ["*/*"]
    var produces: [String]
    var codes = ["200"]
    var answer = Schema.text

    /// What the bodies and answers of routes are: messages of their graph, and of the built-in one.
    static func schemas(_ routes: [OpenAPIRoute]) -> (own: [MessageID], shared: [MessageID]) {
        var own: [MessageID] = []
        var shared: [MessageID] = []
        for schema in routes.flatMap({ [$0.body, $0.answer].compactMap { $0 } }) {
            switch schema {
            case .text: break
            case .own(let id): own.append(id)
            case .shared(let name): if let id = Graph.builtIn.message(named: name) { shared.append(id) }
            }
        }
        return (own, shared)
    }

    /// Letters and digits of a name, each part after the first (or the first too) beginning with a capital.
    static func identifier(_ text: some StringProtocol, isCapitalized: Bool = true) -> String {
        var out = ""
        var isFirst = isCapitalized
        for (index, character) in text.enumerated() {
            if character.isLetter || character == "_" || index > 0 && character.isNumber {
                out += isFirst ? character.uppercased() : String(character)
                isFirst = false
            } else {
                isFirst = true
            }
        }
        return out
    }

    /// `rbac.authorization.k8s.io` as names of operations and tags have it.
    static func trimmed(_ group: String) -> String {
        group.isEmpty ? "core" : group.hasSuffix(".k8s.io") ? String(group.dropLast(7)) : group
    }
}

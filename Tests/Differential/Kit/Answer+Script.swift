import Core
import Transport
import Tree

/// Answers to scripts: more is looked at than in sweeps (headers, who owns which field, streams of events).
extension Answer {
    /// Headers that differ from answer to answer, or with the protocol.
    private static let volatileHeaders: Set<String> = [
        "date", "audit-id", "content-length", "etag", "x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid", "transfer-encoding",
        "connection", "warning", "last-modified",
    ]

    init(_ reply: Server.Reply) {
        var headers: [String] = []
        for field in reply.headers.fields where !Self.volatileHeaders.contains(field.name.lowercased()) {
            headers.append("\(field.name.lowercased()): \(field.value)")
        }
        self.init(
            code: reply.status, warnings: reply.headers.values("warning").map(Self.timeless).sorted(), headers: headers.sorted(),
            plain: Self.plainScript(Self.parsed(reply)))
    }

    private static func parsed(_ reply: Server.Reply) -> Node {
        let type = reply.headers["content-type"] ?? ""
        if type.hasPrefix("application/vnd.kubernetes.protobuf") { return .string("protobuf") }
        if type.hasPrefix("application/yaml"), let node = try? YAMLReader.read(reply.body) { return node }
        if let node = try? JSONReader.read(reply.body) { return node }
        let lines = reply.body.split(separator: 0x0a)
        let events = lines.compactMap { try? JSONReader.read(Array($0)) }
        if !events.isEmpty, events.count == lines.count { return .list(events) }
        return .string(String(decoding: reply.body, as: UTF8.self))
    }

    nonisolated(unsafe) private static let identifier = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/
    nonisolated(unsafe) private static let time = /20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/
    nonisolated(unsafe) private static let credential = /X509SHA256=[0-9a-f]{64}/
    /// Also of days and years: what is asked may tell times of its own.
    nonisolated(unsafe) private static let age = /\d+[ydhms](\d+[dhms])?/

    private static func timeless(_ text: String) -> String {
        text.utf8.count < 20 ? text : text.replacing(identifier, with: "UID").replacing(time, with: "TIME").replacing(credential, with: "CREDENTIAL")
    }

    private static func plainScript(_ node: Node) -> Node {
        switch node {
        case .map(let fields):
            var out = Fields()
            for (key, value) in fields { out.appendUnique(key, field(key, value, of: node)) }
            out.sortByKey()
            return .map(out)
        case .list(let items): return .list(items.map(plainScript))
        case .string(let text): return .string(text.hasPrefix("kube-api-access-") ? "kube-api-access" : timeless(text))
        default: return node
        }
    }

    private static func field(_ key: String, _ value: Node, of parent: Node) -> Node {
        switch (key, value) {
        case ("resourceVersion", .string(let text)): return .string(text.isEmpty || text == "0" ? text : "VERSION")
        case ("continue", .string(let text)): return .string(text.isEmpty ? "" : "TOKEN")
        case ("token", .string): return "TOKEN"
        // The digest of the certificate that asked.
        case ("authentication.kubernetes.io/credential-id", .list): return "CREDENTIAL"
        // With the hash of a document that has descriptions.
        case ("serverRelativeURL", .string(let text)): return .string(text.replacing(/hash=[0-9A-F]+/, with: "hash=HASH"))
        // Where the server listens.
        case ("serverAddress", .string): return "ADDRESS"
        case ("targetPort", .int(let port)) where port > 10_000: return "PORT"
        case ("columnDefinitions", _): return undescribed(value)
        // In the order of a Go map.
        case ("nonResourceRules", .list(let rules)), ("resourceRules", .list(let rules)):
            return .list(rules.map(plainScript).sorted { $0.jsonText < $1.jsonText })
        // Upstream sorts them by seconds, and names conflicts in the order of a Go map.
        case ("managedFields", .list(let entries)): return .list(ordered(entries.map(plainScript), by: ["operation", "manager", "subresource", "apiVersion"]))
        case ("causes", .list(let causes)) where causes.allSatisfy { $0["reason"].string == "FieldManagerConflict" }:
            return .list(ordered(causes.map(plainScript), by: ["message", "field"]))
        case ("cells", .list(let cells)):
            return .list(cells.map { cell in cell.string.flatMap { try? age.wholeMatch(in: $0) } == nil ? plainScript(cell) : "AGE" })
        case ("name", .string(let text)):
            guard let prefix = parent["generateName"].string, text.hasPrefix(prefix), text.count == prefix.count + 5 else { return plainScript(value) }
            return .string(prefix + "GENERATED")
        default: return plainScript(value)
        }
    }

    private static func ordered(_ items: [Node], by keys: [String]) -> [Node] {
        func rank(_ item: Node) -> [String] { keys.map { item[$0].string ?? "" } }
        return items.sorted { rank($0).lexicographicallyPrecedes(rank($1)) }
    }

    nonisolated(unsafe) private static let current = /(?:current|resource version|ResourceVersion in object meta): \d+(?: \(\d+\))?/

    /// Without what was taken from earlier answers of the same server.
    func forgetting(_ variables: [String: String]) -> Answer {
        guard let message else { return self }
        var body = body
        body["message"] = .string(Self.forgetting(message, variables))
        if case .list(var causes) = body["details"]["causes"] {
            for index in causes.indices {
                if let text = causes[index]["message"].string { causes[index]["message"] = .string(Self.forgetting(text, variables)) }
            }
            body["details"]["causes"] = .list(causes)
        }
        return Answer(code: code, warnings: warnings, headers: headers, plain: body)
    }

    private static func forgetting(_ message: String, _ variables: [String: String]) -> String {
        let revisionless = message.replacing(/in record \(\d+\)/, with: "in record (N)").replacing(/\\?"resourceVersion\\?":\\?"\d+\\?"/, with: "VERSION")
        var text = revisionless.replacing(Self.current) { match in String(match.output.prefix { $0 != ":" }) + ": N" }
        for (name, value) in variables where value.utf8.count > 1 { text = text.replacing(value, with: "${\(name)}") }
        return text
    }

    /// Texts for people are every server's own.
    func withoutDescriptions() -> Answer { Answer(code: code, warnings: warnings, headers: headers, plain: Self.undescribed(body)) }

    /// With them goes what follows from them: that a described reference of OpenAPI's version 3 stands in `allOf`, and the hash of a
    /// parameter's text by which version 2 refers to it.
    private static func undescribed(_ node: Node) -> Node {
        switch node {
        case .map(let fields):
            var out = Fields()
            for (key, value) in fields where key != "description" || value.string == nil { out.appendUnique(key, undescribed(value)) }
            out.sortByKey()
            if out.count == 1, let whole = out["allOf"], whole.list.count == 1, whole[0].has("$ref") { return whole[0] }
            if let reference = out["$ref"]?.string, reference.hasPrefix("#/parameters/"), reference.utf8.count > 22 {
                out["$ref"] = .string(String(reference.dropLast(8)))
            }
            return .map(out)
        case .list(let items): return .list(items.map(undescribed))
        default: return node
        }
    }

    /// The members of a map, or of a list by their `name` or `kind`.
    func members(at path: String) -> [(String, Node)] {
        let node = path == "." ? body : path.split(separator: ".").reduce(body) { $0[String($1)] }
        if case .list(let items) = node {
            return items.enumerated().map { index, item in
                (item["metadata"]["name"].string ?? item["name"].string ?? item["version"].string ?? String(index), item)
            }
        }
        return node.fields.map { ($0.key, $0.value) }
    }
}

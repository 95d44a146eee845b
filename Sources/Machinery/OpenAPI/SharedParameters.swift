import Core
import Tree

/// Parameters that many paths of a version 2 document have, written once and referred to; named by a hash of what they say.
struct SharedParameters {
    /// By their text.
    private var names: [String: String] = [:]
    private(set) var parameters: [String: Node] = [:]

    /// Some stay where they are: they speak of one kind, or older kubectl look for them.
    private static func isShared(_ parameter: Node) -> Bool {
        switch (parameter["name"].string, parameter["in"].string) {
        case ("name", _), ("fieldValidation", "query"), ("dryRun", "query"): false
        case ("body", "body"): parameter["schema"]["$ref"].string?.hasPrefix("#/definitions/io.k8s.apimachinery") ?? false
        default: true
        }
    }

    private mutating func reference(_ parameter: Node) -> Node {
        guard Self.isShared(parameter) else { return parameter }
        let text = parameter.jsonText
        if let name = names[text] { return ["$ref": .string("#/parameters/\(name)")] }
        let name = "\(parameter["name"].string ?? "param")-\(Self.hash(text))"
        names[text] = name
        parameters[name] = parameter
        return ["$ref": .string("#/parameters/\(name)")]
    }

    private mutating func references(_ parameters: Node) -> Node { .list(parameters.list.map { reference($0) }) }

    /// A path's item with references.
    mutating func share(_ item: Node) -> Node {
        var out = item
        for (key, value) in item.fields {
            if key == "parameters" { out[key] = references(value) } else if value.has("parameters") { out[key]["parameters"] = references(value["parameters"]) }
        }
        return out
    }

    /// Eight characters of FNV-1.
    static func hash(_ text: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 {
            hash &*= 0x100_0000_01b3
            hash ^= UInt64(byte)
        }
        let bytes = (0..<6).map { UInt8(truncatingIfNeeded: hash >> (56 - 8 * UInt64($0))) }
        return Base64.encodeURL(bytes)
    }
}

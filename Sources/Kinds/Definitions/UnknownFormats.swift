import Tree

/// Formats that a schema names and nothing checks.
enum UnknownFormats {
    private static let texts: Set<String> = [
        "bsonobjectid", "uri", "email", "hostname", "ipv4", "ipv6", "cidr", "mac", "uuid", "uuid3", "uuid4", "uuid5", "isbn", "isbn10", "isbn13",
        "creditcard", "ssn", "hexcolor", "rgbcolor", "byte", "password", "date", "duration", "datetime", "k8sshortname", "k8slongname",
    ]

    static func of(_ schema: Node, _ depth: Int = 0) -> [String] {
        guard case .map = schema, depth < 100 else { return [] }
        var out: [String] = []
        if let format = schema["format"].string, !format.isEmpty, !isKnown(format, schema["type"].string ?? "") { out.append(format) }
        let inner = [schema["items"], schema["additionalProperties"], schema["not"]] + ["allOf", "anyOf", "oneOf"].flatMap { schema[$0].list }
        for part in inner + schema["properties"].fields.map(\.value) { out += of(part, depth + 1) }
        return out
    }

    private static func isKnown(_ format: String, _ type: String) -> Bool {
        switch type {
        case "", "string": texts.contains(format.replacing("-", with: ""))
        case "integer": format == "int32" || format == "int64"
        case "number": format == "float" || format == "double"
        default: true
        }
    }
}

package import Machinery
package import Tree

/// Configuration maps: keys that can be file names, one bag for text and one for bytes, at most 1 MiB.
package struct ConfigMapStrategy: KindStrategy {
    package init() {}

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        var size = 0
        let binary = object["binaryData"]
        for (key, value) in object["data"].fields {
            let path = NodePath([.key("data"), .entry(key)])
            findings.format(path, key, NameFormat.configMapKey)
            if binary.has(key) { findings.invalid(path, .string(key), "duplicate of key present in binaryData") }
            size += value.string?.utf8.count ?? 0
        }
        for (key, value) in binary.fields {
            findings.format(NodePath([.key("binaryData"), .entry(key)]), key, NameFormat.configMapKey)
            size += Bag.byteCount(value)
        }
        if size > Bag.limit { findings.add(.tooLong("", limit: Bag.limit)) }
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        Bag.immutabilityErrors(object, old: old, ["data", "binaryData"])
    }
}

/// Secrets: each type has its keys; text goes in through `stringData` and never comes out.
package struct SecretStrategy: KindStrategy {
    package init() {}

    package func setDefaults(_ object: inout Node) {
        if object["type"].isEmpty { object["type"] = "Opaque" }
        for (key, value) in object["stringData"].fields { object["data"][key] = .string(Base64.encode(Array((value.string ?? "").utf8))) }
        object.remove("stringData")
    }

    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        // The type is filled in for clients that never knew of it.
        if object["type"].isEmpty { object["type"] = old["type"] }
    }

    package func validate(_ object: Node) -> [FieldError] {
        let data = object["data"]
        let path = NodePath([.key("data")])
        var findings = Findings()
        var size = 0
        for (key, value) in data.fields {
            findings.format(path.entry(key), key, NameFormat.configMapKey)
            size += Bag.byteCount(value)
        }
        if size > Bag.limit { findings.add(.tooLong("data", limit: Bag.limit)) }
        func need(_ keys: String...) { for key in keys where !data.has(key) { findings.required(path.entry(key)) } }
        switch object["type"].string {
        case "kubernetes.io/service-account-token":
            if (object.annotations["kubernetes.io/service-account.name"] ?? "").isEmpty {
                findings.required(NodePath([.key("metadata"), .key("annotations"), .entry("kubernetes.io/service-account.name")]))
            }
        case "kubernetes.io/dockercfg": document(".dockercfg", data, path, &findings)
        case "kubernetes.io/dockerconfigjson": document(".dockerconfigjson", data, path, &findings)
        case "kubernetes.io/basic-auth":
            if !data.has("username"), !data.has("password") { need("username", "password") }
        case "kubernetes.io/ssh-auth":
            if data["ssh-privatekey"].isEmpty { findings.required(path.entry("ssh-privatekey")) }
        case "kubernetes.io/tls": need("tls.crt", "tls.key")
        default: break
        }
        return findings.errors
    }

    private func document(_ key: String, _ data: Node, _ path: NodePath, _ findings: inout Findings) {
        guard data.has(key) else { return findings.required(path.entry(key)) }
        let bytes = Base64.decode(data[key].string ?? "") ?? []
        if case .map? = try? JSONReader.read(bytes) { return }
        findings.invalid(path.entry(key), "<secret contents redacted>", bytes.isEmpty ? "unexpected end of JSON input" : Self.complaint(bytes))
    }

    /// Go's words for the first character of what is no JSON.
    private static func complaint(_ bytes: [UInt8]) -> String {
        guard let first = bytes.first(where: { !" \t\r\n".utf8.contains($0) }), !"{[\"-0123456789tfn".utf8.contains(first) else { return "invalid character in JSON input" }
        return "invalid character '\(Character(UnicodeScalar(first)))' looking for beginning of value"
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        var findings = Findings()
        findings.immutable(NodePath([.key("type")]), object["type"], old["type"])
        findings.add(Bag.immutabilityErrors(object, old: old, ["data"]))
        return findings.errors
    }
}

/// What configuration maps and secrets share.
private enum Bag {
    static let limit = 1 << 20

    /// The length of what base64 text stands for.
    static func byteCount(_ value: Node) -> Int {
        guard let text = value.string else { return 0 }
        return text.utf8.count / 4 * 3 - (text.hasSuffix("==") ? 2 : text.hasSuffix("=") ? 1 : 0)
    }

    static func immutabilityErrors(_ object: Node, old: Node, _ fields: [String]) -> [FieldError] {
        guard old["immutable"].bool == true else { return [] }
        var errors: [FieldError] = []
        let words = "field is immutable when `immutable` is set"
        if object["immutable"].bool != true { errors.append(.forbidden("immutable", words)) }
        for field in fields where !Findings.same(object[field], old[field]) { errors.append(.forbidden(field, words)) }
        return errors
    }
}

import Core
package import Tree

/// What a server answered, without what differs from run to run.
package struct Answer: Sendable, Equatable {
    package let code: Int
    /// Sorted texts of `Warning` headers.
    package let warnings: [String]
    /// `name: value`, sorted; scripts look at them, sweeps do not.
    package let headers: [String]
    package let body: Node

    package init(code: Int, warnings: [String], headers: [String] = [], plain: Node) {
        self.code = code
        self.warnings = warnings
        self.headers = headers
        body = plain
    }

    package init(code: Int, warnings: [String], body: [UInt8]) {
        self.code = code
        self.warnings = warnings.sorted()
        headers = []
        let text = String(decoding: body, as: UTF8.self).replacing(Self.identifier, with: "UID")
        self.body = Self.plain((try? JSONReader.read(Array(text.utf8))) ?? .string(text))
    }

    nonisolated(unsafe) private static let identifier = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/

    /// Fields that no two servers have alike. Who wrote what is tested elsewhere.
    private static let volatile: Set<String> = ["uid", "creationTimestamp", "resourceVersion", "lastPhaseTransitionTime", "lastTransitionTime"]

    private static func plain(_ node: Node) -> Node {
        switch node {
        case .map(let fields):
            var out = Fields()
            for (key, value) in fields where key != "managedFields" {
                let isGenerated = key == "name" && fields["generateName"]?.string.map { value.string?.hasPrefix($0) ?? false } ?? false
                // The certificate that asks is each server's own.
                let isCredential = key == "authentication.kubernetes.io/credential-id"
                out.appendUnique(key, isGenerated || isCredential || volatile.contains(key) && value.string != nil ? "volatile" : plain(value))
            }
            out.sortByKey()
            return .map(out)
        case .list(let items): return .list(items.map(plain))
        case .string(let text):
            // Names of token volumes and of what is generated, and addresses that the server picks.
            if text.hasPrefix("kube-api-access-") { return "kube-api-access" }
            return node
        default: return node
        }
    }

    package var message: String? { body["kind"].string == "Status" ? body["message"].string : nil }

    /// A few characters that stand for the whole answer.
    package var digest: String {
        let text = "\(code)\n\((warnings + headers).joined(separator: "\n"))\n\(body.jsonText)"
        return String(Encoding.hex(SHA256.hash(Array(text.utf8))).prefix(10))
    }

    /// What the one has and the other has not, a line each.
    package static func differences(_ a: Answer, _ b: Answer) -> [String] {
        var out: [String] = []
        if a.code != b.code { out.append("code: \(a.code) | \(b.code)") }
        if a.warnings != b.warnings { out.append("warnings: \(a.warnings) | \(b.warnings)") }
        for header in a.headers where !b.headers.contains(header) { out.append("header: \(header) | -") }
        for header in b.headers where !a.headers.contains(header) { out.append("header: - | \(header)") }
        if a.code != b.code || a.message != b.message {
            let (one, two) = parting(a.message ?? "-", b.message ?? "-")
            out.append("  A \(one)")
            out.append("  B \(two)")
        } else {
            differences(a.body, b.body, "", &out)
        }
        return out
    }

    /// Two long texts from shortly before they part.
    private static func parting(_ a: String, _ b: String) -> (String, String) {
        let common = zip(a, b).prefix { $0 == $1 }.count
        guard common > 200 else { return (a, b) }
        return ("…\(a.dropFirst(common - 60))", "…\(b.dropFirst(common - 60))")
    }

    private static func differences(_ a: Node, _ b: Node, _ path: String, _ out: inout [String]) {
        switch (a, b) {
        case (.map(let x), .map(let y)):
            for key in Set(Array(x.keys) + Array(y.keys)).sorted() { differences(a[key], b[key], "\(path).\(key)", &out) }
        case (.list(let x), .list(let y)) where x.count == y.count:
            for index in x.indices { differences(x[index], y[index], "\(path)[\(index)]", &out) }
        default:
            guard a != b else { return }
            let (one, two) = parting(a.jsonText, b.jsonText)
            out.append("\(path): \(one) | \(two)")
        }
    }
}

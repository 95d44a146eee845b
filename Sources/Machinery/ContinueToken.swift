package import Tree
import Core

/// Where a list goes on: base64url of `{"v":"meta.k8s.io/v1","rv":N,"start":"ns/name\u0000"}`, as upstream's.
package struct ContinueToken: Sendable, Equatable {
    /// The revision of the list's first page; -1 goes on with the present instead.
    package let revision: Int64
    /// The last object of the page before; `start` is the first key after it.
    package let namespace: String
    package let name: String

    package init(revision: Int64, namespace: String, name: String) {
        self.revision = revision
        self.namespace = namespace
        self.name = name
    }

    package var text: String {
        let key = namespace.isEmpty ? name : "\(namespace)/\(name)"
        let node: Node = ["v": "meta.k8s.io/v1", "rv": .int(revision), "start": .string(key + "\u{0}")]
        return Encoding.base64URL(JSONWriter.write(node))
    }

    package init(text: String) throws(SyntaxError) {
        guard let bytes = Encoding.decodeBase64(text) else { throw SyntaxError("illegal base64 data") }
        let node = try JSONReader.read(bytes)
        guard node["v"].string == "meta.k8s.io/v1" else { throw SyntaxError("server does not recognize this encoded version \"\(node["v"].string ?? "")\"") }
        guard let revision = node["rv"].int, revision != 0 else { throw SyntaxError("incorrect encoded start resourceVersion (version meta.k8s.io/v1)") }
        guard var start = node["start"].string, !start.isEmpty else { throw SyntaxError("continue key is not valid: encoded start key empty") }
        if start.hasSuffix("\u{0}") { start.removeLast() }
        let parts = start.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard !start.contains("..") else { throw SyntaxError("invalid continue key") }
        self.init(revision: revision, namespace: parts.count == 2 ? parts[0] : "", name: parts[parts.count - 1])
    }
}

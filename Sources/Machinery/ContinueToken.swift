import Tree

/// Where a list goes on: upstream's token, so that clients which look inside find what they expect.
package struct ContinueToken: Sendable, Equatable, CustomStringConvertible {
    /// Every page shows the objects as of this revision.
    package let revision: Int64
    /// The next page begins after this key.
    package let start: String

    package init(revision: Int64, start: String) {
        self.revision = revision
        self.start = start
    }

    /// `start` is followed by the lowest byte there is: the first key after it.
    package var description: String {
        let node: Node = ["v": "meta.k8s.io/v1", "rv": .int(revision), "start": .string(start + "\0")]
        return Base64.encodeURL(node.json)
    }

    package init(parsing text: String) throws(APIError) {
        guard let bytes = Base64.decodeURL(text), let node = try? JSONReader.read(bytes), case .map = node else {
            throw .badRequest("continue key is not valid: \(text)")
        }
        guard node["v"].string == "meta.k8s.io/v1" else {
            throw .badRequest("continue key is not valid: server does not recognize this encoded version \(node["v"].string ?? "")")
        }
        guard let revision = node["rv"].int, revision != 0 else {
            throw .badRequest("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
        }
        guard var start = node["start"].string, !start.isEmpty else {
            throw .badRequest("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")
        }
        if start.hasPrefix("/") || start.split(separator: "/", omittingEmptySubsequences: false).contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }) {
            throw .badRequest("continue key is not valid: \(start)")
        }
        if start.hasSuffix("\0") { start.removeLast() }
        self.init(revision: revision, start: start)
    }
}

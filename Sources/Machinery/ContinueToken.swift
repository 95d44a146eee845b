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

    /// Where Go's decoder gives up: at the first foreign character, or where a group of one begins.
    private static func badOffset(_ text: String) -> Int {
        let bytes = Array(text.utf8)
        let foreign = bytes.firstIndex { byte in !((byte | 0x20) &- 97 < 26 || byte &- 48 < 10 || byte == 45 || byte == 95) }
        return foreign ?? bytes.count / 4 * 4
    }

    package init(parsing text: String) throws(APIError) {
        guard let bytes = Base64.decodeURL(text) else {
            throw .badRequest("continue key is not valid: illegal base64 data at input byte \(Self.badOffset(text))")
        }
        guard let node = try? JSONReader.read(bytes), case .map = node else { throw .badRequest("continue key is not valid: \(text)") }
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

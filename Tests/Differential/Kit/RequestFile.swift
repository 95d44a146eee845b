import Core
package import Tree

/// A request to send to both servers.
package struct Request: Sendable {
    /// `Pod/no containers`, or for a sweep `Pod/spec.replicas=-1`.
    package let name: String
    package let isSwept: Bool
    package let method: String
    package let path: String
    package let body: Node
    package var headers: [(String, String)] = [("content-type", "application/json")]
}

/// Requests as text: objects that are right, each followed by what is done to it.
///
///     == Deployment POST /apis/apps/v1/namespaces/default/deployments sweep
///     apiVersion: apps/v1                      YAML, up to an empty line
///
///     empty selector: spec.selector={}         a name and mutations
package enum RequestFile {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
        package init(_ description: String) { self.description = description }
    }

    /// Nothing is stored: every write is a dry run with strict reading.
    private static let query = "?dryRun=All&fieldValidation=Strict"

    package static func read(_ path: String) throws -> [Request] { try blocks(path).flatMap { try $0.requests() } }

    static func blocks(_ path: String) throws -> [Block] {
        let text = String(decoding: try FileSystem.readFile(path), as: UTF8.self)
        var out: [Block] = []
        var block: Block?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("== ") {
                if let block { out.append(block) }
                block = try Block(line.dropFirst(3))
            } else if block != nil, !line.hasPrefix("#") {
                try block?.take(line)
            }
        }
        if let block { out.append(block) }
        return out
    }

    /// An object that is right, and what is done to it.
    struct Block {
        let name: String
        let method: String
        let path: String
        let isSwept: Bool
        var body = ""
        var isInBody = true
        var cases: [(name: String, deeds: String)] = []

        init(_ line: Substring) throws {
            let words = line.split(separator: " ").map(String.init)
            guard words.count >= 3 else { throw Failure("name, method and path expected: \(line)") }
            (name, method, path) = (words[0], words[1], words[2])
            isSwept = words.dropFirst(3).contains("sweep")
        }

        mutating func take(_ line: Substring) throws {
            if isInBody, !line.isEmpty {
                body += line + "\n"
            } else if line.isEmpty {
                isInBody = false
            } else {
                let parts = line.split(separator: ": ", maxSplits: 1)
                guard parts.count == 2 else { throw Failure("a name and what to do expected: \(line)") }
                cases.append((String(parts[0]), String(parts[1])))
            }
        }

        func requests() throws -> [Request] {
            let base = try YAMLReader.read(Array(body.utf8))
            var out = [request("base", base)]
            for (name, deeds) in cases { out.append(request(name, try Self.changed(base, deeds))) }
            guard isSwept else { return out }
            for deed in Sweep.mutations(of: base) {
                out.append(request(Self.shown(deed), try Self.changed(base, deed), isSwept: true))
            }
            return out
        }

        /// With its whole path, which tells it from the others.
        private static func shown(_ deed: String) -> String {
            guard deed.count > 120, let sign = deed.firstIndex(of: "=") else { return deed }
            return deed[...sign] + deed[deed.index(after: sign)...].prefix(20) + "…"
        }

        private static func changed(_ base: Node, _ deeds: String) throws -> Node {
            try Mutation.read(deeds).reduce(base) { try $1.apply(to: $0) }
        }

        private func request(_ name: String, _ body: Node, isSwept: Bool = false) -> Request {
            Request(name: "\(self.name)/\(name)", isSwept: isSwept, method: method, path: path + query, body: body)
        }
    }
}

import Core
import Tree

/// A file of requests of either kind, and where its recorded answers are.
package struct Asking: Sendable {
    private enum Kind: Sendable { case sweep([Request]), script([Script.Section]) }

    private let kind: Kind
    package let answersPath: String
    /// Of what is asked by the thousand only digests are kept.
    private let isBrief: Bool

    package init(_ file: String) throws {
        let isLifecycle = file.hasPrefix("lifecycle:")
        isBrief = isLifecycle
        let path = isLifecycle ? String(file.dropFirst("lifecycle:".count)) : file
        if isLifecycle {
            kind = .script(try Lifecycle.read(path))
        } else if path.hasSuffix(".script") {
            kind = .script(try Script.read(path))
        } else {
            kind = .sweep(try RequestFile.read(path))
        }
        let name = path.split(separator: "/").last?.split(separator: ".").first ?? ""
        answersPath = FileSystem.parent(of: FileSystem.parent(of: path)) + "/Answers/\(isLifecycle ? "lifecycle-" : "")\(name).txt"
    }

    package func answers(_ server: Server) async throws -> [Conversation.Named] {
        switch kind {
        case .sweep(let requests): Array(zip(requests.map(\.name), await server.send(requests))).map { ($0.0, $0.1) }
        case .script(let sections): try await Conversation(server).hold(sections)
        }
    }

    package func record(_ server: Server) async throws {
        let swept: Set<String> =
            switch kind {
            case .sweep(let requests): Set(requests.filter(\.isSwept).map(\.name))
            case .script: []
            }
        let lines = try await answers(server).map { AnswerFile.line($0.name, $0.answer, isSwept: isBrief || swept.contains($0.name)) }
        try FileSystem.writeAtomically(answersPath, Array((lines.joined(separator: "\n") + "\n").utf8), mode: 0o644)
    }

    /// What every server that is asked has: a second namespace, and the accounts that pods need.
    package static func prepare(_ server: Server) async throws {
        func post(_ path: String, _ body: Node) async {
            _ = await server.send(Request(name: "", isSwept: false, method: "POST", path: path, body: body))
        }
        await post("/api/v1/namespaces", ["metadata": ["name": "other"]])
        for namespace in ["default", "other"] { await post("/api/v1/namespaces/\(namespace)/serviceaccounts", ["metadata": ["name": "default"]]) }
    }
}

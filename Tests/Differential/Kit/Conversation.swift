import Core
import Transport
import Tree

/// Sends what a script says to one server and gathers its answers, in the script's order.
package struct Conversation: Sendable {
    package typealias Named = (name: String, answer: Answer)

    private let server: Server

    package init(_ server: Server) { self.server = server }

    package func hold(_ sections: [Script.Section]) async throws -> [Named] {
        var parts = [[Named]](repeating: [], count: sections.count)
        for (index, section) in sections.enumerated() where !section.isBeside { parts[index] = try await hold(section) }
        try await withThrowingTaskGroup(of: (Int, [Named]).self) { group in
            for (index, section) in sections.enumerated() where section.isBeside { group.addTask { (index, try await hold(section)) } }
            for try await (index, part) in group { parts[index] = part }
        }
        return parts.flatMap { $0 }
    }

    private func hold(_ section: Script.Section) async throws -> [Named] {
        var variables: [String: String] = [:]
        var out: [Named] = []
        for step in section.steps {
            let (raw, captured) = try await send(step, variables)
            for (name, path) in step.captures { variables[name] = captured(path) }
            if step.isSilent { continue }
            let answer = step.isStructure ? raw.withoutDescriptions() : raw.forgetting(variables)
            guard let split = step.split else {
                out.append((step.name, answer))
                continue
            }
            let members = answer.members(at: split)
            out.append((step.name, Answer(code: answer.code, warnings: answer.warnings, headers: answer.headers, plain: .string("\(members.count) members"))))
            for (key, value) in members { out.append(("\(step.name) \(key)", Answer(code: answer.code, warnings: [], plain: value))) }
        }
        return out
    }

    private func send(_ step: Script.Step, _ variables: [String: String]) async throws -> (Answer, (String) -> String) {
        var headers = HTTPHeaders()
        headers.append("user-agent", "differential/1")
        for (name, value) in step.headers { headers.append(name, Script.filled(value, variables)) }
        var body: HTTPClientRequest.Body = .none
        if let text = step.body.map({ Script.filled($0, variables) }) {
            let bytes = Array(text.utf8)
            body = .bytes(step.isRaw ? bytes : JSONWriter.write(try YAMLReader.read(bytes)))
            if headers["content-type"] == nil { headers.append("content-type", "application/json") }
        }
        var patience = step.until == nil ? 0 : 100
        while true {
            guard let reply = await server.exchange(step.method, Script.filled(step.path, variables), headers, body) else {
                return (Answer(code: 0, warnings: [], plain: .null), { _ in "" })
            }
            if patience > 0, let until = step.until, !reply.shows(until) {
                patience -= 1
                try await Task.sleep(for: .milliseconds(100))
                continue
            }
            return (Answer(reply), { reply.text(at: $0) })
        }
    }
}

extension Server.Reply {
    fileprivate func shows(_ expected: String) -> Bool {
        if let code = Int(expected) { return status == code }
        return String(decoding: body, as: UTF8.self).contains(expected)
    }

    /// The scalar at a path such as `items[0].metadata.name`.
    fileprivate func text(at path: String) -> String {
        var node = (try? JSONReader.read(body)) ?? .null
        for step in path.split(whereSeparator: { $0 == "." || $0 == "[" || $0 == "]" }) {
            node = Int(step).map { node[$0] } ?? node[String(step)]
        }
        return node.string ?? node.int.map { String($0) } ?? ""
    }
}

import Client
import Core
import Machinery
import Transport
import Tree

/// What an extender is asked. Its words are Go's: keys are the names of fields, read whatever their case.
extension Extender {
    struct Filtered: Sendable {
        var names: Set<String>
        var failed: [String: String]
        var unresolvable: [String: String]
    }

    func filter(_ pod: Node, _ nodes: [Node]) async throws -> Filtered {
        let answer = try await ask(filterVerb, arguments(pod, nodes))
        if let error = answer.field("Error").string, !error.isEmpty { throw APIError.badRequest(error) }
        let named = answer.field("NodeNames")
        let names = knowsNodes && !named.isNull ? named.stringList : answer.field("Nodes").field("items").list.map(\.name)
        return Filtered(
            names: Set(names), failed: answer.field("FailedNodes").stringMap, unresolvable: answer.field("FailedAndUnresolvableNodes").stringMap)
    }

    /// Scores of 0 to 10 by node.
    func prioritize(_ pod: Node, _ nodes: [Node]) async throws -> [String: Int64] {
        let answer = try await ask(prioritizeVerb, arguments(pod, nodes))
        return Dictionary(answer.list.map { ($0.field("Host").string ?? "", $0.field("Score").int ?? 0) }) { first, _ in first }
    }

    func bind(_ pod: PodInfo, to node: String) async throws {
        let answer = try await ask(
            bindVerb,
            ["PodName": .string(pod.key.name), "PodNamespace": .string(pod.key.namespace), "PodUID": .string(pod.uid), "Node": .string(node)])
        if let error = answer.field("Error").string, !error.isEmpty { throw APIError.badRequest(error) }
    }

    /// The candidates that may be preempted, with the victims that are to go.
    func preempt(_ pod: Node, _ candidates: [Preemption]) async throws -> [Preemption] {
        var arguments: Node = ["Pod": pod]
        arguments[knowsNodes ? "NodeNameToMetaVictims" : "NodeNameToVictims"] = .map(
            Fields(candidates.map { candidate in
                let pods = candidate.victims.map { knowsNodes ? ["UID": .string($0.uid)] : $0.node }
                return (candidate.node, ["Pods": .list(pods), "NumPDBViolations": .int(Int64(candidate.violations))] as Node)
            }))
        let answer = try await ask(preemptVerb, arguments).field("NodeNameToMetaVictims")
        return try answer.fields.map { name, victims in
            guard let candidate = candidates.first(where: { $0.node == name }) else {
                throw APIError.badRequest("extender claims to support preemption on node \(name), which is no candidate")
            }
            let uids = Set(victims.field("Pods").list.compactMap { $0.field("UID").string })
            return Preemption(
                node: name, victims: candidate.victims.filter { uids.contains($0.uid) }, violations: Int(victims.field("NumPDBViolations").int ?? 0))
        }
    }

    private func arguments(_ pod: Node, _ nodes: [Node]) -> Node {
        var arguments: Node = ["Pod": pod]
        if knowsNodes { arguments["NodeNames"] = Node(nodes.map(\.name)) } else { arguments["Nodes"] = ["metadata": [:], "items": .list(nodes)] }
        return arguments
    }

    private func ask(_ verb: String, _ arguments: Node) async throws -> Node {
        guard let address = HTTPAddress("\(url)/\(verb)") else { throw APIError.badRequest("\(url)/\(verb) is no URL") }
        let response = try await http.send(
            HTTPClientRequest(
                "POST", address.endpoint, address.target, headers: ["content-type": "application/json"], body: .bytes(JSONWriter.write(arguments)),
                timeout: timeout))
        let bytes = try await response.body()
        guard response.isSuccess else { throw APIError.badRequest("failed \(verb) with extender at URL \(url), code \(response.status)") }
        return try JSONReader.read(bytes)
    }
}

extension Node {
    /// The value at a key whose case does not matter.
    fileprivate func field(_ name: String) -> Node {
        if has(name) { return self[name] }
        let lower = name.lowercased()
        return fields.first { $0.key.lowercased() == lower }?.value ?? .null
    }
}

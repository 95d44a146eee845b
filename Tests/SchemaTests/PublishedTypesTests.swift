import Testing
import Tree

@testable import Schema

/// The graph against what upstream publishes of its types. `Fixtures/openapi-v2-facts.txt` says how it was derived.
@Suite struct PublishedTypesTests {
    let graph = Graph.builtIn

    @Test func everyPublishedDefinitionIsInTheGraphFieldByField() throws {
        let facts = try definitions(fixture("openapi-v2-facts.txt"))
        var wrong: [String] = []
        var fields = 0
        var same = 0
        for (head, lines) in facts {
            let name = String(head.prefix { $0 != " " })
            let (ourHead, ourLines) = describe(name)
            fields += lines.count
            same += Set(lines).intersection(ourLines).count
            if head != ourHead { wrong.append("- \(head)\n+ \(ourHead)") }
            for line in lines where !ourLines.contains(line) { wrong.append("- \(name)\(line)") }
            for line in ourLines where !lines.contains(line) { wrong.append("+ \(name)\(line)") }
        }
        #expect(wrong.isEmpty, "\(wrong.count) differences:\n\(wrong.joined(separator: "\n"))")
        #expect(facts.count == 584)
        #expect(fields == 2458, "\(fields)")
        print("published definitions \(facts.count), properties \(same) of \(fields)")
    }

    // MARK: Ours, in the fixture's form

    func definitions(_ text: String) -> [(head: String, lines: [String])] {
        var out: [(head: String, lines: [String])] = []
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            if line.hasPrefix(" ") { out[out.count - 1].lines.append(String(line)) } else { out.append((String(line), [])) }
        }
        return out
    }

    func describe(_ name: String) -> (head: String, lines: [String]) {
        if let scalar = Scalar.allCases.first(where: { $0.openAPI.definition == name }) {
            return ("\(name) type=\(scalar.openAPI.type ?? "any")" + (scalar.openAPI.format.map { ":\($0)" } ?? ""), [])
        }
        guard let id = graph.message(openAPIName: name) else { return ("\(name): not in the graph", []) }
        let message = graph[id]
        let rules = graph[message.rulesID]
        var head = name
        if message.fields.isEmpty { head += " type=object" }
        if rules.isAtomic { head += " map=atomic" }
        let kinds = graph.kinds(of: id).map { "\($0.group)/\($0.version)/\($0.kind)" }.sorted()
        if !kinds.isEmpty { head += " kinds=\(kinds.joined(separator: ","))" }
        for union in message.unions where union.isPublished {
            head += " union=\(union.discriminator):" + union.members.map { "\($0.field)=\($0.value)" }.sorted().joined(separator: ",")
        }
        return (head, graph.fields(of: id).map(describe))
    }

    func describe(_ field: Field) -> String {
        let rules = graph.rules(of: field)
        var line = " \(field.name)\(field.isRequired ? "!" : "") " + describe(field.shape, rules)
        var strategies: [String] = []
        if rules.patchStrategy.contains(.merge) { strategies.append("merge") }
        if rules.patchStrategy.contains(.replace) { strategies.append("replace") }
        if rules.patchStrategy.contains(.retainKeys) { strategies.append("retainKeys") }
        if !strategies.isEmpty { line += " patch=\(strategies.joined(separator: ","))" }
        if !rules.patchMergeKey.isEmpty { line += " merge=\(rules.patchMergeKey)" }
        if let type = rules.listType { line += " list=\(type)" }
        if !rules.listMapKeys.isEmpty { line += " keys=\(rules.listMapKeys.joined(separator: ","))" }
        if rules.isAtomic { line += " map=atomic" }
        if rules.isGranular { line += " map=granular" }
        return line
    }

    func describe(_ shape: Shape, _ rules: Rules) -> String {
        switch shape {
        case .message(let id): return "#\(graph[id].openAPIName)"
        case .list(let id): return "[]" + describe(graph[id].shape, graph.rules(of: graph[id]))
        case .map(let id): return "{}" + describe(graph[id].shape, graph.rules(of: graph[id]))
        case .scalar(let scalar):
            let form = scalar.openAPI
            if let definition = form.definition { return "#\(definition)" }
            let values = rules.enumValues.compactMap(\.string).sorted()
            return (form.type ?? "any") + (form.format.map { ":\($0)" } ?? "") + (values.isEmpty ? "" : "(\(values.joined(separator: "|")))")
        }
    }
}

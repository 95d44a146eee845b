import Testing

@testable import Schema

/// The graph's resources against what upstream serves. `Fixtures/discovery-facts.txt` says how it was derived.
@Suite struct ServedResourcesTests {
    /// Which upstream serves by an add-on.
    private let added = "metrics.k8s.io"

    @Test func everyServedResourceIsInTheGraphWithItsSubresourcesAndColumns() throws {
        let facts = try fixture("discovery-facts.txt").split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init)
        let ours = Graph.builtIn.resources.filter { $0.group != added }.flatMap(describe)
        #expect(ours.count == facts.count)
        for (fact, line) in zip(facts, ours) where fact != line {
            Issue.record("upstream: \(fact)\nours:     \(line)")
            break
        }
    }

    @Test func groupsAndVersionsComeInDiscoverysOrder() throws {
        var facts: [String] = []
        for line in try fixture("discovery-facts.txt").split(separator: "\n") where !line.hasPrefix("#") && !line.hasPrefix(" ") {
            let version = String(line.prefix { $0 != " " })
            if facts.last != version { facts.append(version) }
        }
        let ours = Graph.builtIn.groups.filter { $0.name != added }.flatMap { group in group.versions.map { GroupVersionKind(group: group.name, version: $0, kind: "").apiVersion } }
        #expect(ours == facts)
    }

    func describe(_ resource: Resource) -> [String] {
        func joined(_ words: [String]) -> String { words.isEmpty ? "-" : words.joined(separator: ",") }
        let head = [
            resource.gvk.apiVersion, resource.name, resource.singular, resource.kind, resource.isNamespaced ? "Namespaced" : "Cluster",
            joined(resource.shortNames), joined(resource.categories), joined(resource.verbs),
        ]
        var lines = [head.joined(separator: " ")]
        for subresource in resource.subresources {
            lines.append(" /\(subresource.name) \(subresource.gvk.apiVersion) \(subresource.gvk.kind) \(joined(subresource.verbs))")
        }
        for column in resource.columns { lines.append(" |\(column.name)|\(column.type)|\(column.format)|\(column.priority)") }
        return lines
    }
}

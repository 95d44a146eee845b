import Core
import Machinery
import Schema
import Store
import Tree

@testable import APIServer

/// What is in a store but for what chance and the clock put there: uids, revisions, times, generated names, addresses. An object a line.
enum FinalState {
    private static let ignored: Set<String> = ["events", "coordination.k8s.io/leases", "events.k8s.io/events"]

    static func of(_ store: Store, _ catalog: ResourceCatalog) throws -> [String] {
        var objects: [(collection: String, node: Node)] = []
        for collection in Set(catalog.all.map(\.collection)).subtracting(ignored).sorted() {
            for record in try store.list(collection).records { objects.append((collection, try record.sharedNode())) }
        }
        var names: [String: String] = [:]
        for (collection, node) in objects {
            var name = node.name
            if let prefix = node["metadata"]["generateName"].string, !prefix.isEmpty { name = prefix + "*" }
            // Jobs of CronJobs are named after the minute.
            if collection == "batch/jobs", let dash = name.lastIndex(of: "-"), name[name.index(after: dash)...].allSatisfy(\.isNumber) { name = name[...dash] + "<minute>" }
            if name != node.name { names[node.name] = name }
            names[node.uid] = "<\(collection) \(name)>"
        }
        // A pod of such a Job has the Job's name in its own.
        let jobs = names.filter { $0.value.hasSuffix("<minute>") }
        for (name, other) in names { names[name] = jobs.reduce(other) { $0.replacing($1.key, with: $1.value) } }
        return objects.map { collection, node in "\(collection) \(JSONText.sorted(plain(node, names)))" }.sorted()
    }

    private static let volatile: Set<String> = ["resourceVersion", "managedFields", "uid", "creationTimestamp", "generation"]

    private static func plain(_ object: Node, _ names: [String: String]) -> Node {
        var object = object
        let generation = object.generation
        if object["status"]["observedGeneration"].int == generation { object["status"]["observedGeneration"] = "current" }
        for field in volatile { object["metadata"][field] = .null }
        return walk(object, names)
    }

    private static func walk(_ node: Node, _ names: [String: String]) -> Node {
        switch node {
        case .map:
            var out = Node.emptyMap
            for (key, value) in node.fields where key != "resourceVersion" { out[names[key] ?? key] = walk(value, names) }
            return out
        case .list:
            let items = node.list.map { walk($0, names) }
            // Their order is that of what happened, not of what is.
            let isSet = items.allSatisfy { if case .map = $0 { true } else { false } }
            return .list(isSet ? items.sorted { JSONText.sorted($0) < JSONText.sorted($1) } : items)
        case .string(let text): return .string(plain(text, names))
        default: return node
        }
    }

    private static func plain(_ text: String, _ names: [String: String]) -> String {
        if let known = names[text] { return known }
        let bytes = Array(text.utf8)
        if bytes.count >= 20, bytes.count <= 30, bytes[10] == UInt8(ascii: "T"), bytes.last == UInt8(ascii: "Z") { return "<time>" }
        if text.hasPrefix("10.0."), text.split(separator: ".").count == 4 { return "<address>" }
        if bytes.count == 36, text.split(separator: "-").count == 5 { return "<uid of something gone>" }
        guard text.contains("-") else { return text }
        var out = text
        for (name, other) in names where out.contains(name) { out = out.replacing(name, with: other) }
        return out
    }
}

private enum JSONText {
    /// With sorted keys.
    static func sorted(_ node: Node) -> String {
        switch node {
        case .map: "{" + node.fields.sorted { $0.key < $1.key }.filter { !$0.value.isNull }.map { "\"\($0.key)\":\(sorted($0.value))" }.joined(separator: ",") + "}"
        case .list: "[" + node.list.map { sorted($0) }.joined(separator: ",") + "]"
        default: node.jsonText
        }
    }
}

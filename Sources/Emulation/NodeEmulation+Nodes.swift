import Client
import Core
import Kinds
import Machinery
import Schema
package import Tree

/// Making, listing and removing emulated nodes.
extension NodeEmulation {
    package static let mostNodes = 10_000

    /// `count` more nodes, named by the prefix and the first free numbers. Says meanwhile how many there are.
    package func add(_ count: Int, prefix: String, _ shape: EmulatedShape, _ progress: @escaping @Sendable (String) -> Void) async throws -> [String] {
        guard (1...NodeEmulation.mostNodes).contains(count) else { throw APIError.badRequest("from 1 to \(NodeEmulation.mostNodes) nodes can be emulated at once") }
        await view.synced()
        let taken = view.read { Set($0[.nodes].objects.keys.map(\.name)) }
        let names = Array((1...).lazy.map { "\(prefix)-\($0)" }.filter { !taken.contains($0) }.prefix(count))
        try await batches(names) { [self] name in
            let now = Timestamp.now()
            let node = EmulatedNode.make(name, shape, address: nodeAddress(), now: now)
            _ = try await view.client.create(.nodes, namespace: "", node)
        } said: { progress("\($0) of \(count) nodes are registered") }
        return names
    }

    /// Removes these nodes with their pods; all emulated ones where none is named. Returns the names.
    package func remove(_ wanted: [String], _ progress: @escaping @Sendable (String) -> Void) async throws -> [String] {
        await view.synced()
        let all = view.read { state in Set(state[.nodes].objects.values.filter(EmulatedNode.isOne).map(\.name)) }
        if let stranger = wanted.first(where: { !all.contains($0) }) { throw APIError.notFound("emulated nodes", name: stranger) }
        let names = wanted.isEmpty ? all.sorted() : wanted
        // First, so that nothing new is put there.
        try await batches(names) { [self] name in try await gone { _ = try await view.client.delete(.nodes, ObjectKey("", name), DeleteOptions()) } }
            said: { progress("\($0) of \(names.count) nodes are removed") }
        let pods = view.read { state in names.flatMap { state[.pods].keys("node", $0) } }
        try await batches(pods) { [self] key in try await gone { _ = try await view.client.delete(.pods, key, DeleteOptions(gracePeriodSeconds: 0)) } }
            said: { progress("\($0) of \(pods.count) pods are removed") }
        return names
    }

    /// Name, flavor, readiness and pods of each.
    package func list() -> [Node] {
        view.read { state in
            state[.nodes].objects.values.filter(EmulatedNode.isOne).map { node -> Node in
                let pods = state[.pods].objects("node", node.name).count { !PodView($0).isTerminal }
                return [
                    "name": .string(node.name), "ready": .bool(EmulatedNode.isReady(node)), "pods": .int(Int64(pods)),
                    "flavor": node["metadata"]["labels"]["node.kubernetes.io/instance-type"], "allocatable": node["status"]["allocatable"],
                ]
            }
        }.sorted { Self.place($0) < Self.place($1) }
    }

    /// By prefix, then by number.
    private static func place(_ node: Node) -> (String, Int) {
        let name = node["name"].string ?? ""
        guard let dash = name.lastIndex(of: "-"), let number = Int(name[name.index(after: dash)...]) else { return (name, 0) }
        return (String(name[..<dash]), number)
    }

    private func gone(_ body: () async throws -> Void) async throws {
        do { try await body() } catch let error as APIError where error.code == 404 {}
    }

    /// A few at a time: as many as are committed together.
    private func batches<Item: Sendable>(
        _ items: [Item], _ body: @escaping @Sendable (Item) async throws -> Void, said: (Int) -> Void
    ) async throws {
        var start = 0
        while start < items.count {
            let end = min(start + 100, items.count)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for item in items[start..<end] { group.addTask { try await body(item) } }
                try await group.waitForAll()
            }
            start = end
            said(start)
        }
    }
}

import Client
import Logging
import Machinery
import Schema
import Tree

/// Resources that others tell of in a node's capacity, such as `example.com/gpu`: the kubelet lets all of them be allocated, and none
/// that the capacity names no more.
enum ForeignResources {
    /// What is to be patched into the status; nil where it is so already.
    static func allocatable(_ status: Node) -> Node? {
        var changes = Node.emptyMap
        for (name, amount) in status["capacity"].fields where isForeign(name) && status["allocatable"][name] != amount { changes[name] = amount }
        for (name, _) in status["allocatable"].fields where isForeign(name) && !status["capacity"].has(name) { changes.setNull(name) }
        return changes.isEmpty ? nil : changes
    }

    /// Named by a domain that is not Kubernetes' own.
    private static func isForeign(_ name: String) -> Bool {
        let domain = name.prefix { $0 != "/" }
        return domain.count < name.count && domain != "kubernetes.io" && !domain.hasSuffix(".kubernetes.io")
    }
}

extension NodeAgent {
    /// Works until cancelled, at every change of the node's own object.
    func keepForeignResources() async {
        let key = key
        let (changes, change) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
        kubelet.view.listen(.nodes) { if $0.key == key, let node = $0.new, ForeignResources.allocatable(node["status"]) != nil { change.yield() } }
        change.yield()
        for await _ in changes {
            guard let patch = kubelet.view.get(.nodes, key).flatMap({ ForeignResources.allocatable($0["status"]) }) else { continue }
            do {
                _ = try await client.patch(.nodes, key, .merge, ["status": ["allocatable": patch]], subresource: "status")
            } catch {
                kubelet.parts.log.warning("allocatable resources not written", metadata: ["error": "\(error)"])
            }
        }
    }
}

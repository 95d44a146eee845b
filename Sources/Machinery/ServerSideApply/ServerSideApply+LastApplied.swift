import Core
import Schema
import Tree

/// The way from client-side apply: kubectl keeps what it applied last in an annotation, and when it first applies on the server's side,
/// what that annotation names is its own and no conflict. The annotation is then kept true, for a kubectl that goes back.
extension ServerSideApply {
    private static let annotation = "kubectl.kubernetes.io/last-applied-configuration"
    /// The manager that kubectl applies as; whoever names another one keeps out of this.
    private static let kubectl = "kubectl"

    /// What an apply may take from others although they own it: the fields of the last client-side apply that still are as it left them.
    func inherited(_ live: Node, by manager: ManagedFields.Manager) -> FieldSet {
        guard manager.name == ServerSideApply.kubectl, let text = live.annotations[ServerSideApply.annotation], !text.isEmpty,
            let last = try? JSONReader.read(Array(text.utf8)), last.apiVersion == manager.apiVersion
        else { return FieldSet() }
        let difference = walk.difference(last, bare(live), type)
        return walk.fields(of: last, type).subtracting(difference.modified).subtracting(difference.added).subtracting(difference.removed)
    }

    /// Where there is such an annotation: what was applied now.
    func keepLastApplied(_ merged: inout Node, _ config: Node, by manager: ManagedFields.Manager) {
        guard manager.name == ServerSideApply.kubectl, merged.annotations[ServerSideApply.annotation]?.isEmpty == false else { return }
        var applied = config
        if applied["metadata"].has("annotations") { applied["metadata"]["annotations"].remove(ServerSideApply.annotation) }
        var annotations = merged["metadata"]["annotations"]
        annotations[ServerSideApply.annotation] = .string(ServerSideApply.sorted(applied).jsonText + "\n")
        let size = annotations.fields.reduce(0) { $0 + $1.key.utf8.count + ($1.value.string ?? "").utf8.count }
        if size > ServerSideApply.annotationLimit { annotations.remove(ServerSideApply.annotation) }
        merged["metadata"]["annotations"] = annotations
    }

    /// As Go writes maps.
    private static func sorted(_ node: Node) -> Node {
        switch node {
        case .map(let fields): .map(Fields(fields.map { ($0.key, sorted($0.value)) }.sorted { $0.0 < $1.0 }))
        case .list(let items): .list(items.map(sorted))
        default: node
        }
    }

    /// What all annotations together may have.
    private static let annotationLimit = 256 << 10
}

import Machinery
import Schema
import Tree

/// PATCH: makes the new object out of the current one and what the client wants changed. Nothing here knows a kind.
struct PatchVerb: Sendable {
    enum Kind: String {
        case json = "application/json-patch+json"
        case merge = "application/merge-patch+json"
        case strategic = "application/strategic-merge-patch+json"
        case apply = "application/apply-patch+yaml"
    }

    let kind: Kind
    private let patch: Node
    private let operations: JSONPatch?

    /// Reads the patch before any object is looked at. Throws 415 for a type that the resource does not take.
    init(_ bytes: [UInt8], mediaType: String, _ resource: ServedResource, acceptsStrategic: Bool) throws(APIError) {
        let accepted = PatchVerb.accepted(acceptsStrategic)
        guard let kind = Kind(rawValue: mediaType), accepted.contains(kind.rawValue) else {
            throw APIError.unsupportedMediaType(
                "the body of the request was in an unknown format - accepted media types include: \(accepted.joined(separator: ", "))")
        }
        self.kind = kind
        do {
            patch = kind == .apply ? try YAMLReader.read(bytes) : try JSONReader.read(bytes)
        } catch {
            throw APIError.badRequest(kind == .apply ? "error decoding YAML: \(error)" : "error decoding patch: \(error)")
        }
        if kind == .json {
            do { operations = try JSONPatch(patch) } catch { throw error.apiError }
        } else {
            operations = nil
            guard case .map = patch else { throw APIError.badRequest("error decoding patch: json: cannot unmarshal the patch into a map") }
        }
    }

    /// A patch of this process's own.
    init(_ patch: Node, _ kind: Kind) throws(APIError) {
        self.kind = kind
        self.patch = patch
        if kind == .json {
            do { operations = try JSONPatch(patch) } catch { throw error.apiError }
        } else {
            operations = nil
        }
    }

    static func accepted(_ strategic: Bool) -> [String] {
        [Kind.json.rawValue, Kind.merge.rawValue] + (strategic ? [Kind.strategic.rawValue] : []) + [Kind.apply.rawValue]
    }

    /// The patched object; `id` is the message that the patch is about (a Scale for the scale subresource).
    func apply(to current: Node, graph: Graph, as id: MessageID, _ resource: ServedResource) throws(APIError) -> Node {
        switch kind {
        case .json:
            do { return try operations?.apply(to: current) ?? current } catch { throw error.apiError }
        case .merge: return MergePatch.apply(patch, to: current)
        case .strategic:
            do { return try StrategicMerge(graph).apply(patch, to: current, as: id) } catch { throw error.apiError }
        case .apply: preconditionFailure("apply goes through field management")
        }
    }

    /// The applied configuration, for server-side apply.
    var configuration: Node { patch }
}

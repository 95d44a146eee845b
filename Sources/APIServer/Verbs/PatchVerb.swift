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
    /// Keys that came twice, in upstream's words.
    let duplicates: [String]
    private let operations: JSONPatch?
    /// A patch of the wrong type is told when there is something to patch.
    private let fault: APIError?

    /// Reads the patch before any object is looked at. Throws 415 for a type that the resource does not take.
    init(_ bytes: [UInt8], mediaType: String, _ resource: ServedResource, acceptsStrategic: Bool) throws(APIError) {
        let accepted = PatchVerb.accepted(acceptsStrategic)
        guard let kind = Kind(rawValue: mediaType), accepted.contains(kind.rawValue) else {
            guard !resource.isCustom else {
                throw APIError.unsupportedMediaType(
                    "the body of the request was in an unknown format - accepted media types include: \(accepted.joined(separator: ", "))")
            }
            var error = APIError.unsupportedMediaType("415: Unsupported Media Type")
            error.details = .init()
            throw error
        }
        self.kind = kind
        do {
            if kind == .apply {
                let (node, found) = try YAMLReader.readStrict(bytes)
                patch = node
                duplicates = found.isEmpty ? [] : ["yaml: unmarshal errors:\n" + found.map { "  \($0)" }.joined(separator: "\n")]
            } else {
                let (node, found) = try JSONReader.readStrict(bytes)
                patch = node
                duplicates = found.map { (kind == .json ? "json patch " : "") + "duplicate field \(NodePath.quoted($0.description))" }
            }
        } catch {
            throw APIError.badRequest(kind == .apply ? "error decoding YAML: \(error)" : "error decoding patch: \(error)")
        }
        if kind == .json {
            guard case .list = patch else {
                operations = nil
                fault = .badRequest("error decoding patch: json: cannot unmarshal \(PatchVerb.type(patch)) into Go value of type []handlers.jsonPatchOp")
                return
            }
            do { operations = try JSONPatch(patch) } catch { throw error.apiError }
        } else {
            operations = nil
            guard case .map = patch else {
                fault = .badRequest("error decoding patch: json: cannot unmarshal \(PatchVerb.type(patch)) into Go value of type map[string]interface {}")
                return
            }
        }
        fault = nil
    }

    /// A patch of this process's own.
    init(_ patch: Node, _ kind: Kind) throws(APIError) {
        self.kind = kind
        self.patch = patch
        fault = nil
        duplicates = []
        if kind == .json {
            do { operations = try JSONPatch(patch) } catch { throw error.apiError }
        } else {
            operations = nil
        }
    }

    /// Go's word for what JSON has there.
    private static func type(_ node: Node) -> String {
        switch node {
        case .null: "null"
        case .bool: "bool"
        case .int, .double: "number"
        case .string: "string"
        case .list: "array"
        case .map: "object"
        }
    }

    /// What upstream says of a patch whose outcome is no such object: the outcome, or for a strategic patch the patch, and why.
    func refusal(_ patched: Node, of current: Node, as id: MessageID, in graph: Graph, _ why: String) -> APIError {
        let order = DeclarationOrder()
        let shown =
            kind == .strategic
            ? patch.goText : PatchVerb.escaped(PatchVerb.merged(order.arranged(patched, as: id, in: graph), order.arranged(current, as: id, in: graph), patch).jsonText)
        return .invalid(kind: "", name: "", errors: [.invalid("patch", quoted: shown, why)])
    }

    /// The outcome as Go writes it: what was merged has its keys in order, the rest is as the object had it.
    private static func merged(_ outcome: Node, _ current: Node, _ patch: Node) -> Node {
        guard case .map(let fields) = outcome else { return outcome }
        var out = Fields()
        for key in fields.keys.sorted() {
            if case .map = current[key], case .map = patch[key] {
                out.appendUnique(key, merged(outcome[key], current[key], patch[key]))
            } else {
                out.appendUnique(key, outcome[key])
            }
        }
        return .map(out)
    }

    /// Go writes what HTML would take for its own as numbers.
    private static func escaped(_ json: String) -> String {
        json.replacing("<", with: "\\u003c").replacing(">", with: "\\u003e").replacing("&", with: "\\u0026")
    }

    static func accepted(_ strategic: Bool) -> [String] {
        [Kind.json.rawValue, Kind.merge.rawValue] + (strategic ? [Kind.strategic.rawValue] : []) + [Kind.apply.rawValue]
    }

    /// The patched object; `id` is the message that the patch is about (a Scale for the scale subresource).
    func apply(to current: Node, graph: Graph, as id: MessageID, _ resource: ServedResource) throws(APIError) -> Node {
        if let fault { throw fault }
        switch kind {
        case .json:
            do { return try operations?.apply(to: current) ?? current } catch { throw error.apiError }
        // A configuration goes through field management; what it says of an object that has none (a Scale) is merged.
        case .merge, .apply: return MergePatch.apply(patch, to: current)
        case .strategic:
            do { return try StrategicMerge(graph).apply(patch, to: current, as: id) } catch { throw error.apiError }
        }
    }

    /// The applied configuration, for server-side apply.
    var configuration: Node { patch }
}

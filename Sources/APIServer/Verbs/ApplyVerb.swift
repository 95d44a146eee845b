import Core
import Machinery
import Schema
import Tree

/// PATCH with `application/apply-patch+yaml`: a configuration of one manager, merged into what is there or made anew.
struct ApplyVerb: Sendable {
    private let configuration: Node
    private let resource: ServedResource
    private let subresource: String
    private let name: String
    private let namespace: String
    private let manager: String
    private let force: Bool
    private let writer: ObjectWriter
    private let context: WriteContext

    init(
        _ configuration: Node, _ resource: ServedResource, subresource: String, namespace: String, name: String, _ writer: ObjectWriter, _ context: WriteContext
    ) throws(APIError) {
        self.configuration = configuration
        self.resource = resource
        self.subresource = subresource
        self.name = name
        self.namespace = namespace
        self.writer = writer
        self.context = context
        manager = context.options.fieldManager
        force = context.options.force ?? false
        try check()
    }

    private func check() throws(APIError) {
        let expected = resource.resource.gvk
        guard case .map = configuration else { throw .badRequest("error decoding YAML: the configuration is no object") }
        let found = ApplyVerb.kind(configuration)
        guard found == ApplyVerb.text(expected) else { throw .badRequest("invalid object type: \(found)") }
        guard configuration.name.isEmpty || configuration.name == name else {
            throw .badRequest("the name of the object (\(configuration.name)) does not match the name on the URL (\(name))")
        }
        guard configuration.namespace.isEmpty || configuration.namespace == namespace else {
            throw .badRequest(
                "the namespace of the object (\(configuration.namespace)) does not match the namespace on the request (\(namespace))")
        }
        let decoded: Canonical.Decoded
        // What is of the wrong type is told where it is merged.
        do { decoded = try resource.canonical.decode(configuration, as: resource.resource.message) } catch {
            if ServerSideApply.problem(configuration, as: resource.resource.message, resource.graph) != nil { return }
            throw BodyDecoder.unhandled(expected, as: expected, error.description)
        }
        if let first = decoded.unknown.first {
            throw APIError(
                code: 500, reason: "",
                message: "failed to create typed patch object (\(configuration.namespace)/\(configuration.name); \(found)): .\(BodyDecoder.dotted(first)): field not declared in schema")
        }
    }

    /// Upstream's text for a kind: the slash stays where there is no group.
    private static func text(_ kind: GroupVersionKind) -> String { "\(kind.group)/\(kind.version), Kind=\(kind.kind)" }

    private static func kind(_ configuration: Node) -> String {
        let version = configuration.apiVersion
        return (version.isEmpty ? "/" : version.contains("/") ? version : "/\(version)") + ", Kind=\(configuration.kind)"
    }

    /// The change that the writer runs on the current object, or on null.
    func change(_ current: Node) async throws(APIError) -> Node {
        var configuration = configuration
        if configuration.name.isEmpty { configuration["metadata"]["name"] = .string(name) }
        if current.isNull, let uid = configuration["metadata"]["uid"].string, !uid.isEmpty {
            throw .conflict(
                resource.plural, group: resource.group, name: name,
                why: "uid mismatch: the provided object specified uid \(uid), and no existing object was found")
        }
        let ownership = FieldOwnership(resource, subresource: subresource, now: writer.time.now())
        let merged = try await ownership.applyAcross(configuration, to: current, by: manager, force: force)
        var object = try writer.checks.decode(merged, resource, context.options, warn: context.warn)
        object["kind"] = .string(resource.kind)
        object["apiVersion"] = .string(resource.resource.gvk.apiVersion)
        return object
    }
}

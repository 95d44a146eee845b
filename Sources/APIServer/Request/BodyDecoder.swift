import Core
import Machinery
import Schema
import Transport
import Tree

/// Reads a request's body in any encoding that the API accepts.
struct BodyDecoder: Sendable {
    /// Upstream's limit (3 MiB), above which it answers 413.
    static let limit = 3 * 1024 * 1024

    enum Encoding { case json, yaml, protobuf }

    struct Body: Sendable {
        var node: Node
        /// `duplicate field "spec.x"`, for strict validation.
        var duplicates: [String] = []
    }

    let graph: Graph

    static func read(_ request: APIRequest) async throws(APIError) -> [UInt8] {
        do { return try await request.exchange.body(limit: limit) } catch let error as TransportError where error == .bodyTooLarge {
            throw APIError.tooLarge("Request entity too large: limit is \(limit)")
        } catch {
            throw APIError.badRequest("the request body could not be read: \(error)")
        }
    }

    /// The media type of the body without its parameters; absent means JSON.
    static func mediaType(_ request: APIRequest) -> String {
        let header = request.http.headers["content-type"] ?? ""
        return String(header.prefix { $0 != ";" }).replacing(" ", with: "").lowercased()
    }

    /// An object for `resource`, whose kind is checked; not yet pruned or defaulted.
    func object(_ bytes: [UInt8], _ mediaType: String, _ resource: ServedResource) throws(APIError) -> Body {
        try object(bytes, mediaType, gvk: resource.resource.gvk, isCustom: resource.isCustom)
    }

    func object(_ bytes: [UInt8], _ mediaType: String, gvk: GroupVersionKind, isCustom: Bool = false) throws(APIError) -> Body {
        var body: Body
        switch mediaType {
        case "", "application/json", "*/*": body = try json(bytes, expecting: gvk.kind)
        case "application/yaml": body = try yaml(bytes, expecting: gvk.kind)
        case "application/vnd.kubernetes.protobuf" where !isCustom:
            do { body = Body(node: try ProtobufCodec(graph).decodeObject(bytes)) } catch {
                throw APIError.badRequest("the object provided is unrecognized (must be of type \(gvk.kind)): \(error) (\(BodyDecoder.summary(bytes)))")
            }
        default:
            var accepted = "application/json, application/yaml"
            if !isCustom { accepted += ", application/vnd.kubernetes.protobuf" }
            throw APIError.unsupportedMediaType("the body of the request was in an unknown format - accepted media types include: \(accepted)")
        }
        try check(&body.node, gvk, isCustom: isCustom, bytes)
        return body
    }

    func json(_ bytes: [UInt8], expecting kind: String) throws(APIError) -> Body {
        do {
            let (node, duplicates) = try JSONReader.readStrict(bytes)
            return Body(node: node, duplicates: duplicates.map { "duplicate field \(FieldError.quoted("\($0)"))" })
        } catch {
            throw BodyDecoder.unrecognized(kind, "couldn't get version/kind; json parse error: \(error)", bytes)
        }
    }

    private func yaml(_ bytes: [UInt8], expecting kind: String) throws(APIError) -> Body {
        do {
            let (node, duplicates) = try YAMLReader.readStrict(bytes)
            return Body(node: node, duplicates: duplicates.map { "yaml: \($0)" })
        } catch {
            throw BodyDecoder.unrecognized(kind, "error converting YAML to JSON: \(error)", bytes)
        }
    }

    private static func unrecognized(_ kind: String, _ why: String, _ bytes: [UInt8]) -> APIError {
        .badRequest("the object provided is unrecognized (must be of type \(kind)): \(why) (\(summary(bytes)))")
    }

    /// The first bytes, as upstream shows them: text, or hex of what is none.
    private static func summary(_ bytes: [UInt8]) -> String {
        if bytes.isEmpty { return "<empty>" }
        let shown = Core.Encoding.hex(bytes.prefix(30))
        return bytes.count > 30 ? shown + " ..." : shown
    }

    private func check(_ node: inout Node, _ gvk: GroupVersionKind, isCustom: Bool, _ bytes: [UInt8]) throws(APIError) {
        guard case .map = node else {
            throw BodyDecoder.unrecognized(gvk.kind, "couldn't get version/kind; json parse error: json: cannot unmarshal \(BodyDecoder.typeName(node)) into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }", bytes)
        }
        let kind = node["kind"].string ?? ""
        let apiVersion = node["apiVersion"].string ?? ""
        if isCustom, kind.isEmpty {
            throw BodyDecoder.unrecognized(gvk.kind, "Object 'Kind' is missing in '\(String(decoding: bytes.prefix(256), as: UTF8.self))'", bytes)
        }
        if !apiVersion.isEmpty, apiVersion != gvk.apiVersion {
            throw APIError.badRequest("the API version in the data (\(apiVersion)) does not match the expected API version (\(gvk.apiVersion))")
        }
        if !kind.isEmpty, kind != gvk.kind {
            throw APIError.badRequest("\(kind) in version \"\(gvk.version)\" cannot be handled as a \(gvk.kind): no kind \"\(kind)\" is accepted here")
        }
        node["kind"] = .string(gvk.kind)
        node["apiVersion"] = .string(gvk.apiVersion)
    }

    private static func typeName(_ node: Node) -> String {
        switch node {
        case .null: "null"
        case .bool: "bool"
        case .int, .double: "number"
        case .string: "string"
        case .list: "array"
        case .map: "object"
        }
    }
}

import Machinery
import Schema
import Transport
import Tree

/// Reads a request's body, with upstream's limit and media types.
enum RequestBody {
    /// Upstream's limit (3 MiB), above which it answers 413.
    static let limit = 3 * 1024 * 1024

    static func read(_ request: APIRequest) async throws(APIError) -> [UInt8] {
        do { return try await request.exchange.body(limit: limit) } catch TransportError.bodyTooLarge {
            throw APIError.tooLarge("Request entity too large: limit is \(limit)")
        } catch {
            throw APIError.badRequest("the request body could not be read: \(error)")
        }
    }

    /// The media type without its parameters; absent means JSON.
    static func mediaType(_ request: APIRequest) -> String {
        let header = request.http.headers["content-type"] ?? ""
        // Nearly all come without parameters, spaces or capitals.
        if header.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x3B && !(0x41...0x5A ~= $0) && $0 < 0x80 }) { return header }
        return String(header.prefix { $0 != ";" }).replacing(" ", with: "").lowercased()
    }

    static func isApply(_ contentType: String?) -> Bool { contentType?.hasPrefix("application/apply-patch+yaml") ?? false }

    static func syntax(_ mediaType: String, allowsProtobuf: Bool) throws(APIError) -> BodyDecoder.Syntax {
        switch mediaType {
        case "", "application/json": return .json
        case "application/yaml": return .yaml
        case "application/vnd.kubernetes.protobuf" where allowsProtobuf: return .protobuf
        default:
            var accepted = "application/json, application/yaml"
            if allowsProtobuf { accepted += ", application/vnd.kubernetes.protobuf" }
            throw APIError.unsupportedMediaType("the body of the request was in an unknown format - accepted media types include: \(accepted)")
        }
    }

    /// Reads and decodes an object of a kind: known fields only, canonical, constant defaults not yet set.
    static func object(_ request: APIRequest, _ canonical: Canonical, _ gvk: GroupVersionKind, _ validation: FieldValidation) async throws(APIError) -> Node {
        try await decoded(request, canonical, gvk, validation).object
    }

    /// The same, with what the canonical form leaves out.
    static func decoded(
        _ request: APIRequest, _ canonical: Canonical, _ gvk: GroupVersionKind, _ validation: FieldValidation, allowsProtobuf: Bool = true
    ) async throws(APIError) -> BodyDecoder.Body {
        let bytes = try await read(request)
        let body = try BodyDecoder(canonical).decode(bytes, try syntax(mediaType(request), allowsProtobuf: allowsProtobuf), as: gvk, validation)
        for warning in body.warnings { request.warn(warning) }
        return body
    }
}

/// What the client wants back: an encoding, and perhaps another shape than the object's own.
package struct ResponseFormat: Sendable, Equatable {
    package enum Encoding: Sendable { case json, yaml, protobuf }
    package enum Shape: Sendable, Equatable { case object, table, partialMetadata, partialMetadataList, discoveryV2 }

    package var encoding = Encoding.json
    package var shape = Shape.object
    /// The version of meta.k8s.io asked for: v1 or v1beta1.
    package var shapeVersion = "v1"
    package var isPretty = false

    package static let json = ResponseFormat()

    package var contentType: String {
        switch encoding {
        case .json: "application/json"
        case .yaml: "application/yaml"
        case .protobuf: "application/vnd.kubernetes.protobuf"
        }
    }
    package var streamContentType: String { encoding == .protobuf ? contentType + ";stream=watch" : contentType }
}

/// Reads `Accept` as upstream's negotiation does: clauses in order of q, the first that can be served wins; a clause that asks for
/// an unknown shape or type is passed over. Nil where nothing can be served (406).
package enum AcceptHeader {
    /// `custom`: resources without protobuf. `shapes`: whether tables and metadata make sense there.
    package static func negotiate(_ header: String?, pretty: String?, userAgent: String, allowsProtobuf: Bool, allowsShapes: Bool = true) -> ResponseFormat? {
        func isPerson() -> Bool { ["curl", "Wget", "Mozilla/5.0"].contains { userAgent.hasPrefix($0) } }
        func finish(_ format: ResponseFormat) -> ResponseFormat {
            var format = format
            format.isPretty = pretty.map { $0 != "false" && $0 != "0" } ?? isPerson()
            return format
        }
        guard let header, !header.isEmpty, header != "application/json" else { return finish(.json) }
        for clause in clauses(header) {
            if let format = format(of: clause, allowsProtobuf: allowsProtobuf, allowsShapes: allowsShapes) { return finish(format) }
        }
        return nil
    }

    /// Whether a type that is served is asked for, whatever else is asked of it.
    package static func namesServedType(_ header: String) -> Bool {
        clauses(header).contains { ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "*/*"].contains($0.type) }
    }

    struct Clause {
        var type: String
        var parameters: [(String, String)] = []
        var quality = 1.0
    }

    static func clauses(_ header: String) -> [Clause] {
        var out: [Clause] = []
        for part in header.split(separator: ",") {
            let pieces = part.split(separator: ";").map { trim($0) }
            guard let type = pieces.first, !type.isEmpty else { continue }
            var clause = Clause(type: type.lowercased())
            for piece in pieces.dropFirst() {
                let pair = piece.split(separator: "=", maxSplits: 1)
                guard pair.count == 2 else { continue }
                let value = trim(pair[1]).replacing("\"", with: "")
                if trim(pair[0]) == "q" { clause.quality = Double(value) ?? 1 } else { clause.parameters.append((trim(pair[0]), value)) }
            }
            out.append(clause)
        }
        // Stable: equal q keep their order.
        return out.enumerated().sorted { ($1.element.quality, $0.offset) < ($0.element.quality, $1.offset) }.map(\.element)
    }

    private static func format(of clause: Clause, allowsProtobuf: Bool, allowsShapes: Bool) -> ResponseFormat? {
        var format = ResponseFormat()
        switch clause.type {
        case "application/json", "*/*": format.encoding = .json
        case "application/yaml": format.encoding = .yaml
        case "application/vnd.kubernetes.protobuf":
            guard allowsProtobuf else { return nil }
            format.encoding = .protobuf
        default: return nil
        }
        var asked: (kind: String, group: String, version: String) = ("", "", "")
        for (name, value) in clause.parameters {
            switch name {
            case "as": asked.kind = value
            case "g": asked.group = value
            case "v": asked.version = value
            case "stream" where value != "watch" || format.encoding == .yaml: return nil
            case "pretty": format.isPretty = value == "1" || value == "true"
            default: continue
            }
        }
        guard !asked.kind.isEmpty else { return format }
        switch (asked.group, asked.kind) {
        case ("meta.k8s.io", "Table"): format.shape = .table
        case ("meta.k8s.io", "PartialObjectMetadata"): format.shape = .partialMetadata
        case ("meta.k8s.io", "PartialObjectMetadataList"): format.shape = .partialMetadataList
        case ("apidiscovery.k8s.io", "APIGroupDiscoveryList") where asked.version == "v2":
            format.shape = .discoveryV2
            return format
        default: return nil
        }
        // Tables have no protobuf.
        if format.shape == .table, format.encoding == .protobuf { return nil }
        guard allowsShapes, asked.version == "v1" || asked.version == "v1beta1" else { return nil }
        format.shapeVersion = asked.version
        return format
    }

    private static func trim(_ text: Substring) -> String {
        var text = text
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}

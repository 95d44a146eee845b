package import Schema
package import Tree

/// What becomes of unknown and duplicate fields: the `fieldValidation` of a request.
package enum FieldValidation: String, Sendable {
    case ignore = "Ignore", warn = "Warn", strict = "Strict"
}

/// Turns a request's body into an object in canonical form, and refuses in upstream's words what is none.
package struct BodyDecoder: Sendable {
    package enum Syntax: Sendable { case json, yaml, protobuf }

    package struct Body: Sendable {
        package var object: Node
        /// Texts for `Warning` headers.
        package var warnings: [String]
        package var empties: [EmptyCollection] = []
    }

    private let canonical: Canonical
    private let transcode: Transcode

    package init(_ canonical: Canonical) {
        self.canonical = canonical
        transcode = Transcode(canonical)
    }

    /// `kind` is what the endpoint takes: it stands in for an apiVersion or kind that the body leaves out, and is refused
    /// where the body names another.
    package func decode(_ bytes: [UInt8], _ syntax: Syntax, as kind: GroupVersionKind, _ validation: FieldValidation) throws(APIError) -> Body {
        guard let id = canonical.graph.message(of: kind) else { throw .internalError("no message for \(kind)") }
        if syntax == .protobuf { return Body(object: try protobuf(bytes, kind, id), warnings: []) }
        var complaints: [String] = []
        var duplicates: [NodePath] = []
        let node = try parse(bytes, syntax, kind, &complaints, &duplicates)
        let found = try gvk(of: node, default: kind, bytes)
        if canonical.isCustom { try checkCustom(node, kind, bytes) } else { try check(found, kind) }
        var decoded: Canonical.Decoded
        do throws(DecodingFailure) {
            decoded = try canonical.decode(node, as: id)
        } catch {
            throw BodyDecoder.unhandled(found, as: kind, error.description)
        }
        decoded.node["apiVersion"] = .string(kind.apiVersion)
        decoded.node["kind"] = .string(kind.kind)
        // What a custom resource's metadata does not know is told first, the rest by its names.
        if canonical.isCustom { decoded.unknown.sort { (Self.isBelowSpec($0) ? 1 : 0, $0.description) < (Self.isBelowSpec($1) ? 1 : 0, $1.description) } }
        complaints += Self.findings(unknown: decoded.unknown, duplicates: duplicates, in: node)
        switch validation {
        case .ignore: return Body(object: decoded.node, warnings: [], empties: decoded.empties)
        case .warn: return Body(object: decoded.node, warnings: complaints, empties: decoded.empties)
        case .strict:
            if complaints.isEmpty { return Body(object: decoded.node, warnings: [], empties: decoded.empties) }
            throw BodyDecoder.unhandled(found, as: kind, "strict decoding error: " + complaints.joined(separator: ", "))
        }
    }

    /// Upstream names the file of its registry, which clients never read and logs always show.
    /// Groups with a server of their own have another one.
    package static func unregistered(_ apiVersion: String, _ kind: String, in group: String) -> String {
        let file =
            switch group {
            case "apiextensions.k8s.io": "pkg/apiserver/apiserver.go:55"
            case "apiregistration.k8s.io": "pkg/apiserver/scheme/scheme.go:28"
            default: "pkg/api/legacyscheme/scheme.go:30"
            }
        return "no kind \(NodePath.quoted(kind)) is registered for version \(NodePath.quoted(apiVersion)) in scheme \"\(file)\""
    }

    /// `Deployment in version "v1" cannot be handled as a Deployment: …`
    package static func unhandled(_ found: GroupVersionKind, as kind: GroupVersionKind, _ why: String) -> APIError {
        .badRequest("\(found.kind) in version \(NodePath.quoted(found.version)) cannot be handled as a \(kind.kind): \(why)")
    }

    /// Strict decoding joins map keys with dots too.
    package static func dotted(_ path: NodePath) -> String {
        NodePath(path.steps.map { if case .entry(let key) = $0 { .key(key) } else { $0 } }).description
    }

    /// What strict reading finds, in the order of the document.
    package static func findings(unknown: [NodePath], duplicates: [NodePath], in node: Node) -> [String] {
        // Below a field that is unknown nobody looks.
        let duplicates = duplicates.filter { twice in !unknown.contains { twice.steps.starts(with: $0.steps) } }
        guard !unknown.isEmpty || !duplicates.isEmpty else { return [] }
        var all = unknown.map { (place(of: $0, in: node), "unknown field \(NodePath.quoted(dotted($0)))") }
        all += duplicates.map { (place(of: $0, in: node), "duplicate field \(NodePath.quoted($0.description))") }
        if !duplicates.isEmpty { all.sort { $0.0.lexicographicallyPrecedes($1.0) } }
        return all.map(\.1)
    }

    /// The number of each step among its siblings.
    private static func place(of path: NodePath, in node: Node) -> [Int] {
        var node = node
        return path.steps.map { step in
            switch step {
            case .key(let key), .entry(let key):
                let index = node.fields.index(of: key) ?? 0
                node = node[key]
                return index
            case .index(let index):
                node = node[index]
                return index
            }
        }
    }

    // MARK: Steps

    private func parse(
        _ bytes: [UInt8], _ syntax: Syntax, _ kind: GroupVersionKind, _ complaints: inout [String], _ duplicates: inout [NodePath]
    ) throws(APIError) -> Node {
        do throws(SyntaxError) {
            if syntax == .yaml {
                let (node, duplicates) = try YAMLReader.readStrict(bytes)
                if !duplicates.isEmpty { complaints.append("yaml: unmarshal errors:\n" + duplicates.map { "  \($0)" }.joined(separator: "\n")) }
                return node
            }
            let (node, found) = try JSONReader.readStrict(bytes)
            duplicates = found
            return node
        } catch {
            let why = syntax == .yaml ? error.message : "couldn't get version/kind; json parse error: \(error.message)"
            throw unrecognized(bytes, kind, why)
        }
    }

    /// Go's word for what stands in place of an object.
    private static func goType(_ node: Node) -> String? {
        switch node {
        case .map, .null: nil
        case .list: "array"
        case .string: "string"
        case .bool: "bool"
        case .int, .double: "number"
        }
    }

    private func unrecognized(_ bytes: [UInt8], _ kind: GroupVersionKind, _ why: String) -> APIError {
        .badRequest("the object provided is unrecognized (must be of type \(kind.kind)): \(why) (\(BodyDecoder.summary(bytes)))")
    }

    private static func summary(_ bytes: [UInt8]) -> String {
        if bytes.isEmpty { return "<empty>" }
        let tail = bytes.count > 30 ? " ..." : ""
        if bytes[0] == UInt8(ascii: "{") { return String(decoding: bytes.prefix(30), as: UTF8.self) + tail }
        let digits = Array("0123456789abcdef")
        return bytes.prefix(30).map { "\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }.joined() + tail
    }

    private func gvk(of node: Node, default kind: GroupVersionKind, _ bytes: [UInt8]) throws(APIError) -> GroupVersionKind {
        if let type = BodyDecoder.goType(node) {
            throw unrecognized(
                bytes, kind,
                "couldn't get version/kind; json parse error: json: cannot unmarshal \(type) into Go value of type struct { APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }")
        }
        for key in ["apiVersion", "kind"] {
            switch node[key] {
            case .null, .string: continue
            case let other:
                let found = other.list.isEmpty ? (other.int != nil || other.double != nil ? "number" : other.bool != nil ? "bool" : "object") : "array"
                throw unrecognized(
                    bytes, kind, "couldn't get version/kind; json parse error: json: cannot unmarshal \(found) into Go struct field .\(key) of type string")
            }
        }
        var found = kind
        if let version = node["apiVersion"].string, !version.isEmpty {
            guard let parsed = GroupVersionKind(apiVersion: version, kind: kind.kind) else {
                throw unrecognized(bytes, kind, "unexpected GroupVersion string: \(version)")
            }
            found = parsed
        }
        if let name = node["kind"].string, !name.isEmpty { found.kind = name }
        return found
    }

    private static func isBelowSpec(_ path: NodePath) -> Bool { path.steps.first != .key("metadata") }

    /// Custom resources name their version and kind themselves.
    private func checkCustom(_ node: Node, _ kind: GroupVersionKind, _ bytes: [UInt8]) throws(APIError) {
        let (version, name) = (node["apiVersion"].string ?? "", node["kind"].string ?? "")
        if name.isEmpty { throw unrecognized(bytes, kind, "Object 'Kind' is missing in '\(String(decoding: bytes, as: UTF8.self))'") }
        if version != kind.apiVersion {
            throw .badRequest("the API version in the data (\(version)) does not match the expected API version (\(kind.apiVersion))")
        }
        guard name != kind.kind else { return }
        let error = FieldError.invalid("kind", quoted: name, "must be \(kind.kind)")
        throw .invalid(kind: name, group: kind.group, name: node["metadata"]["name"].string ?? "", errors: [error])
    }

    private func check(_ found: GroupVersionKind, _ kind: GroupVersionKind) throws(APIError) {
        if found == kind || found.kind == kind.kind && BodyDecoder.older["\(kind.apiVersion).\(kind.kind)"] == found.apiVersion { return }
        let isRetired = BodyDecoder.retired.contains(found.apiVersion) && found.group == kind.group && found.kind == kind.kind
        let isKnown = isRetired || canonical.graph.message(of: found) != nil
        if found.apiVersion != kind.apiVersion, found.kind == kind.kind, isKnown {
            throw .badRequest("the API version in the data (\(found.apiVersion)) does not match the expected API version (\(kind.apiVersion))")
        }
        let why = !isKnown
            ? BodyDecoder.unregistered(found.apiVersion, found.kind, in: kind.group)
            : "converting (\(found.version).\(found.kind)) to (\(BodyDecoder.internalPackage(kind)).\(kind.kind)): unknown conversion"
        throw BodyDecoder.unhandled(found, as: kind, why)
    }

    /// An older version of the same shape that an endpoint takes too.
    private static let older = ["policy/v1.Eviction": "policy/v1beta1"]

    /// Versions that upstream still reads and serves no more.
    private static let retired: Set<String> = [
        "apps/v1beta1", "apps/v1beta2", "autoscaling/v2beta1", "autoscaling/v2beta2", "batch/v1beta1", "extensions/v1beta1", "policy/v1beta1",
        "networking.k8s.io/v1beta1", "rbac.authorization.k8s.io/v1alpha1", "rbac.authorization.k8s.io/v1beta1", "storage.k8s.io/v1alpha1",
        "storage.k8s.io/v1beta1", "coordination.k8s.io/v1beta1", "discovery.k8s.io/v1beta1", "events.k8s.io/v1beta1", "node.k8s.io/v1alpha1",
        "node.k8s.io/v1beta1", "scheduling.k8s.io/v1alpha1", "scheduling.k8s.io/v1beta1", "certificates.k8s.io/v1beta1",
        "admissionregistration.k8s.io/v1alpha1", "admissionregistration.k8s.io/v1beta1", "authorization.k8s.io/v1beta1",
        "flowcontrol.apiserver.k8s.io/v1beta1", "flowcontrol.apiserver.k8s.io/v1beta2", "flowcontrol.apiserver.k8s.io/v1beta3",
    ]

    /// How upstream's unversioned package of a group is called.
    package static func internalPackage(_ kind: GroupVersionKind) -> String {
        switch kind.group {
        case "", "events.k8s.io": "core"
        case "internal.apiserver.k8s.io": "apiserverinternal"
        default: kind.group.split(separator: ".").first.map(String.init) ?? "core"
        }
    }

    private func protobuf(_ bytes: [UInt8], _ kind: GroupVersionKind, _ id: MessageID) throws(APIError) -> Node {
        let envelope: Transcode.Envelope
        do throws(SyntaxError) {
            envelope = try Transcode.open(bytes)
        } catch {
            throw unrecognized(bytes, kind, error.message)
        }
        let found = try gvk(of: ["apiVersion": .string(envelope.apiVersion), "kind": .string(envelope.kind)], default: kind, bytes)
        try check(found, kind)
        do throws(SyntaxError) {
            return try transcode.decode(envelope.raw, as: id, apiVersion: kind.apiVersion, kind: kind.kind)
        } catch {
            throw BodyDecoder.unhandled(found, as: kind, error.message)
        }
    }
}

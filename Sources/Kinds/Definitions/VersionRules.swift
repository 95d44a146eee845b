import Machinery
import Tree

/// What a definition says of one version, or of all of them at once.
enum VersionRules {
    static func check(_ version: Node, _ view: DefinitionView, _ path: NodePath, _ findings: inout Findings) {
        deprecation(version, path.child("deprecationWarning"), &findings)
        let schema = version["schema"]["openAPIV3Schema"]
        self.schema(schema, hasStatus: view.hasStatus(version), path.child("schema"), &findings)
        subresources(version["subresources"], path.child("subresources"), &findings)
        columns(version["additionalPrinterColumns"].list, path.child("additionalPrinterColumns"), &findings)
        let fields = version["selectableFields"].list
        guard !fields.isEmpty else { return }
        if schema.isNull {
            findings.invalid(path.child("selectableFields"), "", "may only be set when `version.schema.openAPIV3Schema` is not included")
        } else {
            selectable(fields, schema, path.child("selectableFields"), &findings)
        }
    }

    /// What all versions have alike.
    static func checkShared(_ view: DefinitionView, _ path: NodePath, _ findings: inout Findings) {
        schema(view.schema["openAPIV3Schema"], hasStatus: view.hasStatus(nil), path.child("validation"), &findings)
        subresources(view.subresources, path.child("subresources"), &findings)
        columns(view.columns, path.child("additionalPrinterColumns"), &findings)
        guard !view.selectable.isEmpty else { return }
        if view.schema.isNull {
            findings.invalid(path.child("selectableFields"), "", "may only be set when validations.schema is included")
        } else {
            selectable(view.selectable, view.schema["openAPIV3Schema"], path.child("selectableFields"), &findings)
        }
    }

    private static func deprecation(_ version: Node, _ path: NodePath, _ findings: inout Findings) {
        guard let text = version["deprecationWarning"].string else { return }
        guard version["deprecated"].bool == true else { return findings.invalid(path, .string(text), "can only be set for deprecated versions") }
        if text.utf8.count > 256 { findings.invalid(path, .string(text), "must be <= 256 characters long") }
        if text.isEmpty { findings.invalid(path, .string(text), "must not be an empty string") }
        var offset = 0
        for scalar in text.unicodeScalars {
            if scalar.value < 0x20 || scalar.value == 0x7F {
                return findings.invalid(path, .string(text), "must only contain printable UTF-8 characters; non-printable character found at index \(offset)")
            }
            offset += String(scalar).utf8.count
        }
    }

    // MARK: - Schema

    private static func schema(_ schema: Node, hasStatus: Bool, _ path: NodePath, _ findings: inout Findings) {
        guard !schema.isNull else { return }
        let at = path.child("openAPIV3Schema")
        var own = Findings()
        if hasStatus, let field = DefinitionView.misplaced(schema) {
            if field == "Type" {
                let words = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled"
                own.add(.invalid("\(at).type", quoted: schema["type"].string ?? "", words))
            } else {
                let words = "only \(DefinitionView.allowedAtRoot) fields are allowed at the root of the schema if the status subresource is enabled"
                own.add(.invalid("\(at)", DefinitionView.shown(schema: schema).jsonText, words))
            }
        }
        if schema["nullable"].bool == true { own.forbidden(at.child("nullable"), "nullable cannot be true at the root") }
        let unsupported = StructuralRules.unsupported(schema)
        var isSound = unsupported == nil
        if isSound {
            var errors = StructuralRules.errors(schema, at: at)
            if errors.isEmpty { errors = DefaultRules.errors(schema, at: at) }
            own.add(errors)
            isSound = errors.isEmpty
        }
        let general = SchemaRules.errors(schema, at: at)
        own.add(general)
        own.add(DefinitionRules.errors(schema, path: "\(at)", onlyForm: !isSound || !general.isEmpty))
        if own.errors.isEmpty, let unsupported { own.add(.invalid("\(at)", quoted: "", unsupported)) }
        findings.add(own.errors)
    }

    // MARK: - Fields that selectors may name

    private static func selectable(_ fields: [Node], _ schema: Node, _ path: NodePath, _ findings: inout Findings) {
        var seen: Set<String> = []
        for (index, field) in fields.enumerated() {
            let at = path.element(index).child("jsonPath")
            guard let text = field["jsonPath"].string, !text.isEmpty else {
                findings.required(at)
                continue
            }
            switch SelectablePath.find(text, schema) {
            case .failure(let problem): findings.invalid(at, .string(text), "is an invalid path: \(problem.words)")
            case .success(let (names, found)):
                if names.first == "metadata" { findings.invalid(at, .string(text), "must not point to fields in metadata") }
                if !["string", "boolean", "integer"].contains(found["type"].string ?? "") {
                    findings.invalid(
                        at, .string(text), "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.")
                }
                if !seen.insert(names.joined(separator: ".")).inserted { findings.duplicate(at, text) }
            }
        }
        if seen.count > 8 { findings.add(.tooMany("\(path)", actual: seen.count, limit: 8)) }
    }

    // MARK: - Subresources and columns

    private static func subresources(_ subresources: Node, _ path: NodePath, _ findings: inout Findings) {
        let scale = subresources["scale"]
        guard !scale.isNull else { return }
        for (field, root) in [("specReplicasPath", "spec"), ("statusReplicasPath", "status")] {
            let (text, at) = (scale[field].string ?? "", path.child("scale.\(field)"))
            if text.isEmpty {
                findings.required(at)
            } else if isSimple(text, at, &findings), !text.hasPrefix(".\(root).") {
                findings.invalid(at, .string(text), "should be a json path under .\(root)")
            }
        }
        if let text = scale["labelSelectorPath"].string, !text.isEmpty {
            let at = path.child("scale.labelSelectorPath")
            if isSimple(text, at, &findings), !text.hasPrefix(".spec."), !text.hasPrefix(".status.") {
                findings.invalid(at, .string(text), "should be a json path under either .spec or .status")
            }
        }
    }

    private static func isSimple(_ text: String, _ path: NodePath, _ findings: inout Findings) -> Bool {
        if text.hasPrefix(".") { return true }
        findings.invalid(path, .string(text), "must be a simple json path starting with .")
        return false
    }

    private static let columnTypes = ["boolean", "date", "integer", "number", "string"]
    private static let columnFormats = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"]

    private static func columns(_ columns: [Node], _ path: NodePath, _ findings: inout Findings) {
        for (index, column) in columns.enumerated() {
            let at = path.element(index)
            findings.present(at.child("name"), column["name"])
            let type = column["type"].string ?? ""
            let words = "must be one of \(columnTypes.joined(separator: ","))"
            if type.isEmpty {
                findings.required(at.child("type"), words)
            } else if !columnTypes.contains(type) {
                findings.invalid(at.child("type"), .string(type), words)
            }
            if let format = column["format"].string, !format.isEmpty, !columnFormats.contains(format) {
                findings.invalid(at.child("format"), .string(format), "must be one of \(columnFormats.joined(separator: ","))")
            }
            let source = column["jsonPath"].string ?? ""
            if source.isEmpty { findings.required(at.child("JSONPath")) } else { _ = isSimple(source, at.child("JSONPath"), &findings) }
        }
    }
}

/// A path of names (`.spec.color`) through a schema.
enum SelectablePath {
    struct Problem: Error { let words: String }

    static func find(_ text: String, _ schema: Node) -> Result<(names: [String], schema: Node), Problem> {
        var schema = schema
        var names: [String] = []
        var rest = text[...]
        while let first = rest.first {
            if first == "[" { return .failure(Problem(words: "array notation is not allowed")) }
            guard first == "." else {
                let token = first == "]" ? rest.prefix(1) : rest.prefix { !".[]".contains($0) }
                return .failure(Problem(words: "expected [ or . but got: \(token)"))
            }
            rest = rest.dropFirst()
            guard let next = rest.first else { return .failure(Problem(words: "unexpected end of JSON path")) }
            let name = String(".[]".contains(next) ? rest.prefix(1) : rest.prefix { !".[]".contains($0) })
            rest = rest.dropFirst(name.count)
            if !schema["properties"].fields.isEmpty {
                schema = schema["properties"][name]
            } else if case .map = schema["additionalProperties"] {
                schema = schema["additionalProperties"]
            } else {
                schema = .null
            }
            if schema.isNull { return .failure(Problem(words: "does not refer to a valid field")) }
            names.append(name)
        }
        return .success((names, schema))
    }
}

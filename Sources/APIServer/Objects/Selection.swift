import Machinery
import Schema
import Store
import Tree

/// What a list or watch is narrowed to; answered from a record's header, without decoding.
struct Selection: Sendable {
    var labels: LabelSelector?
    var fields: FieldSelector?
    /// One object only, by its name: found without a scan.
    var name: String?
    /// Of custom resources: their fields are read from the object, since every version has its own and definitions change.
    private var customFields: [SelectableField] = []
    /// Whether fields of a version are asked for that only a webhook can tell.
    private(set) var needsConversion = false

    init() {}

    init(labels: String, fields: String, _ resource: ServedResource) throws(APIError) {
        if !labels.isEmpty {
            do { self.labels = try LabelSelector(parsing: labels) } catch {
                throw APIError.badRequest("\(error)")
            }
        }
        guard !fields.isEmpty else { return }
        let selector: FieldSelector
        do { selector = try FieldSelector(parsing: Selection.stored(fields, resource)) } catch {
            throw APIError.badRequest("\(error)")
        }
        for requirement in selector.requirements {
            let known = requirement.field == "metadata.name" || (requirement.field == "metadata.namespace" && resource.isNamespaced)
                || resource.selectableFields.contains { $0.name == requirement.field }
            guard known else {
                throw APIError.badRequest(Selection.refusal(Selection.told(requirement.field, resource), resource))
            }
        }
        name = selector.exactValue(of: "metadata.name")
        self.fields = selector
        if resource.isCustom, selector.requirements.contains(where: { !$0.field.hasPrefix("metadata.") }) {
            customFields = resource.selectableFields
            needsConversion = resource.converter != nil
        }
    }

    /// The newer group of events has other names for what is stored.
    private static func stored(_ fields: String, _ resource: ServedResource) -> String {
        guard resource.group == "events.k8s.io" else { return fields }
        return fields.replacing("involvedObject.", with: "?involvedObject.").replacing("reportingComponent", with: "?reportingComponent")
            .replacing("source", with: "?source").replacing("regarding.", with: "involvedObject.")
            .replacing("reportingController", with: "reportingComponent")
    }

    /// The name by which the client knows what is stored.
    private static func told(_ field: String, _ resource: ServedResource) -> String {
        guard resource.group == "events.k8s.io" else { return field }
        return field.hasPrefix("?") ? String(field.dropFirst()) : field.replacing("involvedObject.", with: "regarding.")
    }

    /// Upstream's kinds word it each in their own way.
    private static func refusal(_ field: String, _ resource: ServedResource) -> String {
        let gvk = resource.resource.gvk
        return switch (resource.group, resource.kind) {
        case ("batch", "Job"): "field label \(FieldError.quoted(field)) not supported for Job"
        case ("resource.k8s.io", "ResourceSlice"): "field label not supported for \(gvk.apiVersion), Kind=\(gvk.kind): \(field)"
        case _ where !resource.selectableFields.isEmpty || resource.isCustom: "field label not supported: \(field)"
        default: "\(FieldError.quoted(field)) is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        }
    }

    var isEverything: Bool { labels == nil && fields == nil && name == nil }

    /// `seen` gives the object in the version asked for, where that takes more than its bytes.
    func matches(_ record: Record, _ seen: ((Record) -> Node?)? = nil) -> Bool {
        if let name, record.key.name != name { return false }
        guard labels != nil || fields != nil else { return true }
        let header = ObjectHeader(record.header)
        if let labels, !labels.matches({ header.label($0) }) { return false }
        guard let fields else { return true }
        let object = customFields.isEmpty ? Node.null : (seen.map { $0(record) } ?? (try? record.node())) ?? .null
        return fields.matches { field in
            switch field {
            case "metadata.name": return record.key.name
            case "metadata.namespace": return record.key.namespace
            default:
                guard let custom = customFields.first(where: { $0.name == field }) else { return header.field(field) ?? "" }
                return ObjectHeader.text(custom.path.reduce(object) { $0[$1] }) ?? custom.absent
            }
        }
    }

    /// Of an object that no store holds: it has names and labels alone.
    func matches(_ object: Node) -> Bool {
        if let name, object.name != name { return false }
        if let labels, !labels.matches(object["metadata"]["labels"]) { return false }
        return fields?.matches { field in
            switch field {
            case "metadata.name": object.name
            case "metadata.namespace": object.namespace
            default: ""
            }
        } ?? true
    }
}

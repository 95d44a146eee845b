import Machinery
import Store
import Tree

/// What a list or watch is narrowed to; answered from a record's header, without decoding.
struct Selection: Sendable {
    var labels: LabelSelector?
    var fields: FieldSelector?
    /// One object only, by its name: found without a scan.
    var name: String?

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
                if !resource.selectableFields.isEmpty || resource.isCustom { throw APIError.badRequest("field label not supported: \(requirement.field)") }
                throw APIError.badRequest(
                    "\(FieldError.quoted(requirement.field)) is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
            }
        }
        name = selector.exactValue(of: "metadata.name")
        self.fields = selector
    }

    /// The newer group of events has other names for what is stored.
    private static func stored(_ fields: String, _ resource: ServedResource) -> String {
        guard resource.group == "events.k8s.io" else { return fields }
        return fields.replacing("regarding.", with: "involvedObject.").replacing("reportingController", with: "reportingComponent")
    }

    var isEverything: Bool { labels == nil && fields == nil && name == nil }

    func matches(_ record: Record) -> Bool {
        if let name, record.key.name != name { return false }
        guard labels != nil || fields != nil else { return true }
        let header = ObjectHeader(record.header)
        if let labels, !labels.matches({ header.label($0) }) { return false }
        if let fields {
            return fields.matches { field in
                switch field {
                case "metadata.name": record.key.name
                case "metadata.namespace": record.key.namespace
                default: header.field(field) ?? ""
                }
            }
        }
        return true
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

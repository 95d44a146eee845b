import Schema
import Tree

/// The names that a definition asks for, and whether another resource of the group has one of them already.
struct CustomResourceNaming {
    private let group: String
    private let plural: String
    private let names: Node

    init(_ definition: Node) {
        group = definition["spec"]["group"].string ?? ""
        names = definition["spec"]["names"]
        plural = names["plural"].string ?? ""
    }

    /// As the status repeats them, with what was left out filled in.
    var accepted: Node {
        var out: Node = ["plural": .string(plural)]
        let kind = names["kind"].string ?? ""
        out["singular"] = .string(names["singular"].string ?? kind.lowercased())
        if !names["shortNames"].list.isEmpty { out["shortNames"] = names["shortNames"] }
        out["kind"] = .string(kind)
        out["listKind"] = .string(names["listKind"].string ?? "\(kind)List")
        if !names["categories"].list.isEmpty { out["categories"] = names["categories"] }
        return out
    }

    func conflict(with catalog: ResourceCatalog) -> (reason: String, message: String)? {
        let wanted = accepted
        for other in catalog.all where other.group == group && other.plural != plural {
            let resource = other.resource
            let taken = Set([resource.name, resource.singular] + resource.shortNames)
            if taken.contains(plural) { return ("PluralConflict", "\"\(plural)\" is already in use") }
            if let singular = wanted["singular"].string, taken.contains(singular) { return ("SingularConflict", "\"\(singular)\" is already in use") }
            for short in wanted["shortNames"].stringList where taken.contains(short) { return ("ShortNamesConflict", "\"\(short)\" is already in use") }
            if let kind = wanted["kind"].string, kind == resource.kind || kind == resource.listKind { return ("KindConflict", "\"\(kind)\" is already in use") }
            if let kind = wanted["listKind"].string, kind == resource.kind || kind == resource.listKind {
                return ("ListKindConflict", "\"\(kind)\" is already in use")
            }
        }
        return nil
    }
}

package import Tree

// A custom resource's structural schema becomes messages, elements and rules like those of the schema text, so that what walks
// a graph (pruning, defaulting, validation, apply, documents) never asks which of the two it has.

extension Graph {
    /// The graph of one version of a CustomResourceDefinition, with the object and list metadata of `builtIn` copied in.
    ///
    /// Its names, scope, columns, subresources and selectable fields are the graph's one resource. Rules that need the whole
    /// schema (an unknown list key, a default of the wrong type) are what `SchemaLint` finds in the result.
    ///
    /// `isDescribed` false leaves out what only documents tell (descriptions, examples, CEL rules as text), which is most of a schema.
    package convenience init(
        customResourceDefinition definition: Node, version name: String, builtIn: Graph = .builtIn, isDescribed: Bool = true
    ) throws(SchemaError) {
        let versions = definition["spec"]["versions"].list
        guard let index = versions.firstIndex(where: { $0["name"].string == name }) else {
            throw SchemaError(place: "spec.versions", message: "no version \"\(name)\"")
        }
        var lowering = CustomResourceLowering(builtIn: builtIn, group: definition["spec"]["group"].string ?? "", version: name, isDescribed: isDescribed)
        let schema = versions[index]["schema"]["openAPIV3Schema"]
        try lowering.lower(
            schema, names: CustomResourceNames(definition["spec"]), version: versions[index], path: "spec.versions[\(index)].schema.openAPIV3Schema")
        self.init(lowering.builder)
    }
}

/// What a CustomResourceDefinition calls its resource, with upstream's defaults for what it leaves out.
struct CustomResourceNames {
    let plural: String
    let singular: String
    let kind: String
    let listKind: String
    let shortNames: [String]
    let categories: [String]
    let isNamespaced: Bool

    init(_ spec: Node) {
        let names = spec["names"]
        kind = names["kind"].string ?? ""
        plural = names["plural"].string ?? ""
        singular = names["singular"].string ?? kind.lowercased()
        listKind = names["listKind"].string ?? "\(kind)List"
        shortNames = names["shortNames"].stringList
        categories = names["categories"].stringList
        isNamespaced = spec["scope"].string != "Cluster"
    }
}

/// Lowers one version's schema into a builder of its own.
struct CustomResourceLowering {
    let builtIn: Graph
    let group: String
    let version: String
    let isDescribed: Bool
    var builder = GraphBuilder()
    /// Deeper schemas are refused: they come from clients.
    static let deepest = 100

    init(builtIn: Graph, group: String, version: String, isDescribed: Bool) {
        self.builtIn = builtIn
        self.group = group
        self.version = version
        self.isDescribed = isDescribed
    }

    /// As upstream names definitions: `example.com` in `v1` is `com.example.v1`.
    var openAPIPrefix: String { group.split(separator: ".").reversed().joined(separator: ".") + ".\(version)" }

    mutating func lower(_ schema: Node, names: CustomResourceNames, version node: Node, path: String) throws(SchemaError) {
        let root = builder.reference("\(group)/\(version).\(names.kind)").id
        if schema.isNull {
            // A version without a schema keeps whatever it is given.
            builder.drafts[Int(root.raw)].flags = .preservesUnknown
            addObjectFields(to: root, metadata: .null)
        } else {
            guard schema["type"].string == "object" else { throw SchemaError(place: "\(path).type", message: "must be object at the root") }
            let rules = try self.rules(schema, path)
            try fill(root, schema, path: path, isObject: true, depth: 0)
            builder.drafts[Int(root.raw)].rulesID = builder.add(rules)
            if schema["x-kubernetes-preserve-unknown-fields"].bool == true { builder.drafts[Int(root.raw)].flags.insert(.preservesUnknown) }
        }
        builder.drafts[Int(root.raw)].openAPIPrefix = openAPIPrefix
        let list = addList(of: root, named: names)
        builder.kinds = [
            (GroupVersionKind(group: group, version: version, kind: names.kind), root), (GroupVersionKind(group: group, version: version, kind: names.listKind), list),
        ]
        let resource = resource(names, node, root: root, list: list)
        builder.resources = [resource]
        builder.groups = [APIGroup(name: group, versions: [version])]
        if resource.subresource("status") != nil { builder.markStatus(of: root) }
    }

    private mutating func addList(of root: MessageID, named names: CustomResourceNames) -> MessageID {
        let list = builder.reference("\(group)/\(version).\(names.listKind)").id
        let items = builder.element(Element(shape: .message(root)))
        builder.drafts[Int(list.raw)].openAPIPrefix = openAPIPrefix
        builder.drafts[Int(list.raw)].fields =
            SchemaText.typeMeta + [
                Field(name: "metadata", shape: .message(builder.embed("meta/v1.ListMeta", of: builtIn)), presence: .always),
                Field(name: "items", shape: .list(items), presence: .always, flags: .required),
            ]
        return list
    }

    // MARK: The resource

    private func resource(_ names: CustomResourceNames, _ node: Node, root: MessageID, list: MessageID) -> Resource {
        var columns = [Column(name: "Name", type: "string", format: "name", priority: 0, jsonPath: ".metadata.name", description: "")]
        for column in node["additionalPrinterColumns"].list {
            columns.append(
                Column(
                    name: column["name"].string ?? "", type: column["type"].string ?? "string", format: column["format"].string ?? "",
                    priority: Int(column["priority"].int ?? 0), jsonPath: column["jsonPath"].string ?? "", description: column["description"].string ?? ""))
        }
        if columns.count == 1 {
            columns.append(Column(name: "Age", type: "date", format: "", priority: 0, jsonPath: ".metadata.creationTimestamp", description: ""))
        }
        var subresources: [Subresource] = []
        let gvk = GroupVersionKind(group: group, version: version, kind: names.kind)
        let verbs = ["get", "patch", "update"]
        if node["subresources"].has("status") { subresources.append(Subresource(name: "status", gvk: gvk, verbs: verbs, message: root)) }
        let scale = node["subresources"]["scale"]
        if !scale.isNull {
            let paths = ScalePaths(
                specReplicas: scale["specReplicasPath"].string ?? "", statusReplicas: scale["statusReplicasPath"].string ?? "",
                labelSelector: scale["labelSelectorPath"].string ?? "")
            let gvk = GroupVersionKind(group: "autoscaling", version: "v1", kind: "Scale")
            subresources.append(Subresource(name: "scale", gvk: gvk, verbs: verbs, message: nil, scalePaths: paths))
        }
        return Resource(
            group: group, version: version, name: names.plural, singular: names.singular, kind: names.kind, listKind: names.listKind, message: root,
            list: list, shortNames: names.shortNames, categories: names.categories, isNamespaced: names.isNamespaced,
            verbs: ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"], subresources: subresources, columns: columns,
            selectableFields: node["selectableFields"].list.compactMap { $0["jsonPath"].string })
    }
}

// MARK: - Resources

extension SchemaText {
    static let allVerbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]

    mutating func readResource() throws(SchemaError) {
        let name = string(try need("resource name"))
        let kind = string(try need("kind"))
        var resource = Resource(
            group: version.group, version: version.name, name: name, singular: kind.lowercased(), kind: kind, listKind: "\(kind)List",
            message: reference("\(version.qualifier).\(kind)"), list: nil, shortNames: [], categories: [], isNamespaced: false,
            verbs: SchemaText.allVerbs, subresources: [], columns: [])
        switch string(try need("scope")) {
        case "namespaced": resource.isNamespaced = true
        case "cluster": resource.isNamespaced = false
        case let word: throw fail("unknown scope '\(word)'")
        }
        while let token = next() {
            let (key, value) = split(token)
            switch string(key) {
            case "singular": resource.singular = list(value).first ?? ""
            case "short": resource.shortNames = list(value)
            case "categories": resource.categories = list(value)
            case "verbs": resource.verbs = list(value)
            case let word: throw fail("unknown attribute '\(word)'")
            }
        }
        builder.resources.append(resource)
        block = .resource
    }

    mutating func readResourceLine() throws(SchemaError) {
        let token = try need("name")
        let last = builder.resources.count - 1
        if bytes[token.lowerBound] == UInt8(ascii: "|") {
            builder.resources[last].columns.append(try readColumn())
        } else if bytes[token.lowerBound] == UInt8(ascii: "/") {
            builder.resources[last].subresources.append(try readSubresource(string(token.dropFirst()), of: builder.resources[last].kind))
        } else {
            throw fail("'/subresource' or '| column' expected")
        }
    }

    private mutating func readColumn() throws(SchemaError) -> Column {
        var column = Column(name: try text(try need("column name")), type: string(try need("column type")), format: "", priority: 0, jsonPath: "", description: "")
        while let token = next() {
            let (key, value) = split(token)
            switch (string(key), value) {
            case ("format", let value?): column.format = string(value)
            case ("priority", let value?): column.priority = Int(string(value)) ?? 0
            case ("description", let value?): column.description = try text(value)
            case (let word, _): throw fail("unknown attribute '\(word)'")
            }
        }
        return column
    }

    /// The kind is that of the resource, one of this version, or a qualified one; its group is known at the end.
    private mutating func readSubresource(_ name: String, of kind: String) throws(SchemaError) -> Subresource {
        var qualified = "\(version.qualifier).\(kind)"
        var verbs: [String] = []
        while let token = next() {
            let (key, value) = split(token)
            if value != nil {
                guard string(key) == "verbs" else { throw fail("unknown attribute '\(string(key))'") }
                verbs = list(value)
            } else {
                let text = string(token)
                qualified = text.utf8.contains(UInt8(ascii: "/")) ? text : "\(version.qualifier).\(text)"
            }
        }
        guard !verbs.isEmpty else { throw fail("verbs missing") }
        return Subresource(name: name, gvk: GroupVersionKind(group: "", version: "", kind: qualified), verbs: verbs, message: reference(qualified))
    }
}

// MARK: - The end

extension SchemaText {
    /// Checks that all that was referred to is there, and fills in what needed the whole text.
    mutating func finish() throws(SchemaError) -> GraphBuilder {
        if let (name, place) = unresolved.min(by: { ($0.value.file, $0.value.line) < ($1.value.file, $1.value.line) }) {
            throw SchemaError(place: place.file, line: place.line, message: "unknown type '\(name)'")
        }
        var places: [String: Version] = [:]
        for version in versions { places[version.qualifier] = version }
        var groups: [APIGroup] = []
        for index in builder.resources.indices {
            let resource = builder.resources[index]
            let message = builder.drafts[Int(resource.message.raw)].name
            builder.resources[index].list = builder.messageIndex["\(message)List"]
            for place in resource.subresources.indices {
                let qualified = resource.subresources[place].gvk.kind
                let dot = qualified.lastIndex(of: ".") ?? qualified.endIndex
                guard let version = places[String(qualified[..<dot])] else { continue }
                builder.resources[index].subresources[place].gvk = GroupVersionKind(
                    group: version.group, version: version.name, kind: String(qualified[dot...].dropFirst()))
            }
            if let last = groups.last, last.name == resource.group {
                if !last.versions.contains(resource.version) { groups[groups.count - 1] = APIGroup(name: last.name, versions: last.versions + [resource.version]) }
            } else {
                groups.append(APIGroup(name: resource.group, versions: [resource.version]))
            }
        }
        builder.groups = groups
        for resource in builder.resources where resource.subresource("status") != nil { builder.markStatus(of: resource.message) }
        builder.registered = versions.filter { !$0.outside }.map { GroupVersion(group: $0.group, version: $0.name) }
        builder.registered.sort { ($0.group, $0.version) < ($1.group, $1.version) }
        return builder
    }
}

import Tree

// MARK: - Lines by block

extension SchemaText {
    /// Reads a whole file on top of what was read before.
    mutating func read(_ bytes: Bytes, file: String) throws(SchemaError) {
        self.bytes = bytes
        self.file = file
        (line, position) = (0, 0)
        (package, version, block) = (Package(), Version(), .none)
        try readLines(before: bytes.count)
        try closeVersion()
    }

    private mutating func readLines(before end: Int) throws(SchemaError) {
        while nextLine(before: end) {
            if indented {
                switch block {
                case .type: try readTypeLine()
                case .resource: try readResourceLine()
                case .none: throw fail("indented line without a block")
                }
            } else {
                try closeType(at: lineStart)
                try readHead()
            }
            if next() != nil { throw fail("more on the line than its kind takes") }
        }
        try closeType(at: min(position, end))
    }

    private var lineStart: Int {
        var start = cursor
        while start > 0, bytes[start - 1] != UInt8(ascii: "\n") { start -= 1 }
        return start
    }

    private mutating func readHead() throws(SchemaError) {
        block = .none
        switch string(try need("keyword")) {
        case "type": try openType(isKind: false)
        case "kind": try openType(isKind: true)
        case "enum": try readEnum()
        case "resource": try readResource()
        case "version": try readVersion()
        case "package": try readPackage()
        case let word: throw fail("unknown keyword '\(word)'")
        }
    }

    // MARK: Package and version

    private mutating func readPackage() throws(SchemaError) {
        package = Package(name: string(try need("package name")))
        while let token = next() {
            let (key, value) = split(token)
            switch (string(key), value.map { string($0) }) {
            case ("group", let value?): package.group = value == "-" ? "" : value
            case ("openapi", let value?): package.openAPI = value
            case ("outside", nil): package.outside = true
            default: throw fail("unknown attribute '\(string(token))'")
            }
        }
    }

    private mutating func readVersion() throws(SchemaError) {
        try closeVersion()
        version = Version(group: package.group, outside: package.outside)
        guard !package.name.isEmpty else { throw fail("version before package") }
        version.name = next().map { string($0) } ?? ""
        version.qualifier = version.name.isEmpty ? package.name : "\(package.name)/\(version.name)"
        version.openAPI = version.name.isEmpty ? package.openAPI : "\(package.openAPI).\(version.name)"
        while let token = next() {
            switch string(token) {
            case "like": version.base = "\(package.name)/\(string(try need("version")))"
            case "without": while let name = next() { version.without.insert(string(name)) }
            case let word: throw fail("unknown attribute '\(word)'")
            }
        }
        guard sources.updateValue([], forKey: version.qualifier) == nil else { throw fail("version '\(version.name)' twice") }
        versions.append(version)
        localTypes.removeAll(keepingCapacity: true)
        guard !version.base.isEmpty else { return }
        guard let base = sources[version.base] else { throw fail("'\(version.base)' is not above") }
        if let name = version.without.first(where: { name in !base.contains { $0.name == name } }) { throw fail("'\(version.base)' has no '\(name)'") }
        try copy(base.filter { isEnum($0) })
    }

    private func isEnum(_ source: TypeSource) -> Bool { bytes[source.range.lowerBound] == UInt8(ascii: "e") }

    /// Takes over what the version that this one is like has and this one has not.
    private mutating func closeVersion() throws(SchemaError) {
        guard !version.base.isEmpty, let base = sources[version.base] else { return }
        let own = Set((sources[version.qualifier] ?? []).map(\.name))
        version.base = ""
        try copy(base.filter { !isEnum($0) && !own.contains($0.name) })
    }

    private mutating func copy(_ types: [TypeSource]) throws(SchemaError) {
        let (line, position, cursor, lineEnd) = (self.line, self.position, self.cursor, self.lineEnd)
        for type in types where !version.without.contains(type.name) {
            (self.line, self.position) = (type.line - 1, type.range.lowerBound)
            try readLines(before: type.range.upperBound)
        }
        (self.line, self.position, self.cursor, self.lineEnd) = (line, position, cursor, lineEnd)
    }

    // MARK: Enumerations

    private mutating func readEnum() throws(SchemaError) {
        let start = lineStart
        let name = string(try need("name"))
        var values: [Node] = []
        while let token = next() { values.append(.string(try text(token))) }
        let qualified = "\(version.qualifier).\(name)"
        guard builder.messageIndex[qualified] == nil else { throw fail("enum '\(name)' is used above or is a type too") }
        enums[qualified] = values
        sources[version.qualifier, default: []].append(TypeSource(name: name, range: start..<position, line: line))
    }

    // MARK: Types

    private mutating func openType(isKind: Bool) throws(SchemaError) {
        let start = lineStart
        let name = string(try need("name"))
        let qualified = "\(version.qualifier).\(name)"
        guard enums[qualified] == nil else { throw fail("type '\(name)' is an enum too") }
        let (id, isNew) = builder.reference(qualified)
        guard isNew || unresolved.removeValue(forKey: qualified) != nil else { throw fail("type '\(name)' twice") }
        var type = OpenType(id: id, start: start, line: line, hasList: false, draft: .init(name: qualified, openAPIPrefix: version.openAPI))
        type.draft.fields.reserveCapacity(8)
        var group = version.group
        var isEverywhere = false
        while let token = next() {
            let (key, value) = split(token)
            switch (string(key), value.map { string($0) }) {
            case ("list", nil) where isKind: type.hasList = true
            case ("everywhere", nil): isEverywhere = true
            case ("group", let value?) where isKind: group = value
            case ("union", nil): type.union.isPublished = true
            case ("map", "atomic"): type.rules.isAtomic = true
            case ("map", "granular"): type.rules.isGranular = true
            default: throw fail("unknown attribute '\(string(token))'")
            }
        }
        if isKind { type.draft.fields = SchemaText.typeMeta }
        if isEverywhere { builder.everywhere[name] = id } else if isKind { addKind(name, group, id) }
        if type.hasList { try addList(of: name, id: id, group: group) }
        open = type
        block = .type
    }

    static let typeMeta = [
        Field(name: "apiVersion", shape: .scalar(.string), presence: .omitEmpty), Field(name: "kind", shape: .scalar(.string), presence: .omitEmpty),
    ]

    private mutating func addKind(_ name: String, _ group: String, _ id: MessageID) {
        builder.kinds.append((GroupVersionKind(group: group, version: version.name, kind: name), id))
    }

    private mutating func addList(of name: String, id: MessageID, group: String) throws(SchemaError) {
        let qualified = "\(version.qualifier).\(name)List"
        let (list, isNew) = builder.reference(qualified)
        guard isNew || unresolved.removeValue(forKey: qualified) != nil else { throw fail("type '\(name)List' twice") }
        let metadata = Field(name: "metadata", shape: .message(reference("meta/v1.ListMeta")), tag: 1, presence: .always)
        let items = Field(
            name: "items", shape: .list(builder.element(Element(shape: .message(id)))), tag: 2, presence: .always, flags: .required)
        builder.drafts[Int(list.raw)] = .init(name: qualified, openAPIPrefix: version.openAPI, fields: SchemaText.typeMeta + [metadata, items])
        addKind("\(name)List", group, list)
    }

    /// The message of a qualified name, which may come later.
    mutating func reference(_ name: String) -> MessageID {
        let (id, isNew) = builder.reference(name)
        if isNew { unresolved[name] = (file, line) }
        return id
    }

    private mutating func closeType(at end: Int) throws(SchemaError) {
        guard var type = open else { return }
        open = nil
        if !type.union.members.isEmpty { type.draft.unions = [type.union] }
        type.rules.pathDefaults = type.defaults
        type.draft.rulesID = builder.add(type.rules)
        builder.drafts[Int(type.id.raw)] = type.draft
        let name = type.draft.name.dropFirst(version.qualifier.utf8.count + 1)
        sources[version.qualifier, default: []].append(TypeSource(name: String(name), range: type.start..<end, line: type.line))
    }
}

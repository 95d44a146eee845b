import Core
import Tree

/// Requests that build on each other, as text.
///
///     ## section [for x in a b] [beside]      independent of others; `${x}` is the value; `beside` others at the end
///     > PUT /api/v1/namespaces/${x} type=yaml accept=table until=200
///     metadata: {name: a}                     the body: YAML, sent as JSON unless `type` or `raw` say otherwise
///     * dryRun=All                            sent once for each such line, which stands where `{}` is: in the path, else a header, else the body
///     = rv metadata.resourceVersion           later requests may say `${rv}`
package enum Script {
    /// One request of a script, and what of its answer is looked at.
    package struct Step: Sendable {
        package var name: String
        package var method: String
        package var path: String
        package var body: String?
        package var headers: [(String, String)] = []
        package var isRaw = false
        /// Asked again until the answer has this code, or contains this text.
        package var until: String?
        /// The answer is taken apart into the members of the map at this path.
        package var split: String?
        /// Sent, but not compared.
        package var isSilent = false
        /// Compared without descriptions.
        package var isStructure = false
        package var captures: [(name: String, path: String)] = []
    }

    /// Steps that are sent one after the other.
    package struct Section: Sendable {
        package var name: String
        package var isBeside = false
        package var steps: [Step] = []
        package var variables: [String: String] = [:]
    }

    package static func read(_ path: String) throws -> [Section] {
        let text = String(decoding: try FileSystem.readFile(path), as: UTF8.self)
        var out: [Section] = []
        var lines: [Substring] = []
        var all: [Substring] = text.split(separator: "\n", omittingEmptySubsequences: false)
        all.append("## ")
        for line in all {
            if line.hasPrefix("## ") {
                if let head = lines.first { out += try sections(head.dropFirst(3), lines.dropFirst()) }
                lines = [line]
            } else if !lines.isEmpty {
                lines.append(line)
            }
        }
        return out
    }

    private static func sections(_ head: Substring, _ lines: ArraySlice<Substring>) throws -> [Section] {
        var words = head.split(separator: " ").map(String.init)
        let isBeside = words.last == "beside"
        if isBeside { words.removeLast() }
        guard let loop = words.firstIndex(of: "for"), words.count > loop + 3, words[loop + 2] == "in" else {
            let name = words.joined(separator: " ")
            return [Section(name: name, isBeside: isBeside, steps: try steps(name, lines, [:]))]
        }
        // `for a,b in 1,2 3,4` gives several variables at once.
        let names = words[loop + 1].split(separator: ",").map(String.init)
        return try words[(loop + 3)...].map { value in
            let values = value.split(separator: ",").map(String.init)
            let variables = Dictionary(zip(names, values)) { $1 }
            let name = words[..<loop].joined(separator: " ") + " " + (values.first ?? "")
            return Section(name: name, isBeside: isBeside, steps: try steps(name, lines, variables), variables: variables)
        }
    }

    private static func steps(_ section: String, _ lines: ArraySlice<Substring>, _ variables: [String: String]) throws -> [Step] {
        var blocks: [[Substring]] = []
        for line in lines where !line.hasPrefix("#") {
            if line.hasPrefix("> ") { blocks.append([line]) } else if !blocks.isEmpty { blocks[blocks.count - 1].append(line) }
        }
        var out: [Step] = []
        var seen: [String: Int] = [:]
        for block in blocks {
            for var step in try variants(block) {
                step.path = filled(step.path, variables)
                step.body = step.body.map { filled($0, variables) }
                let name = "\(section) | \(filled(step.name, variables))"
                let count = seen[name, default: 0] + 1
                seen[name] = count
                step.name = count == 1 ? name : "\(name) #\(count)"
                out.append(step)
            }
        }
        return out
    }

    private static func variants(_ block: [Substring]) throws -> [Step] {
        let words = block[0].split(separator: " ").map(String.init)
        guard words.count >= 3 else { throw RequestFile.Failure("method and path expected: \(block[0])") }
        var step = Step(name: words[1...].joined(separator: " "), method: words[1], path: words[2])
        for option in words.dropFirst(3) { try step.take(option) }
        var (body, choices): ([Substring], [String]) = ([], [])
        for line in block.dropFirst() {
            if line == "*" || line.hasPrefix("* ") {
                choices.append(String(line.dropFirst(2)))
            } else if line.hasPrefix("= ") {
                let parts = line.split(separator: " ").map(String.init)
                guard parts.count == 3 else { throw RequestFile.Failure("a name and a path expected: \(line)") }
                step.captures.append((parts[1], parts[2]))
            } else {
                body.append(line)
            }
        }
        while body.last?.isEmpty ?? false { body.removeLast() }
        if !body.isEmpty { step.body = body.joined(separator: "\n") + (step.isRaw ? "" : "\n") }
        guard !choices.isEmpty else { return [step] }
        return choices.map { choice in
            var one = step
            one.path = step.path.replacing("{}", with: choice)
            if one.path == step.path {
                one.headers = step.headers.map { ($0.0, $0.1.replacing("{}", with: choice)) }
                let isHeader = zip(one.headers, step.headers).contains { $0.1 != $1.1 }
                if !isHeader { one.body = (step.body ?? "{}").replacing("{}", with: choice) }
                one.name += " [\(choice.count > 120 ? String(choice.prefix(100)) + "…" : choice)]"
            } else {
                one.name = step.name.replacing("{}", with: choice)
            }
            return one
        }
    }

    static func filled(_ text: String, _ variables: [String: String]) -> String {
        guard text.contains("${") else { return text }
        return variables.reduce(text) { $0.replacing("${\($1.key)}", with: $1.value) }
    }
}

extension Script.Step {
    private static let types = [
        "json": "application/json", "yaml": "application/yaml", "merge": "application/merge-patch+json",
        "strategic": "application/strategic-merge-patch+json", "jsonpatch": "application/json-patch+json",
        "apply": "application/apply-patch+yaml", "protobuf": "application/vnd.kubernetes.protobuf",
    ]
    private static let shapes = [
        "table": "application/json;as=Table;v=v1;g=meta.k8s.io", "tablev1beta1": "application/json;as=Table;v=v1beta1;g=meta.k8s.io",
        "partial": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        "partials": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
        "discovery": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    ]

    mutating func take(_ option: String) throws {
        if option == "raw" { return isRaw = true }
        if option == "structure" { return isStructure = true }
        if option == "silent" { return isSilent = true }
        let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else { throw RequestFile.Failure("unknown option \(option)") }
        switch parts[0] {
        case "type":
            headers.append(("content-type", Self.types[parts[1]] ?? parts[1]))
            if parts[1] == "yaml" { isRaw = true }
        case "accept": headers.append(("accept", Self.shapes[parts[1]] ?? Self.types[parts[1]] ?? parts[1]))
        case "until": until = parts[1]
        case "split": split = parts[1]
        case let name where name.hasPrefix("header:"): headers.append((String(name.dropFirst(7)), parts[1]))
        default: throw RequestFile.Failure("unknown option \(option)")
        }
    }
}

import Tree

/// The fields that a configuration file may have, by their paths without indexes. What is not among them is a mistake of whoever wrote it.
struct ConfigurationFields: Sendable {
    private let known: Set<String>

    /// `text` has a path a word; `a.{b,c}` stands for `a.b` and `a.c`. What leads to a field is a field too.
    init(_ text: String) {
        var known: Set<String> = []
        for word in text.split(whereSeparator: \.isWhitespace) {
            let parts = word.split(separator: "{", maxSplits: 1)
            let ends = parts.count == 2 ? parts[1].dropLast().split(separator: ",") : [""]
            for end in ends {
                var path = ""
                for step in (parts[0] + end).split(separator: ".") {
                    path += path.isEmpty ? "\(step)" : ".\(step)"
                    known.insert(path)
                }
            }
        }
        self.known = known
    }

    /// The places in `node` that are no fields, outermost only.
    func unknown(in node: Node) -> [NodePath] { unknown(in: node, at: NodePath(), named: "") }

    private func unknown(in node: Node, at path: NodePath, named name: String) -> [NodePath] {
        switch node {
        case .map(let fields):
            fields.flatMap { key, value in
                let inner = name.isEmpty ? key : "\(name).\(key)"
                return known.contains(inner) ? unknown(in: value, at: path.child(key), named: inner) : [path.child(key)]
            }
        case .list(let items): items.enumerated().flatMap { unknown(in: $1, at: path.element($0), named: name) }
        default: []
        }
    }

    static let authentication = ConfigurationFields(
        """
        apiVersion kind anonymous.{enabled,conditions.path} jwt.userValidationRules.{expression,message}
        jwt.issuer.{url,discoveryURL,certificateAuthority,audiences,audienceMatchPolicy,egressSelectorType}
        jwt.claimValidationRules.{claim,requiredValue,expression,message} jwt.claimMappings.username.{claim,prefix,expression}
        jwt.claimMappings.groups.{claim,prefix,expression} jwt.claimMappings.uid.{claim,expression} jwt.claimMappings.extra.{key,valueExpression}
        """)
}

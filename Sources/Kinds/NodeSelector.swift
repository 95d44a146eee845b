package import Machinery
package import Tree

/// Which nodes a pod may go to, by labels and name: terms of which one must match.
package struct NodeSelector: Sendable {
    package struct Term: Sendable {
        package let labels: LabelSelector
        package let names: LabelSelector

        /// A term that says nothing matches nothing.
        package init(_ node: Node) {
            let isEmpty = node["matchExpressions"].isEmpty && node["matchFields"].isEmpty
            labels = isEmpty ? .nothing : Term.selector(node["matchExpressions"])
            names = Term.selector(node["matchFields"])
        }

        private static func selector(_ expressions: Node) -> LabelSelector { LabelSelector(object: ["matchExpressions": expressions]) }

        package func matches(labels map: [String: String], name: String) -> Bool {
            labels.matches(map) && names.matches { $0 == "metadata.name" ? name : nil }
        }
    }

    package let terms: [Term]
    package init(_ node: Node) { terms = node["nodeSelectorTerms"].list.map(Term.init) }

    package func matches(labels: [String: String], name: String) -> Bool {
        terms.contains { $0.matches(labels: labels, name: name) }
    }
}

/// A pod's `nodeSelector` and required node affinity, both of which must match.
package struct RequiredNodes: Sendable {
    private let plain: LabelSelector
    private let affinity: NodeSelector?

    package init(pod: Node) {
        plain = LabelSelector(equals: pod["spec"]["nodeSelector"].stringMap)
        let required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        affinity = required.isNull ? nil : NodeSelector(required)
    }

    package var matchesAll: Bool { plain.isEverything && affinity == nil }

    package func matches(labels: [String: String], name: String) -> Bool {
        plain.matches(labels) && (affinity?.matches(labels: labels, name: name) ?? true)
    }
}

import Machinery
import Store
import Tree

/// One webhook of a configuration, read once per revision of the configuration.
struct AdmissionWebhook: Sendable {
    struct Rule: Sendable {
        let operations: [String]
        let groups: [String]
        let versions: [String]
        let resources: [(name: String, subresource: String)]
        let scope: String

        init(_ node: Node) {
            operations = node["operations"].stringList
            groups = node["apiGroups"].stringList
            versions = node["apiVersions"].stringList
            scope = node["scope"].string ?? "*"
            resources = node["resources"].stringList.map { text in
                let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
                return (String(parts[0]), parts.count == 2 ? String(parts[1]) : "")
            }
        }
    }

    let configuration: String
    let name: String
    /// Tells webhooks of one name apart.
    let id: String
    let target: WebhookTarget
    let rules: [Rule]
    let ignoresFailure: Bool
    let matchesEquivalents: Bool
    let namespaces: LabelSelector
    let objects: LabelSelector
    let sideEffects: String?
    let timeout: Duration
    let reviewVersions: [String]
    let conditions: [MatchCondition]
    let isRepeatable: Bool

    init(_ node: Node, configuration: String, index: Int) {
        self.configuration = configuration
        name = node["name"].string ?? ""
        id = "\(configuration)/\(name)/\(index)"
        target = WebhookTarget(node["clientConfig"])
        rules = node["rules"].list.map(Rule.init)
        ignoresFailure = node["failurePolicy"].string == "Ignore"
        matchesEquivalents = node["matchPolicy"].string != "Exact"
        namespaces = AdmissionWebhook.selector(node["namespaceSelector"])
        objects = AdmissionWebhook.selector(node["objectSelector"])
        sideEffects = node["sideEffects"].string
        timeout = .seconds(node["timeoutSeconds"].int ?? 10)
        reviewVersions = node["admissionReviewVersions"].stringList
        conditions = node["matchConditions"].list.map { MatchCondition(name: $0["name"].string ?? "", expression: $0["expression"].string ?? "") }
        isRepeatable = node["reinvocationPolicy"].string == "IfNeeded"
    }

    private static func selector(_ node: Node) -> LabelSelector { node.isNull ? .everything : LabelSelector(object: node) }
}

/// A CEL expression that must hold for a webhook to be asked.
package struct MatchCondition: Sendable, Equatable {
    package let name: String
    package let expression: String
    package init(name: String, expression: String) {
        self.name = name
        self.expression = expression
    }
}

/// Decides match conditions. What evaluates expressions is put in from outside.
package protocol MatchConditionEvaluator: Sendable {
    /// Whether all conditions hold. Throws what evaluation ran into, where no condition is false.
    func holds(_ conditions: [MatchCondition], for request: AdmissionRequest) async throws(MatchConditionFailure) -> Bool
}

/// Why conditions could not be decided.
package struct MatchConditionFailure: Error, Sendable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

/// The webhooks of one configuration, kept with its record: a change is a new record, and so takes effect with the next request.
final class WebhookConfiguration: Sendable {
    let webhooks: [AdmissionWebhook]

    private init(_ node: Node) {
        webhooks = node["webhooks"].list.enumerated().map { AdmissionWebhook($0.element, configuration: node.name, index: $0.offset) }
    }

    /// All webhooks of a collection, in the order of their configurations' names.
    static func all(_ collection: String, in store: Store) throws(APIError) -> [AdmissionWebhook] {
        guard let page = try? store.list(collection), !page.records.isEmpty else { return [] }
        var out: [AdmissionWebhook] = []
        for record in page.records {
            out += try record.derived(WebhookConfiguration.self) { (record: Record) throws(APIError) in WebhookConfiguration(try record.node()) }.webhooks
        }
        return out
    }
}

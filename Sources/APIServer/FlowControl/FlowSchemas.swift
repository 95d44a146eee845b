import Machinery
import Store
import Synchronization
import Tree

/// Which FlowSchema and priority level a request belongs to: read from the objects, and anew when one of them changes.
final class FlowSchemas: Sendable {
    /// A PriorityLevelConfiguration.
    struct Level: Sendable, Equatable {
        let name: String
        let uid: String
        let isExempt: Bool
        let shares: Int64
        let queues: Bool
        /// How many of one flow may wait.
        let queueLength: Int
        let queueCount: Int
        /// Over how many queues a flow is spread.
        let handSize: Int
        /// Hundredths of its seats that others may have, and of which it may take more from them; nil for any number.
        let lendable: Int
        let borrowing: Int?

        init(_ node: Node) {
            name = node.name
            uid = node.uid
            let spec = node["spec"]
            isExempt = spec["type"].string == "Exempt"
            let kind = spec[isExempt ? "exempt" : "limited"]
            shares = kind["nominalConcurrencyShares"].int ?? (isExempt ? 0 : 30)
            lendable = Int(kind["lendablePercent"].int ?? 0)
            borrowing = kind["borrowingLimitPercent"].int.map(Int.init)
            let response = spec["limited"]["limitResponse"]
            queues = response["type"].string != "Reject" && !isExempt
            queueCount = Int(response["queuing"]["queues"].int ?? 64)
            handSize = Int(response["queuing"]["handSize"].int ?? 8)
            queueLength = Int(response["queuing"]["queueLengthLimit"].int ?? 50)
        }
    }

    /// What a request is counted as.
    struct Match: Sendable {
        let schema: String
        let schemaUID: String
        let level: Level
        /// Tells flows of one schema apart: the user, the namespace or nothing.
        let flow: String
    }

    private struct Schema: Sendable {
        let name: String
        let uid: String
        let precedence: Int64
        let level: String
        let distinguisher: String
        let rules: [Node]

        init(_ node: Node) {
            name = node.name
            uid = node.uid
            let spec = node["spec"]
            precedence = spec["matchingPrecedence"].int ?? 1000
            level = spec["priorityLevelConfiguration"]["name"].string ?? ""
            distinguisher = spec["distinguisherMethod"]["type"].string ?? ""
            rules = spec["rules"].list
        }
    }

    private struct Index: Sendable {
        var revision: Int64 = -1
        var schemas: [Schema] = []
        var levels: [String: Level] = [:]
    }

    private static let group = "flowcontrol.apiserver.k8s.io"
    private let store: Store
    private let changes = ChangeFlag()
    private let index = Mutex(Index())

    init(_ store: Store) {
        self.store = store
        for plural in ["flowschemas", "prioritylevelconfigurations"] { changes.follow("\(FlowSchemas.group)/\(plural)", in: store) }
    }

    /// A number that changes when the levels do.
    var revision: Int64 { changes.count }

    /// The levels by name, with a number that changes when they do.
    func currentLevels() -> (levels: [String: Level], revision: Int64) {
        let index = current()
        return (index.levels, index.revision)
    }

    private func current() -> Index {
        let seen = changes.count
        if let found = index.withLock({ $0.revision == seen ? $0 : nil }) { return found }
        func nodes(_ plural: String) -> [Node] { ((try? store.list("\(FlowSchemas.group)/\(plural)"))?.records ?? []).compactMap { try? $0.node() } }
        var built = Index(revision: seen)
        built.schemas = nodes("flowschemas").map(Schema.init).sorted { ($0.precedence, $0.name) < ($1.precedence, $1.name) }
        for node in nodes("prioritylevelconfigurations") { built.levels[node.name] = Level(node) }
        index.withLock { $0 = built }
        return built
    }

    func match(_ user: UserInfo, _ info: RequestInfo) -> Match? {
        let index = current()
        for schema in index.schemas where schema.rules.contains(where: { FlowSchemas.matches($0, user, info) }) {
            guard let level = index.levels[schema.level] else { continue }
            let flow = schema.distinguisher == "ByUser" ? user.name : schema.distinguisher == "ByNamespace" ? info.namespace : ""
            return Match(schema: schema.name, schemaUID: schema.uid, level: level, flow: "\(schema.name)\0\(flow)")
        }
        return nil
    }

    private static func matches(_ rule: Node, _ user: UserInfo, _ info: RequestInfo) -> Bool {
        guard rule["subjects"].list.contains(where: { isSubject($0, user) }) else { return false }
        func has(_ field: Node, _ value: String) -> Bool { field.list.contains { $0.string == "*" || $0.string == value } }
        if info.isResource {
            let resource = info.subresource.isEmpty ? info.resource : "\(info.resource)/\(info.subresource)"
            return rule["resourceRules"].list.contains { rule in
                guard has(rule["verbs"], info.verb), has(rule["apiGroups"], info.group), has(rule["resources"], resource) else { return false }
                return info.namespace.isEmpty ? rule["clusterScope"].bool == true : has(rule["namespaces"], info.namespace)
            }
        }
        return rule["nonResourceRules"].list.contains { rule in
            has(rule["verbs"], info.verb)
                && rule["nonResourceURLs"].stringList.contains { $0 == "*" || $0 == info.path || ($0.hasSuffix("/*") && info.path.hasPrefix($0.dropLast())) }
        }
    }

    private static func isSubject(_ subject: Node, _ user: UserInfo) -> Bool {
        switch subject["kind"].string {
        case "User":
            let name = subject["user"]["name"].string ?? ""
            return name == "*" || name == user.name
        case "Group":
            let name = subject["group"]["name"].string ?? ""
            return name == "*" || user.groups.contains(name)
        case "ServiceAccount":
            let account = subject["serviceAccount"]
            let prefix = "system:serviceaccount:\(account["namespace"].string ?? ""):"
            let name = account["name"].string ?? ""
            return name == "*" ? user.name.hasPrefix(prefix) : user.name == prefix + name
        default: return false
        }
    }
}

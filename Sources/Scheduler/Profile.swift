import Core
import Kinds
package import Machinery
package import Tree

/// How pods of one scheduler name are scheduled: which filters are asked, and what the scores weigh.
package struct Profile: Sendable {
    /// How the use of a node's resources is scored.
    struct Fitting: Sendable {
        enum Strategy: String, Sendable { case least = "LeastAllocated", most = "MostAllocated", ratio = "RequestedToCapacityRatio" }
        var strategy = Strategy.least
        var weights: [(resource: String, weight: Int64)] = [("cpu", 1), ("memory", 1)]
        /// Points of utilization (0…100) and score (0…10), ascending.
        var shape: [(use: Int64, score: Int64)] = []
    }

    package var name = "default-scheduler"
    var filters = Set(Filter.allCases)
    var weights: [Score: Int64] = Score.standard
    var fitting = Fitting()
    var ignoredResources: Set<String> = []
    var ignoredGroups: Set<String> = []
    /// Beside what pods ask for.
    var addedAffinity: NodeSelector?
    var hardPodAffinityWeight: Int64 = 1
    /// Percent of the nodes; 0 lets the number of nodes decide.
    var percentageOfNodes: Int64 = 0

    static let standard = Profile()
    package init() {}

    /// Resources that nobody but an extender counts.
    func ignores(_ resource: String) -> Bool {
        guard resource.utf8.contains(UInt8(ascii: "/")) else { return false }
        return ignoredResources.contains(resource) || ignoredGroups.contains(String(resource.prefix { $0 != "/" }))
    }
}

/// The scores by upstream's names.
enum Score: String, Sendable, CaseIterable {
    case fit = "NodeResourcesFit", balanced = "NodeResourcesBalancedAllocation", images = "ImageLocality", taints = "TaintToleration"
    case affinity = "NodeAffinity", spread = "PodTopologySpread", podAffinity = "InterPodAffinity"

    static let standard: [Score: Int64] = [.fit: 1, .balanced: 1, .images: 1, .taints: 3, .affinity: 2, .spread: 2, .podAffinity: 2]
}

/// What a `KubeSchedulerConfiguration` says of scheduling; the rest of the file (clients, leader election, metrics) has no meaning here.
package struct SchedulerConfiguration: Sendable {
    package var profiles: [Profile] = [Profile()]
    /// The wait after a first failure, and the longest.
    package var initialBackoff: Duration = .seconds(1)
    package var longestBackoff: Duration = .seconds(10)

    package init() {}

    /// Names what it cannot follow, so that nobody waits for a setting that is not heard.
    package init(_ document: Node) throws(APIError) {
        guard document.kind == "KubeSchedulerConfiguration", document.apiVersion == "kubescheduler.config.k8s.io/v1" else {
            throw APIError.badRequest("no kind \"\(document.kind)\" is registered for version \"\(document.apiVersion)\" in scheme")
        }
        guard document["extenders"].isEmpty else { throw APIError.badRequest("extenders: not supported") }
        if let seconds = document["podInitialBackoffSeconds"].int { initialBackoff = .seconds(max(1, seconds)) }
        if let seconds = document["podMaxBackoffSeconds"].int { longestBackoff = .seconds(max(1, seconds)) }
        let percentage = document["percentageOfNodesToScore"].int ?? 0
        var profiles: [Profile] = []
        for entry in document["profiles"].list { profiles.append(try SchedulerConfiguration.profile(entry, percentage)) }
        if profiles.isEmpty {
            var profile = Profile()
            profile.percentageOfNodes = percentage
            profiles = [profile]
        }
        if let twice = Dictionary(grouping: profiles, by: \.name).first(where: { $0.value.count > 1 }) {
            throw APIError.badRequest("profiles: Duplicate value: \"\(twice.key)\"")
        }
        self.profiles = profiles
    }

    private static func profile(_ entry: Node, _ percentage: Int64) throws(APIError) -> Profile {
        var profile = Profile()
        profile.name = entry["schedulerName"].string ?? "default-scheduler"
        profile.percentageOfNodes = entry["percentageOfNodesToScore"].int ?? percentage
        for point in ["multiPoint", "preFilter", "filter", "preScore", "score"] {
            let set = entry["plugins"][point]
            let (filters, scores) = (point != "preScore" && point != "score", point != "preFilter" && point != "filter")
            for plugin in set["disabled"].list {
                let name = plugin["name"].string ?? ""
                if filters { profile.filters = profile.filters.filter { name != "*" && $0.rawValue != name } }
                if scores { profile.weights = profile.weights.filter { name != "*" && $0.key.rawValue != name } }
            }
            for plugin in set["enabled"].list {
                let name = plugin["name"].string ?? ""
                let filter = Filter(rawValue: name)
                let score = Score(rawValue: name)
                guard filter != nil || score != nil || others.contains(name) else {
                    throw APIError.badRequest("profiles[\(profile.name)].plugins.\(point): plugin \"\(name)\" does not exist")
                }
                if filters, let filter { profile.filters.insert(filter) }
                if scores, let score { profile.weights[score] = plugin["weight"].int.flatMap { $0 > 0 ? $0 : nil } ?? Score.standard[score] }
            }
        }
        for plugin in entry["pluginConfig"].list { try apply(plugin["args"], of: plugin["name"].string ?? "", to: &profile) }
        return profile
    }

    /// Plugins of upstream that are always on here, or have nothing to do.
    private static let others: Set<String> = [
        "SchedulingGates", "PrioritySort", "DefaultPreemption", "DefaultBinder", "DynamicResources", "NodeDeclaredFeatures", "GangScheduling",
    ]

    private static func apply(_ args: Node, of plugin: String, to profile: inout Profile) throws(APIError) {
        switch plugin {
        case "NodeResourcesFit":
            profile.ignoredResources = Set(args["ignoredResources"].stringList)
            profile.ignoredGroups = Set(args["ignoredResourceGroups"].stringList)
            let strategy = args["scoringStrategy"]
            guard !strategy.isNull else { return }
            guard let type = Profile.Fitting.Strategy(rawValue: strategy["type"].string ?? "LeastAllocated") else {
                throw APIError.badRequest("scoringStrategy.type: Unsupported value: \"\(strategy["type"].string ?? "")\"")
            }
            profile.fitting.strategy = type
            let resources = strategy["resources"].list.map { (resource: $0["name"].string ?? "", weight: $0["weight"].int ?? 1) }
            if !resources.isEmpty { profile.fitting.weights = resources }
            profile.fitting.shape = strategy["requestedToCapacityRatio"]["shape"].list.map { (use: $0["utilization"].int ?? 0, score: $0["score"].int ?? 0) }
        case "NodeAffinity":
            let required = args["addedAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            if !required.isNull { profile.addedAffinity = NodeSelector(required) }
        case "InterPodAffinity": profile.hardPodAffinityWeight = args["hardPodAffinityWeight"].int ?? 1
        default: break
        }
    }
}

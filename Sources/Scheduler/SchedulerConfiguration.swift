import Core
import Kinds
package import Machinery
package import Tree

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
        if let seconds = document["podInitialBackoffSeconds"].int { initialBackoff = .seconds(max(1, seconds)) }
        if let seconds = document["podMaxBackoffSeconds"].int { longestBackoff = .seconds(max(1, seconds)) }
        let percentage = document["percentageOfNodesToScore"].int ?? 0
        guard (0...100).contains(percentage) else { throw APIError.badRequest("percentageOfNodesToScore: Invalid value: \(percentage): not in valid range [0-100]") }
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
        let extenders = try Extender.all(document["extenders"].list)
        for index in profiles.indices {
            profiles[index].extenders = extenders
            // Somebody else counts them.
            for extender in extenders { profiles[index].ignoredResources.formUnion(extender.uncountedResources) }
        }
        self.profiles = profiles
    }

    private static func profile(_ entry: Node, _ percentage: Int64) throws(APIError) -> Profile {
        var profile = Profile()
        profile.name = entry["schedulerName"].string ?? "default-scheduler"
        profile.percentageOfNodes = entry["percentageOfNodesToScore"].int ?? percentage
        for point in ["multiPoint", "preFilter", "filter", "postFilter", "preScore", "score"] {
            let set = entry["plugins"][point]
            let filters = ["multiPoint", "preFilter", "filter"].contains(point)
            let scores = ["multiPoint", "preScore", "score"].contains(point)
            let preemption = ["multiPoint", "postFilter"].contains(point)
            for plugin in set["disabled"].list {
                let name = plugin["name"].string ?? ""
                if filters { profile.filters = profile.filters.filter { name != "*" && $0.rawValue != name } }
                if scores { profile.weights = profile.weights.filter { name != "*" && $0.key.rawValue != name } }
                if preemption, name == "*" || name == "DefaultPreemption" { profile.preempts = false }
            }
            for plugin in set["enabled"].list {
                let name = plugin["name"].string ?? ""
                let filter = Filter.asked.first { $0.rawValue == name }
                let score = Score(rawValue: name)
                guard filter != nil || score != nil || others.contains(name) else {
                    throw APIError.badRequest("profiles[\(profile.name)].plugins.\(point): plugin \"\(name)\" does not exist")
                }
                if filters, let filter { profile.filters.insert(filter) }
                if scores, let score { profile.weights[score] = plugin["weight"].int.flatMap { $0 > 0 ? $0 : nil } ?? Score.standard[score] }
                if preemption, name == "DefaultPreemption" { profile.preempts = true }
            }
        }
        for plugin in entry["pluginConfig"].list { try profile.apply(plugin["args"], of: plugin["name"].string ?? "") }
        return profile
    }

    /// Plugins of upstream that are always on here, or have nothing to do.
    private static let others: Set<String> = [
        "SchedulingGates", "PrioritySort", "DefaultPreemption", "DefaultBinder", "DynamicResources", "NodeDeclaredFeatures", "GangScheduling",
    ]
}

/// The arguments of plugins.
extension Profile {
    fileprivate mutating func apply(_ args: Node, of plugin: String) throws(APIError) {
        switch plugin {
        case "NodeResourcesFit":
            ignoredResources = Set(args["ignoredResources"].stringList)
            ignoredGroups = Set(args["ignoredResourceGroups"].stringList)
            try setScoring(args["scoringStrategy"])
        case "NodeResourcesBalancedAllocation":
            let resources = args["resources"].list.compactMap { $0["name"].string }
            if !resources.isEmpty { balancedResources = resources }
        case "NodeAffinity":
            let required = args["addedAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            if !required.isNull { addedAffinity = NodeSelector(required) }
            addedPreferences = args["addedAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"].list.map {
                ($0["weight"].int ?? 0, NodeSelector.Term($0["preference"]))
            }
        case "InterPodAffinity":
            hardPodAffinityWeight = args["hardPodAffinityWeight"].int ?? 1
            guard (0...100).contains(hardPodAffinityWeight) else {
                throw APIError.badRequest("hardPodAffinityWeight: Invalid value: \(hardPodAffinityWeight): not in valid range [0-100]")
            }
            ignoresOthersPreferences = args["ignorePreferredTermsOfExistingPods"].bool ?? false
        case "PodTopologySpread": try setSpreading(args)
        case "VolumeBinding":
            if let seconds = args["bindTimeoutSeconds"].int {
                guard seconds >= 0 else { throw APIError.badRequest("bindTimeoutSeconds: Invalid value: \(seconds): invalid BindTimeoutSeconds, should not be a negative value") }
                volumePatience = .seconds(seconds)
            }
        case "DefaultPreemption":
            preemptionReach.percentage = args["minCandidateNodesPercentage"].int ?? 10
            preemptionReach.absolute = args["minCandidateNodesAbsolute"].int ?? 100
            guard (0...100).contains(preemptionReach.percentage) else {
                throw APIError.badRequest("minCandidateNodesPercentage: Invalid value: \(preemptionReach.percentage): not in valid range [0, 100]")
            }
            guard preemptionReach.absolute >= 0, preemptionReach.absolute + preemptionReach.percentage > 0 else {
                throw APIError.badRequest("minCandidateNodesAbsolute: Invalid value: \(preemptionReach.absolute): not in valid range [0, inf)")
            }
        default: break
        }
    }

    private mutating func setScoring(_ strategy: Node) throws(APIError) {
        guard !strategy.isNull else { return }
        guard let type = Fitting.Strategy(rawValue: strategy["type"].string ?? "LeastAllocated") else {
            throw APIError.badRequest("scoringStrategy.type: Unsupported value: \"\(strategy["type"].string ?? "")\"")
        }
        fitting.strategy = type
        let resources = strategy["resources"].list.map { (resource: $0["name"].string ?? "", weight: $0["weight"].int ?? 1) }
        if !resources.isEmpty { fitting.weights = resources }
        fitting.shape = strategy["requestedToCapacityRatio"]["shape"].list.map { (use: $0["utilization"].int ?? 0, score: $0["score"].int ?? 0) }
    }

    private mutating func setSpreading(_ args: Node) throws(APIError) {
        let constraints = args["defaultConstraints"].list
        switch args["defaultingType"].string ?? "System" {
        case "List":
            for constraint in constraints where !constraint["labelSelector"].isNull {
                throw APIError.badRequest("defaultConstraints.labelSelector: Forbidden: constraint must not define a selector, as they deduced for each pod")
            }
            defaultSpreads = constraints.map { SpreadConstraint($0, labels: [:]) }
            spreadsByDefault = false
        case "System":
            guard constraints.isEmpty else { throw APIError.badRequest("defaultingType: Invalid value: \"System\": when .defaultConstraints are not empty") }
        case let other: throw APIError.badRequest("defaultingType: Unsupported value: \"\(other)\": supported values: \"System\", \"List\"")
        }
    }
}

import Core
import Kinds
import Machinery
import Tree

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

    /// Of how many nodes preemption is thought through, at least.
    struct PreemptionReach: Sendable {
        var percentage: Int64 = 10
        var absolute: Int64 = 100

        func nodes(of count: Int) -> Int { min(count, max(Int(percentage) * count / 100, Int(absolute))) }
    }

    package var name = "default-scheduler"
    var filters = Set(Filter.allCases)
    var weights: [Score: Int64] = Score.standard
    var fitting = Fitting()
    var balancedResources = ["cpu", "memory"]
    var ignoredResources: Set<String> = []
    var ignoredGroups: Set<String> = []
    /// Beside what pods ask for.
    var addedAffinity: NodeSelector?
    var addedPreferences: [(weight: Int64, term: NodeSelector.Term)] = []
    var hardPodAffinityWeight: Int64 = 1
    var ignoresOthersPreferences = false
    /// For pods that name no constraints of their own; `spreadsByDefault`: these are the built-in ones.
    var defaultSpreads = Profile.builtInSpreads
    var spreadsByDefault = true
    var preempts = true
    var preemptionReach = PreemptionReach()
    /// How long a volume may take to be made.
    var volumePatience: Duration = .seconds(600)
    /// Percent of the nodes; 0 lets the number of nodes decide.
    var percentageOfNodes: Int64 = 0
    /// Programs outside that are asked too; the same for all profiles.
    var extenders: [Extender] = []

    static let standard = Profile()
    package init() {}

    static let builtInSpreads = [
        SpreadConstraint(["topologyKey": "kubernetes.io/hostname", "maxSkew": 3, "whenUnsatisfiable": "ScheduleAnyway"], labels: [:]),
        SpreadConstraint(["topologyKey": "topology.kubernetes.io/zone", "maxSkew": 5, "whenUnsatisfiable": "ScheduleAnyway"], labels: [:]),
    ]

    /// Resources that nobody but an extender counts.
    func ignores(_ resource: String) -> Bool {
        if ignoredResources.isEmpty, ignoredGroups.isEmpty { return false }
        guard resource.utf8.contains(UInt8(ascii: "/")) else { return false }
        return ignoredResources.contains(resource) || ignoredGroups.contains(String(resource.prefix { $0 != "/" }))
    }
}

/// The scores by upstream's names.
enum Score: String, Sendable, CaseIterable {
    case fit = "NodeResourcesFit", balanced = "NodeResourcesBalancedAllocation", images = "ImageLocality", taints = "TaintToleration"
    case affinity = "NodeAffinity", spread = "PodTopologySpread", podAffinity = "InterPodAffinity", devices = "DynamicResources"

    static let standard: [Score: Int64] = [.fit: 1, .balanced: 1, .images: 1, .taints: 3, .affinity: 2, .spread: 2, .podAffinity: 2, .devices: 2]
}

/// Why a pod cannot go to a node.
struct Refusal: Sendable, Equatable {
    let filter: Filter
    let reasons: [String]
    /// Whether removing other pods may help.
    let isResolvable: Bool

    init(_ filter: Filter, _ reason: String, isResolvable: Bool = false) {
        self.init(filter, [reason], isResolvable: isResolvable)
    }

    init(_ filter: Filter, _ reasons: [String], isResolvable: Bool) {
        self.filter = filter
        self.reasons = reasons
        self.isResolvable = isResolvable
    }
}

/// The filters by upstream's names, in the order in which they are asked.
enum Filter: String, Sendable, CaseIterable {
    case unschedulable = "NodeUnschedulable", nodeName = "NodeName", taints = "TaintToleration", affinity = "NodeAffinity", ports = "NodePorts"
    case fit = "NodeResourcesFit", restrictions = "VolumeRestrictions", limits = "NodeVolumeLimits", volumes = "VolumeBinding", zones = "VolumeZone"
    case spread = "PodTopologySpread", podAffinity = "InterPodAffinity", devices = "DynamicResources"
    /// Programs outside, that are asked last.
    case extender = "Extender"

    static let asked = allCases.filter { $0 != .extender }
}

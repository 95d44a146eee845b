import Client
import Kinds
import Machinery
import Tree

/// Where the pods are that this pod must be near to or far from, and those that want to be far from it.
struct PodAffinityState {
    /// A label and its value: the nodes that have it are one place.
    private struct Domain: Hashable {
        let key: String
        let value: String
    }

    private var refusedByOthers: [String: Set<String>] = [:]
    private var near: [Domain: Int64] = [:]
    private var far: Set<Domain> = []
    private let matchesOwnAffinity: Bool
    private let hasOwn: Bool

    var isAsked: Bool { hasOwn || !refusedByOthers.isEmpty }

    init(_ pod: PodInfo, _ cluster: SchedulingCluster) {
        matchesOwnAffinity = pod.affinity.allSatisfy { $0.matches(pod, cluster.namespaceLabels) }
        hasOwn = !pod.affinity.isEmpty || !pod.antiAffinity.isEmpty
        if cluster.antiAffinityPods > 0 { findRefusing(pod, cluster) }
        if !pod.affinity.isEmpty { findNear(pod, cluster) }
        for term in pod.antiAffinity {
            let count = PodAffinityState.counting([term], cluster)
            for node in cluster.nodes {
                guard let value = node.labels[term.topologyKey], count(node) > 0 else { continue }
                far.insert(Domain(key: term.topologyKey, value: value))
            }
        }
    }

    private mutating func findRefusing(_ pod: PodInfo, _ cluster: SchedulingCluster) {
        for node in cluster.nodes where !node.withAntiAffinity.isEmpty {
            for uid in node.withAntiAffinity {
                guard let other = node.pods[uid] else { continue }
                for term in other.antiAffinity where term.matches(pod, cluster.namespaceLabels) {
                    if let value = node.labels[term.topologyKey] { refusedByOthers[term.topologyKey, default: []].insert(value) }
                }
            }
        }
    }

    private mutating func findNear(_ pod: PodInfo, _ cluster: SchedulingCluster) {
        let count = PodAffinityState.counting(pod.affinity, cluster)
        for node in cluster.nodes {
            let matching = count(node)
            guard matching > 0 else { continue }
            for term in pod.affinity { if let value = node.labels[term.topologyKey] { near[Domain(key: term.topologyKey, value: value), default: 0] += matching } }
        }
    }

    /// How many pods of a node match all these terms.
    static func counting(_ terms: [AffinityTerm], _ cluster: SchedulingCluster) -> (NodeInfo) -> Int64 {
        if terms.count == 1, terms[0].namespaceSelector == nil {
            let counts = cluster.counts(of: terms[0].selector, in: terms[0].namespaces, counting: true)
            return { counts[$0] }
        }
        return { node in
            node.pods.values.reduce(0) { count, other in terms.allSatisfy { $0.matches(other, cluster.namespaceLabels) } ? count + 1 : count }
        }
    }

    func refusal(_ pod: PodInfo, _ node: NodeInfo) -> Refusal? {
        if !pod.affinity.isEmpty, !isNear(pod, node) { return Refusal(.podAffinity, "node(s) didn't match pod affinity rules") }
        for term in pod.antiAffinity {
            if let value = node.labels[term.topologyKey], far.contains(Domain(key: term.topologyKey, value: value)) {
                return Refusal(.podAffinity, "node(s) didn't match pod anti-affinity rules", isResolvable: true)
            }
        }
        for (key, values) in refusedByOthers {
            if let value = node.labels[key], values.contains(value) {
                return Refusal(.podAffinity, "node(s) didn't satisfy existing pods anti-affinity rules", isResolvable: true)
            }
        }
        return nil
    }

    private func isNear(_ pod: PodInfo, _ node: NodeInfo) -> Bool {
        for term in pod.affinity {
            // Without the label there is no place to be near in.
            guard let value = node.labels[term.topologyKey] else { return false }
            if (near[Domain(key: term.topologyKey, value: value)] ?? 0) > 0 { continue }
            // The first of a group of pods that want to be together may go anywhere.
            if near.isEmpty, matchesOwnAffinity { continue }
            return false
        }
        return true
    }
}

import Client
import Kinds
import Machinery
import Tree

/// Where the pods are that this pod must be near to or far from, and those that want to be far from it.
struct PodAffinityState: Sendable {
    /// A label and its value: the nodes that have it are one place.
    private struct Domain: Hashable, Sendable {
        let key: String
        let value: String
    }

    private var refusedByOthers: Set<Domain> = []
    private var near: [Domain: Int] = [:]
    private var far: Set<Domain> = []
    private let matchesOwnAffinity: Bool

    init(_ pod: PodInfo, _ cluster: SchedulingCluster) {
        matchesOwnAffinity = pod.affinity.allSatisfy { $0.matches(pod, cluster.namespaceLabels) }
        guard cluster.antiAffinityPods > 0 || !pod.affinity.isEmpty || !pod.antiAffinity.isEmpty else { return }
        for name in cluster.names {
            guard let node = cluster[name] else { continue }
            for uid in node.withAntiAffinity {
                guard let other = node.pods[uid] else { continue }
                for term in other.antiAffinity where term.matches(pod, cluster.namespaceLabels) {
                    if let value = node.labels[term.topologyKey] { refusedByOthers.insert(Domain(key: term.topologyKey, value: value)) }
                }
            }
            guard !pod.affinity.isEmpty || !pod.antiAffinity.isEmpty else { continue }
            for other in node.pods.values {
                if !pod.affinity.isEmpty, pod.affinity.allSatisfy({ $0.matches(other, cluster.namespaceLabels) }) {
                    for term in pod.affinity { if let value = node.labels[term.topologyKey] { near[Domain(key: term.topologyKey, value: value), default: 0] += 1 } }
                }
                for term in pod.antiAffinity where term.matches(other, cluster.namespaceLabels) {
                    if let value = node.labels[term.topologyKey] { far.insert(Domain(key: term.topologyKey, value: value)) }
                }
            }
        }
    }

    func refusal(_ pod: PodInfo, _ node: NodeInfo) -> Refusal? {
        if !pod.affinity.isEmpty, !isNear(pod, node) { return Refusal(.podAffinity, "node(s) didn't match pod affinity rules") }
        for term in pod.antiAffinity {
            if let value = node.labels[term.topologyKey], far.contains(Domain(key: term.topologyKey, value: value)) {
                return Refusal(.podAffinity, "node(s) didn't match pod anti-affinity rules", isResolvable: true)
            }
        }
        if !refusedByOthers.isEmpty, refusedByOthers.contains(where: { node.labels[$0.key] == $0.value }) {
            return Refusal(.podAffinity, "node(s) didn't satisfy existing pods anti-affinity rules", isResolvable: true)
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

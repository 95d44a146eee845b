import Client
import Machinery

/// How many pods that one question selects are on each node, kept up to date while pods come and go: pods of one set ask the same
/// question, one after the other.
final class MatchCounts {
    /// Pods of these namespaces with these labels. `counting`: those that are being deleted count too.
    struct Question: Hashable {
        let namespaces: Set<String>
        let selector: LabelSelector
        let counting: Bool
    }

    let question: Question
    private var bySlot: [Int64] = []
    /// When it was asked last, by count of questions.
    var lastUse = 0

    init(_ question: Question, _ nodes: some Sequence<NodeInfo>) {
        self.question = question
        for node in nodes {
            grow(node.slot)
            bySlot[node.slot] = MatchCounts.count(node, question)
        }
    }

    private func grow(_ slot: Int) { if slot >= bySlot.count { bySlot += [Int64](repeating: 0, count: slot + 1 - bySlot.count) } }

    func add(_ pod: PodInfo, on node: NodeInfo, _ sign: Int64) {
        guard MatchCounts.matches(pod, question) else { return }
        grow(node.slot)
        bySlot[node.slot] += sign
    }

    subscript(_ node: NodeInfo) -> Int64 {
        if node.isSupposed { return MatchCounts.count(node, question) }
        return node.slot < bySlot.count ? bySlot[node.slot] : 0
    }

    private static func count(_ node: NodeInfo, _ question: Question) -> Int64 {
        node.pods.values.reduce(0) { matches($1, question) ? $0 + 1 : $0 }
    }

    private static func matches(_ pod: PodInfo, _ question: Question) -> Bool {
        (question.counting || !pod.isTerminating) && question.namespaces.contains(pod.key.namespace) && question.selector.matches(pod.labels)
    }
}

/// The counts that were asked for lately.
struct MatchCountCache {
    private static let most = 64
    private var tables: [MatchCounts.Question: MatchCounts] = [:]
    private var uses = 0

    mutating func counts(_ question: MatchCounts.Question, _ nodes: some Sequence<NodeInfo>) -> MatchCounts {
        uses += 1
        if let table = tables[question] {
            table.lastUse = uses
            return table
        }
        if tables.count >= MatchCountCache.most, let oldest = tables.min(by: { $0.value.lastUse < $1.value.lastUse }) { tables[oldest.key] = nil }
        let table = MatchCounts(question, nodes)
        table.lastUse = uses
        tables[question] = table
        return table
    }

    func changed(_ pod: PodInfo, on node: NodeInfo, _ sign: Int64) { for table in tables.values { table.add(pod, on: node, sign) } }
}

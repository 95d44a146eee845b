import Kinds
import Machinery
import Tree

/// A rule of a Job's `podFailurePolicy` against a failed pod.
enum FailureRule {
    /// Whether it matches, and what of the pod did; nil where it does not.
    static func match(_ rule: Node, _ pod: Node) -> (Bool, String)? {
        let codes = rule["onExitCodes"]
        if !codes.isNull {
            let statuses = pod["status"]["initContainerStatuses"].list + pod["status"]["containerStatuses"].list
            for status in statuses {
                let name = status["name"].string ?? ""
                if let wanted = codes["containerName"].string, wanted != name { continue }
                guard let code = status["state"]["terminated"]["exitCode"].int, code != 0 else { continue }
                let isListed = codes["values"].list.contains { $0.int == code }
                guard isListed == (codes["operator"].string == "In") else { continue }
                return (true, "Container \(name) for pod \(pod.namespace)/\(pod.name) failed with exit code \(code)")
            }
            return nil
        }
        for pattern in rule["onPodConditions"].list {
            guard let condition = PodConditions.get(pod, pattern["type"].string ?? "") else { continue }
            if condition["status"].string == pattern["status"].string ?? "True" {
                return (true, "Pod \(pod.namespace)/\(pod.name) has condition \(pattern["type"].string ?? "")")
            }
        }
        return nil
    }
}

/// Indexes of a Job as its status writes them: `0-3,5`.
struct IndexSet: CustomStringConvertible {
    private var ranges: [ClosedRange<Int64>] = []

    init(_ text: String) {
        for part in text.split(separator: ",") {
            let ends = part.split(separator: "-").compactMap { Int64($0) }
            if let first = ends.first, let last = ends.last, first <= last { ranges.append(first...last) }
        }
    }

    var isEmpty: Bool { ranges.isEmpty }
    var count: Int { ranges.reduce(0) { $0 + $1.count } }
    func contains(_ index: Int64) -> Bool { ranges.contains { $0.contains(index) } }

    mutating func insert(_ index: Int64) {
        guard !contains(index) else { return }
        ranges.append(index...index)
        ranges.sort { $0.lowerBound < $1.lowerBound }
        var merged: [ClosedRange<Int64>] = []
        for range in ranges {
            if let last = merged.last, last.upperBound + 1 >= range.lowerBound {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        ranges = merged
    }

    var description: String {
        ranges.map { range in
            range.count == 1 ? "\(range.lowerBound)" : range.count == 2 ? "\(range.lowerBound),\(range.upperBound)" : "\(range.lowerBound)-\(range.upperBound)"
        }.joined(separator: ",")
    }
}

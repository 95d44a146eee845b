import Core
import Tree

/// What was recommended and done of late about one autoscaler, and how it tempers what is wanted now.
struct ScalingHistory: Sendable {
    struct Tempered: Equatable {
        var replicas: Int64
        /// Reason and message of the condition `AbleToScale`.
        var able: (reason: String, message: String)
        /// The same of `ScalingLimited`, which is true where the limits changed the number.
        var limit: (reason: String, message: String)
        var isLimited: Bool

        static func == (a: Tempered, b: Tempered) -> Bool {
            a.replicas == b.replicas && a.able == b.able && a.limit == b.limit && a.isLimited == b.isLimited
        }
    }

    private struct Entry: Sendable {
        let amount: Int64
        let time: Timestamp
    }

    private static let window: Int64 = 300
    private static let ready = (reason: "ReadyForNewScale", message: "recommended size matches current size")
    private static let inRange = (reason: "DesiredWithinRange", message: "the desired count is within the acceptable range")
    private static let tooFew = (reason: "TooFewReplicas", message: "the desired replica count is less than the minimum replica count")
    private static let tooMany = (reason: "TooManyReplicas", message: "the desired replica count is more than the maximum replica count")
    private static let tooFast = (reason: "ScaleUpLimit", message: "the desired replica count is increasing faster than the maximum scale rate")
    private static let tooSlow = (reason: "ScaleDownLimit", message: "the desired replica count is decreasing faster than the maximum scale rate")

    private var recommendations: [Entry] = []
    private var ups: [Entry] = []
    private var downs: [Entry] = []

    /// The first size seen counts as recommended.
    mutating func begin(_ replicas: Int64, now: Timestamp) {
        if recommendations.isEmpty { recommendations = [Entry(amount: replicas, time: now)] }
    }

    mutating func scaled(from old: Int64, to new: Int64, behavior: Node, now: Timestamp) {
        guard !behavior.isNull else { return }
        func longest(_ rules: Node) -> Int64 { rules["policies"].list.map { $0["periodSeconds"].int ?? 0 }.max() ?? 0 }
        if new > old {
            ups.removeAll { $0.time < now + .seconds(-longest(behavior["scaleUp"])) }
            ups.append(Entry(amount: new - old, time: now))
        } else {
            downs.removeAll { $0.time < now + .seconds(-longest(behavior["scaleDown"])) }
            downs.append(Entry(amount: old - new, time: now))
        }
    }

    mutating func temper(_ wanted: Int64, current: Int64, least: Int64, most: Int64, behavior: Node, now: Timestamp) -> Tempered {
        behavior.isNull ? temper(wanted, current, least, most, now) : temper(wanted, current, least, most, behavior, now)
    }

    // MARK: - Without behavior

    private mutating func temper(_ wanted: Int64, _ current: Int64, _ least: Int64, _ most: Int64, _ now: Timestamp) -> Tempered {
        let cutoff = now + .seconds(-ScalingHistory.window)
        recommendations.removeAll { $0.time < cutoff }
        let stable = max(wanted, recommendations.map(\.amount).max() ?? wanted)
        recommendations.append(Entry(amount: wanted, time: now))
        let able = stable == wanted
            ? ScalingHistory.ready
            : (reason: "ScaleDownStabilized", message: "recent recommendations were higher than current one, applying the highest recent recommendation")
        let rate = max(2 * current, 4)
        if stable < least { return Tempered(replicas: least, able: able, limit: ScalingHistory.tooFew, isLimited: true) }
        if stable > min(most, rate) {
            return Tempered(replicas: min(most, rate), able: able, limit: most > rate ? ScalingHistory.tooFast : ScalingHistory.tooMany, isLimited: true)
        }
        return Tempered(replicas: stable, able: able, limit: ScalingHistory.inRange, isLimited: false)
    }

    // MARK: - With behavior

    private mutating func temper(_ wanted: Int64, _ current: Int64, _ least: Int64, _ most: Int64, _ behavior: Node, _ now: Timestamp) -> Tempered {
        let up = now + .seconds(-(behavior["scaleUp"]["stabilizationWindowSeconds"].int ?? 0))
        let down = now + .seconds(-(behavior["scaleDown"]["stabilizationWindowSeconds"].int ?? ScalingHistory.window))
        let lowest = min(wanted, recommendations.filter { $0.time > up }.map(\.amount).min() ?? wanted)
        let highest = max(wanted, recommendations.filter { $0.time > down }.map(\.amount).max() ?? wanted)
        recommendations.removeAll { $0.time < up && $0.time < down }
        recommendations.append(Entry(amount: wanted, time: now))
        let stable = min(max(current, lowest), highest)
        var able = ScalingHistory.ready
        if stable != wanted {
            able = wanted >= current
                ? (reason: "ScaleUpStabilized", message: "recent recommendations were lower than current one, applying the lowest recent recommendation")
                : (reason: "ScaleDownStabilized", message: "recent recommendations were higher than current one, applying the highest recent recommendation")
        }
        if stable > current {
            let rate = max(current, limit(current, behavior["scaleUp"], isUp: true, now))
            if stable > min(most, rate) {
                return Tempered(replicas: min(most, rate), able: able, limit: most > rate ? ScalingHistory.tooFast : ScalingHistory.tooMany, isLimited: true)
            }
        } else if stable < current {
            let rate = min(current, limit(current, behavior["scaleDown"], isUp: false, now))
            if stable < max(least, rate) {
                return Tempered(replicas: max(least, rate), able: able, limit: least < rate ? ScalingHistory.tooSlow : ScalingHistory.tooFew, isLimited: true)
            }
        }
        return Tempered(replicas: stable, able: able, limit: ScalingHistory.inRange, isLimited: false)
    }

    /// What the policies of one direction allow, as a number of replicas.
    private func limit(_ current: Int64, _ rules: Node, isUp: Bool, _ now: Timestamp) -> Int64 {
        let choice = rules["selectPolicy"].string
        if choice == "Disabled" { return current }
        func change(_ entries: [Entry], _ seconds: Int64) -> Int64 { entries.filter { $0.time > now + .seconds(-seconds) }.reduce(0) { $0 + $1.amount } }
        let proposals = rules["policies"].list.map { policy -> Int64 in
            let seconds = policy["periodSeconds"].int ?? 0
            let value = policy["value"].int ?? 0
            let start = current - change(ups, seconds) + change(downs, seconds)
            if policy["type"].string == "Pods" { return isUp ? start + value : start - value }
            return isUp ? ReplicaCalculation.ceiling(Double(start) * (1 + Double(value) / 100)) : Int64(Double(start) * (1 - Double(value) / 100))
        }
        // The largest change is what is chosen where nothing else is said.
        let wantsLargest = (choice == "Min") != isUp
        return (wantsLargest ? proposals.max() : proposals.min()) ?? (isUp ? Int64(Int32.max) : 0)
    }
}

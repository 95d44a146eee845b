import Core
import Kinds
import Machinery
import Tree

/// How many replicas a metric asks for. Pods that say nothing, or are not ready yet, hold a change back, never drive it.
struct ReplicaCalculation {
    /// How far usage may be off its target without any change, as shares of it.
    struct Tolerance: Equatable {
        var down = 0.1
        var up = 0.1
        func allows(_ ratio: Double) -> Bool { 1 - down <= ratio && ratio <= 1 + up }
    }

    struct Sample: Sendable, Equatable {
        var value: Int64
        var time: Timestamp?
        var window: Duration = .seconds(60)
    }

    struct Failure: Error, Equatable { let message: String }

    struct Result: Equatable {
        var replicas: Int64
        /// Percent of the requests; only where they were compared.
        var utilization: Int64 = 0
        /// The average, in thousandths.
        var average: Int64
    }

    /// How long a started pod's CPU says little about its load.
    private static let initialization: Duration = .seconds(300)
    private static let readinessDelay: Duration = .seconds(30)

    let current: Int64
    let tolerance: Tolerance
    let pods: [Node]
    let now: Timestamp

    // MARK: - Metrics of pods

    /// Against a share, in percent, of what the pods request.
    func utilization(_ samples: [String: Sample], target: Int64, resource: String, container: String) throws(Failure) -> Result {
        var requests: [String: Int64] = [:]
        func ratio(_ samples: [String: Sample]) throws(Failure) -> (Double, Int64, Int64) {
            // Only now: a missing request is no reason where there are no metrics.
            if requests.isEmpty { requests = try self.requests(resource, container) }
            var (used, requested, count) = (Int64(0), Int64(0), Int64(0))
            for (pod, sample) in samples {
                guard let request = requests[pod] else { continue }
                used += sample.value
                requested += request
                count += 1
            }
            guard requested > 0 else { throw Failure(message: "no metrics returned matched known pods") }
            let percent = used * 100 / requested
            return (Double(percent) / Double(target), percent, used / count)
        }
        return try calculate(samples, resource, ratio) { (requests[$0] ?? 0) * max(100, target) / 100 }
    }

    /// Against an amount a pod.
    func average(_ samples: [String: Sample], target: Int64, resource: String = "") throws(Failure) -> Result {
        func ratio(_ samples: [String: Sample]) throws(Failure) -> (Double, Int64, Int64) {
            let mean = samples.values.reduce(0) { $0 + $1.value } / Int64(max(1, samples.count))
            return (Double(mean) / Double(target), 0, mean)
        }
        return try calculate(samples, resource, ratio) { _ in target }
    }

    private func calculate(
        _ samples: [String: Sample], _ resource: String, _ ratio: ([String: Sample]) throws(Failure) -> (Double, Int64, Int64), fallback: (String) -> Int64
    ) throws(Failure) -> Result {
        if pods.isEmpty { throw Failure(message: "no pods returned by selector while calculating replica count") }
        let groups = group(samples, resource)
        var samples = samples.filter { !groups.ignored.contains($0.key) && !groups.unready.contains($0.key) }
        if samples.isEmpty { throw Failure(message: "did not receive metrics for targeted pods (pods might be unready)") }
        let (first, utilization, average) = try ratio(samples)
        var result = Result(replicas: current, utilization: utilization, average: average)
        let growsWithUnready = !groups.unready.isEmpty && first > 1
        if !growsWithUnready, groups.missing.isEmpty {
            if !tolerance.allows(first) { result.replicas = ReplicaCalculation.ceiling(first * Double(groups.ready)) }
            return result
        }
        // Those missing are taken to be as far on the other side as may be.
        if first < 1 { for pod in groups.missing { samples[pod] = Sample(value: fallback(pod)) } }
        if first > 1 { for pod in groups.missing { samples[pod] = Sample(value: 0) } }
        if growsWithUnready { for pod in groups.unready { samples[pod] = Sample(value: 0) } }
        let (second, _, _) = try ratio(samples)
        if tolerance.allows(second) || (first < 1 && second > 1) || (first > 1 && second < 1) { return result }
        let wanted = ReplicaCalculation.ceiling(second * Double(samples.count))
        if (second < 1 && wanted > current) || (second > 1 && wanted < current) { return result }
        result.replicas = wanted
        return result
    }

    private func group(_ samples: [String: Sample], _ resource: String) -> (ready: Int, unready: Set<String>, missing: Set<String>, ignored: Set<String>) {
        var out: (ready: Int, unready: Set<String>, missing: Set<String>, ignored: Set<String>) = (0, [], [], [])
        for pod in pods {
            let phase = PodView(pod).phase
            if pod.isBeingDeleted || phase == "Failed" {
                out.ignored.insert(pod.name)
            } else if phase == "Pending" {
                out.unready.insert(pod.name)
            } else if let sample = samples[pod.name] {
                if resource == "cpu", isUnready(pod, sample) { out.unready.insert(pod.name) } else { out.ready += 1 }
            } else {
                out.missing.insert(pod.name)
            }
        }
        return out
    }

    private func isUnready(_ pod: Node, _ sample: Sample) -> Bool {
        guard let condition = PodConditions.get(pod, "Ready"), let start = pod["status"].time("startTime") else { return true }
        let isFalse = condition["status"].string == "False"
        let change = condition.time("lastTransitionTime") ?? start
        if start + ReplicaCalculation.initialization > now { return isFalse || (sample.time.map { $0 < change + sample.window } ?? false) }
        return isFalse && start + ReplicaCalculation.readinessDelay > change
    }

    private func requests(_ resource: String, _ container: String) throws(Failure) -> [String: Int64] {
        var out: [String: Int64] = [:]
        for pod in pods {
            if container.isEmpty, !pod["spec"]["resources"]["requests"].isEmpty {
                guard let amount = PodRequests.total(pod)[resource] else {
                    throw Failure(message: "missing pod-level request for \(resource) in Pod \(pod.name)")
                }
                out[pod.name] = amount.milliValue
                continue
            }
            let sidecars = pod["spec"]["initContainers"].list.filter { $0["restartPolicy"].string == "Always" }
            let all = (pod["spec"]["containers"].list + sidecars).filter { container.isEmpty || $0["name"].string == container }
            if all.isEmpty { throw Failure(message: "container \(container) not found in Pod \(pod.name)") }
            var total: Int64 = 0
            for one in all {
                guard let amount = PodRequests.quantity(one["resources"]["requests"][resource]) else {
                    throw Failure(message: "missing request for \(resource) in container \(one["name"].string ?? "") of Pod \(pod.name)")
                }
                total += amount.milliValue
            }
            out[pod.name] = total
        }
        return out
    }

    // MARK: - Metrics of other things

    /// A total against a target for all of the pods together.
    func total(_ value: Int64, target: Int64) throws(Failure) -> Result {
        let ratio = Double(value) / Double(target)
        if current == 0 { return Result(replicas: ReplicaCalculation.ceiling(ratio), average: value) }
        if tolerance.allows(ratio) { return Result(replicas: current, average: value) }
        if pods.isEmpty { throw Failure(message: "unable to calculate ready pods: no pods returned by selector while calculating replica count") }
        let ready = pods.filter { PodView($0).phase == "Running" && PodView($0).isReady }.count
        return Result(replicas: ReplicaCalculation.ceiling(ratio * Double(ready)), average: value)
    }

    /// A total against a target for each pod; `current` is how many there are.
    func perPod(_ value: Int64, target: Int64) -> Result {
        let ratio = Double(value) / (Double(target) * Double(current))
        let replicas = tolerance.allows(ratio) ? current : ReplicaCalculation.ceiling(Double(value) / Double(target))
        return Result(replicas: replicas, average: current > 0 ? ReplicaCalculation.ceiling(Double(value) / Double(current)) : value)
    }

    static func ceiling(_ value: Double) -> Int64 {
        let up = value.rounded(.up)
        return up >= Double(Int32.max) ? Int64(Int32.max) : up.isNaN || up <= 0 ? 0 : Int64(up)
    }
}

package import Client
package import Core
import Kinds
import Machinery
package import Schema
import Synchronization
import Tree

/// Keeps the number of an object's replicas where its metrics want it. Metrics have no events, so each autoscaler looks every 15 s, for the
/// first time when it is as old as that: what was used before it was there says little. Without autoscalers nothing looks.
package final class HorizontalPodAutoscalers: Reconciler {
    private let source: any ScalingSource
    private let histories = Mutex<[String: ScalingHistory]>([:])
    private let selectors = Mutex<[String: (key: ObjectKey, selector: LabelSelector)]>([:])
    private static let period: Duration = .seconds(15)

    package init(_ source: any ScalingSource) { self.source = source }

    package var name: String { "horizontal-pod-autoscaler" }

    package var triggers: [Trigger] {
        [
            Trigger(.horizontalPodAutoscalers, indexes: [.namespace]) { [self] change, _ in
                if change.new == nil, let old = change.old { forget(old.uid) }
                return change.old?["spec"] == change.new?["spec"] ? [] : [change.key]
            }
        ]
    }

    package var reads: [(GroupVersionResource, [ObjectTable.Index])] { [(.pods, [.namespace])] }

    private func forget(_ uid: String) {
        _ = histories.withLock { $0.removeValue(forKey: uid) }
        _ = selectors.withLock { $0.removeValue(forKey: uid) }
    }

    /// One look, carried from step to step.
    struct Look {
        let autoscaler: Node
        let recorder: EventRecorder
        let now: Timestamp
        var status: Node

        var target: Node { autoscaler["spec"]["scaleTargetRef"] }
        var behavior: Node { autoscaler["spec"]["behavior"] }

        mutating func set(_ type: String, _ isTrue: Bool, _ reason: String, _ message: String) {
            status.setCondition(type, isTrue ? "True" : "False", reason: reason, message: message, now: now)
        }

        func warn(_ reason: String, _ message: String) { recorder.record(Event(autoscaler, .warning, reason: reason, message: message)) }

        var tolerance: ReplicaCalculation.Tolerance {
            func share(_ rules: Node) -> Double? { PodRequests.quantity(rules["tolerance"]).map { Double($0.milliValue) / 1000 } }
            return .init(down: share(behavior["scaleDown"]) ?? 0.1, up: share(behavior["scaleUp"]) ?? 0.1)
        }
    }

    package func reconcile(_ key: ObjectKey, _ view: ClusterView, _ recorder: EventRecorder, now: Timestamp) async throws -> Duration? {
        guard let autoscaler = view.get(.horizontalPodAutoscalers, key), !autoscaler.isBeingDeleted else { return nil }
        if let made = Timestamp(rfc3339: autoscaler["metadata"]["creationTimestamp"].string ?? ""), now - made < HorizontalPodAutoscalers.period {
            return HorizontalPodAutoscalers.period - (now - made)
        }
        var look = Look(autoscaler: autoscaler, recorder: recorder, now: now, status: autoscaler["status"])
        await adjust(&look, view)
        if look.status != autoscaler["status"] {
            do {
                _ = try await view.client.update(.horizontalPodAutoscalers, autoscaler.with(status: look.status), subresource: "status")
            } catch let error as APIError where error.code == 404 { return nil }
        }
        return HorizontalPodAutoscalers.period
    }

    private func adjust(_ look: inout Look, _ view: ClusterView) async {
        let spec = look.autoscaler["spec"]
        let scale: Node
        do {
            scale = try await source.scale(
                apiVersion: look.target["apiVersion"].string ?? "", kind: look.target["kind"].string ?? "", namespace: look.autoscaler.namespace,
                name: look.target["name"].string ?? "")
        } catch {
            let text = HorizontalPodAutoscalers.text(error)
            look.warn("FailedGetScale", text)
            return look.set("AbleToScale", false, "FailedGetScale", "the HPA controller was unable to get the target's current scale: \(text)")
        }
        look.set("AbleToScale", true, "SucceededGetScale", "the HPA controller was able to get the target's current scale")
        let current = scale["spec"]["replicas"].int ?? 0
        let (least, most) = (spec["minReplicas"].int ?? 1, spec["maxReplicas"].int ?? 0)
        var history = histories.withLock { $0[look.autoscaler.uid] } ?? ScalingHistory()
        history.begin(current, now: look.now)
        var metrics: [Node] = []
        var desired = current
        var reason = ""
        if current == 0 {
            look.set("ScalingActive", false, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero")
        } else if current > most {
            (desired, reason) = (most, "Current number of replicas above Spec.MaxReplicas")
        } else if current < least {
            (desired, reason) = (least, "Current number of replicas below Spec.MinReplicas")
        } else {
            let proposal = await propose(&look, scale, view, &metrics)
            guard let proposal else {
                remember(history, look)
                return report(&look, current, look.status["desiredReplicas"].int ?? 0, metrics, scaled: false)
            }
            if proposal.replicas > current { reason = "\(proposal.metric) above target" }
            if proposal.replicas < current { reason = "All metrics below target" }
            let tempered = history.temper(proposal.replicas, current: current, least: least, most: most, behavior: look.behavior, now: look.now)
            look.set("AbleToScale", true, tempered.able.reason, tempered.able.message)
            look.set("ScalingLimited", tempered.isLimited, tempered.limit.reason, tempered.limit.message)
            desired = tempered.replicas
        }
        let scaled = desired != current ? await rescale(&look, from: current, to: desired, reason) : false
        if !scaled, desired != current { desired = look.status["desiredReplicas"].int ?? 0 }
        if scaled { history.scaled(from: current, to: desired, behavior: look.behavior, now: look.now) }
        remember(history, look)
        report(&look, current, desired, metrics, scaled: scaled)
    }

    private func remember(_ history: ScalingHistory, _ look: Look) { histories.withLock { $0[look.autoscaler.uid] = history } }

    private func rescale(_ look: inout Look, from current: Int64, to desired: Int64, _ reason: String) async -> Bool {
        do {
            try await source.setReplicas(
                desired, apiVersion: look.target["apiVersion"].string ?? "", kind: look.target["kind"].string ?? "",
                namespace: look.autoscaler.namespace, name: look.target["name"].string ?? "")
        } catch {
            let text = HorizontalPodAutoscalers.text(error)
            look.warn("FailedRescale", "New size: \(desired); reason: \(reason); error: \(text)")
            look.set("AbleToScale", false, "FailedUpdateScale", "the HPA controller was unable to update the target scale: \(text)")
            return false
        }
        look.set("AbleToScale", true, "SucceededRescale", "the HPA controller was able to update the target scale to \(desired)")
        look.recorder.record(Event(look.autoscaler, reason: "SuccessfulRescale", message: "New size: \(desired); reason: \(reason)"))
        return true
    }

    private func report(_ look: inout Look, _ current: Int64, _ desired: Int64, _ metrics: [Node], scaled: Bool) {
        look.status.setCount("currentReplicas", current)
        look.status["desiredReplicas"] = .int(desired)
        look.status["currentMetrics"] = metrics.isEmpty ? .null : .list(metrics)
        if scaled { look.status["lastScaleTime"] = .string(look.now.rfc3339) }
    }

    static func text(_ error: any Error) -> String {
        (error as? APIError)?.message ?? (error as? ReplicaCalculation.Failure)?.message ?? "\(error)"
    }

    // MARK: - Proposals

    /// The autoscalers, this one among them, whose selectors as they were last seen match any of the pods.
    private func rivals(_ autoscaler: Node, _ selector: LabelSelector, _ pods: [Node]) -> [String] {
        let known = selectors.withLock { selectors in
            selectors[autoscaler.uid] = (ObjectKey(autoscaler.namespace, autoscaler.name), selector)
            return selectors.values.filter { $0.key.namespace == autoscaler.namespace }
        }
        return known.filter { one in pods.contains { one.selector.matches($0["metadata"]["labels"]) } }.map(\.key.name).sorted()
    }

    /// The largest of what the metrics want. Nil where too few of them could be had.
    private func propose(_ look: inout Look, _ scale: Node, _ view: ClusterView, _ statuses: inout [Node]) async -> (replicas: Int64, metric: String)? {
        let text = scale["status"]["selector"].string ?? ""
        guard !text.isEmpty else {
            look.warn("SelectorRequired", "selector is required")
            look.warn("FailedComputeMetricsReplicas", "selector is required")
            look.set("ScalingActive", false, "InvalidSelector", "the HPA target's scale is missing a selector")
            return nil
        }
        guard let selector = try? LabelSelector(parsing: text) else {
            let message = "couldn't convert selector into a corresponding internal selector object: \(text)"
            look.warn("InvalidSelector", message)
            look.warn("FailedComputeMetricsReplicas", message)
            look.set("ScalingActive", false, "InvalidSelector", message)
            return nil
        }
        let namespace = look.autoscaler.namespace
        let pods = view.read { $0.inNamespace(.pods, namespace).filter { selector.matches($0["metadata"]["labels"]) } }
        let rivals = rivals(look.autoscaler, selector, pods)
        guard rivals.count < 2 else {
            let message = "pods by selector \(text) are controlled by multiple HPAs: [\(rivals.map { "{\($0) \(namespace)}" }.joined(separator: " "))]"
            look.warn("AmbiguousSelector", message)
            look.warn("FailedComputeMetricsReplicas", message)
            look.set("ScalingActive", false, "AmbiguousSelector", message)
            return nil
        }
        let specs = look.autoscaler["spec"]["metrics"].list
        let reader = MetricReader(source: source, look: look, scale: scale, selector: selector, pods: pods)
        var best: (replicas: Int64, metric: String)?
        var failures: [MetricReader.Refusal] = []
        for spec in specs {
            do {
                let reading = try await reader.read(spec)
                statuses.append(reading.status)
                if best.map({ reading.replicas > $0.replicas }) ?? true { best = (reading.replicas, reading.name) }
            } catch {
                let refusal = MetricReader.refusal(spec, error)
                look.warn(refusal.reason, refusal.message)
                failures.append(refusal)
                // Its place in the list stays, as upstream leaves it: a status of no type.
                statuses.append(["type": ""])
            }
        }
        if let first = failures.first, failures.count >= specs.count || (best?.replicas ?? 0) < scale["spec"]["replicas"].int ?? 0 {
            look.set("ScalingActive", false, first.reason, "the HPA was unable to compute the replica count: \(first.message)")
            look.warn("FailedComputeMetricsReplicas", "invalid metrics (\(failures.count) invalid out of \(specs.count)), first error is: \(first.inFull)")
            return nil
        }
        if let best { look.set("ScalingActive", true, "ValidMetricFound", "the HPA was able to successfully calculate a replica count from \(best.metric)") }
        return best
    }
}

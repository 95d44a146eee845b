import Client
import Core
import Kinds
import Logging
import Machinery
import Tree

/// Programs outside that are asked before a pod gets its node.
extension SchedulerService {
    /// Asks them one after the other, each about what the ones before left, then decides; nil where one that counts could not be asked.
    func consult(_ attempt: SchedulerCore.Attempt, _ core: inout SchedulerCore) async -> SchedulerCore.Decision? {
        var attempt = attempt
        let (pod, extenders) = (attempt.pod, attempt.extenders)
        for extender in extenders where !extender.filterVerb.isEmpty && !attempt.nodes.isEmpty {
            do {
                let answer = try await extender.filter(pod.node, attempt.nodes)
                attempt.keep(answer.names, failed: answer.failed, unresolvable: answer.unresolvable)
            } catch {
                log.warning("extender not asked", metadata: ["extender": "\(extender.url)", "pod": "\(pod.key)", "error": "\(error)"])
                if extender.isIgnorable { continue }
                core.postpone(pod, now: time.now())
                await tellPod(pod, "\(error)", reason: "SchedulerError")
                return nil
            }
        }
        if attempt.nodes.count > 1 {
            for extender in extenders where !extender.prioritizeVerb.isEmpty {
                do { attempt.add(try await extender.prioritize(pod.node, attempt.nodes), weight: extender.weight) } catch {
                    log.warning("extender's scores are missing", metadata: ["extender": "\(extender.url)", "error": "\(error)"])
                }
            }
        }
        return core.resume(attempt, now: time.now())
    }

    /// The candidates that they leave.
    func permitted(_ attempt: SchedulerCore.Attempt, _ candidates: [Preemption]) async -> [Preemption] {
        var candidates = candidates
        for extender in attempt.extenders where extender.preempts && !candidates.isEmpty {
            do { candidates = try await extender.preempt(attempt.pod.node, candidates) } catch {
                log.warning("extender not asked about preemption", metadata: ["extender": "\(extender.url)", "error": "\(error)"])
                if !extender.isIgnorable { return [] }
            }
        }
        return candidates
    }

    /// Whether one of them has bound the pod.
    func bindOutside(_ binding: SchedulerCore.Binding) async throws -> Bool {
        guard let extender = binding.profile.extenders.first(where: { $0.binds && $0.isInterested(in: binding.pod) }) else { return false }
        do {
            try await extender.bind(binding.pod, to: binding.node)
        } catch {
            if !extender.isIgnorable { throw error }
            return false
        }
        recordScheduled(binding)
        return true
    }

    func recordScheduled(_ binding: SchedulerCore.Binding) {
        let pod = binding.pod
        recorder.record(Event(pod.node, reason: "Scheduled", message: "Successfully assigned \(pod.key.namespace)/\(pod.key.name) to \(binding.node)"))
    }
}

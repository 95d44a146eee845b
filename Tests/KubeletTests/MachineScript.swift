import Core
import Testing
import Tree

@testable import Kubelet

/// A pod machine with a clock that the test moves.
struct MachineScript {
    var machine: PodMachine
    var now = Timestamp(seconds: 1_000_000)
    private(set) var actions: [PodAction] = []

    init(_ yaml: String, adopted: AdoptedPod? = nil, rejection: PodRejection? = nil) throws {
        var pod = try Node(yaml: yaml)
        pod["metadata"]["name"] = "web"
        pod["metadata"]["namespace"] = "default"
        pod["metadata"]["uid"] = "u-1"
        machine = PodMachine(pod: pod, adopted: adopted, rejection: rejection, now: now)
        actions = machine.begin(now: now)
    }

    /// The actions that an event brings, without events for people.
    @discardableResult
    mutating func on(_ event: PodEvent) -> [PodAction] {
        actions = machine.handle(event, now: now)
        return steps
    }

    var steps: [PodAction] { actions.filter { if case .event = $0 { false } else { true } } }
    var reasons: [String] { actions.compactMap { if case .event(_, let reason, _, _) = $0 { reason } else { nil } } }

    mutating func pass(_ seconds: Int64) -> [PodAction] {
        now = now + .seconds(seconds)
        return on(.woke)
    }

    /// Volumes and sandbox are there.
    mutating func ready() -> [PodAction] {
        on(.volumesReady)
        return on(.sandboxReady(id: "s", addresses: ["10.0.0.5"]))
    }

    @discardableResult
    mutating func started(_ name: String, _ attempt: Int = 0) -> [PodAction] {
        on(.started(name: name, attempt: attempt, RunningContainer(id: "\(name)-\(attempt)", image: "img", imageID: "img@sha256:1", startedAt: now)))
    }

    @discardableResult
    mutating func exited(_ name: String, _ attempt: Int = 0, code: Int32) -> [PodAction] {
        on(.exited(name: name, attempt: attempt, Termination(exitCode: code, reason: code == 0 ? "Completed" : "Error", startedAt: now, finishedAt: now)))
    }

    mutating func status() -> Node { machine.status(hostAddresses: ["192.168.0.1"], now: now) }

    mutating func delete(grace: Int64 = 30) -> [PodAction] {
        var pod = machine.pod.node
        pod["metadata"]["deletionTimestamp"] = .string(now.rfc3339)
        pod["metadata"]["deletionGracePeriodSeconds"] = .int(grace)
        return on(.changed(pod))
    }

    mutating func state(_ name: String) -> Node {
        let status = status()
        return (status["containerStatuses"].list + status["initContainerStatuses"].list).first { $0["name"].string == name }?["state"] ?? .null
    }

    mutating func condition(_ type: String) -> String { status()["conditions"].list.first { $0["type"].string == type }?["status"].string ?? "" }
}

extension [PodAction] {
    var hasNoStart: Bool { !contains { if case .start = $0 { true } else { false } } }
}

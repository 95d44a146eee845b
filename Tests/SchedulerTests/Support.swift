import Client
import Core
import Machinery
import Schema
import Tree

@testable import Scheduler

/// A core and a clock that only the test moves.
struct TestCluster {
    var core = SchedulerCore()
    var now = Timestamp(seconds: 1_767_225_600)
    private var objects: [GroupVersionResource: [ObjectKey: Node]] = [:]

    mutating func put(_ resource: GroupVersionResource, _ object: Node) {
        let key = ObjectKey(object.namespace, object.name)
        let old = objects[resource]?[key]
        objects[resource, default: [:]][key] = object
        core.observe(resource, key, old: old, new: object, now: now)
    }

    mutating func remove(_ resource: GroupVersionResource, _ namespace: String, _ name: String) {
        let key = ObjectKey(namespace, name)
        guard let old = objects[resource]?.removeValue(forKey: key) else { return }
        core.observe(resource, key, old: old, new: nil, now: now)
    }

    mutating func node(_ name: String, cpu: String = "4", memory: String = "8Gi", pods: Int64 = 110, labels: [String: String] = [:], _ edit: (inout Node) -> Void = { _ in }) {
        var labels = labels
        labels["kubernetes.io/hostname"] = name
        var node: Node = [
            "apiVersion": "v1", "kind": "Node", "metadata": ["name": .string(name), "uid": .string(name), "labels": Node(labels)], "spec": [:],
            "status": ["allocatable": ["cpu": .string(cpu), "memory": .string(memory), "pods": .int(pods)]],
        ]
        edit(&node)
        put(.nodes, node)
    }

    static func pod(_ name: String, cpu: String = "", on node: String = "", priority: Int64 = 0, labels: [String: String] = [:], _ edit: (inout Node) -> Void = { _ in }) -> Node {
        var pod: Node = [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name), "namespace": "default", "uid": .string(name), "labels": Node(labels)],
            "spec": ["containers": [["name": "c", "image": "i"]]], "status": ["phase": "Pending"],
        ]
        if !cpu.isEmpty { pod["spec"]["containers"][0]["resources"] = ["requests": ["cpu": .string(cpu)]] }
        if !node.isEmpty { pod["spec"]["nodeName"] = .string(node) }
        if priority != 0 { pod["spec"]["priority"] = .int(priority) }
        edit(&pod)
        return pod
    }

    /// Where the next pod went, or why nowhere.
    mutating func next() -> String? {
        switch core.next(now: now) {
        case .bind(let binding): "\(binding.pod.key.name) to \(binding.node)"
        case .refuse(let refused): refused.message
        case .consult, .consultVictims: "asks outside"
        case nil: nil
        }
    }

    mutating func schedule(_ pod: Node) -> String? {
        put(.pods, pod)
        return next()
    }

    mutating func advance(_ seconds: Int64) { now = now + .seconds(seconds) }
}

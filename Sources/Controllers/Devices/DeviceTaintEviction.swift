package import Client
package import Core
import Kinds
import Machinery
import Schema
import Tree

/// Removes pods whose devices their driver has tainted with NoExecute: at once, or when the time that their requests tolerate is over.
package struct DeviceTaintEviction: Controller {
    package init() {}
    package var name: String { "device-taint-eviction-controller" }

    /// Slices by the pool that they are of.
    private static let byPool = ObjectTable.Index("pool") { slice in [pool(slice["spec"]["driver"], slice["spec"]["pool"]["name"])] }
    /// Allocated claims by the pools of their devices.
    private static let byPoolOfDevice = ObjectTable.Index("pool-of-device") { claim in
        Array(Set(claim["status"]["allocation"]["devices"]["results"].list.map { pool($0["driver"], $0["pool"]) }))
    }
    private static func pool(_ driver: Node, _ pool: Node) -> String { "\(driver.string ?? "")/\(pool.string ?? "")" }

    package var triggers: [Trigger] {
        [
            Trigger(.resourceClaims, indexes: [DeviceTaintEviction.byPoolOfDevice]) { change, _ in
                guard let claim = change.new, change.old?["status"] != claim["status"] else { return [] }
                return DeviceTaintEviction.consumers(claim)
            },
            Trigger(.resourceSlices, indexes: [DeviceTaintEviction.byPool]) { change, view in
                guard DeviceTaintEviction.hasTaints(change.old) || DeviceTaintEviction.hasTaints(change.new), let spec = (change.new ?? change.old)?["spec"] else { return [] }
                return view.read { $0[.resourceClaims].objects("pool-of-device", DeviceTaintEviction.pool(spec["driver"], spec["pool"]["name"])) }
                    .flatMap(DeviceTaintEviction.consumers)
            },
            Trigger(.pods) { change, _ in
                guard let pod = change.new, !PodClaims(pod).isEmpty, change.old?["spec"]["nodeName"] != pod["spec"]["nodeName"] else { return [] }
                return [change.key]
            },
        ]
    }

    private static func hasTaints(_ slice: Node?) -> Bool { slice?["spec"]["devices"].list.contains { !$0["taints"].isEmpty } ?? false }

    private static func consumers(_ claim: Node) -> [ObjectKey] {
        claim["status"]["reservedFor"].list.compactMap { $0["resource"].string == "pods" ? ObjectKey(claim.namespace, $0["name"].string ?? "") : nil }
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let pod = state.get(.pods, key), !pod.isBeingDeleted, !PodClaims.isDone(pod), !(pod["spec"]["nodeName"].string ?? "").isEmpty else { return .nothing }
        var deadline: Timestamp?
        for name in PodClaims(pod).claimNames {
            guard let claim = state.get(.resourceClaims, key.namespace, name), PodClaims.isReserved(claim, for: pod) else { continue }
            for result in claim["status"]["allocation"]["devices"]["results"].list {
                for taint in taints(result, state) {
                    let used = result["tolerations"].list.filter { Tolerations.tolerates($0, taint) }
                    let seconds = used.isEmpty ? 0 : used.compactMap { $0["tolerationSeconds"].int }.min()
                    guard let seconds else { continue }
                    let end = (taint.time("timeAdded") ?? now) + .seconds(max(0, seconds))
                    deadline = min(deadline ?? end, end)
                }
            }
        }
        guard let deadline else { return .nothing }
        return deadline <= now ? evict(pod, now) : Plan(requeueAfter: deadline - now)
    }

    /// The NoExecute taints of an allocated device, as the newest generation of its pool has them.
    private func taints(_ result: Node, _ state: borrowing ClusterState) -> [Node] {
        let slices = state[.resourceSlices].objects("pool", DeviceTaintEviction.pool(result["driver"], result["pool"]))
        let newest = slices.compactMap { $0["spec"]["pool"]["generation"].int }.max()
        return slices.filter { $0["spec"]["pool"]["generation"].int == newest }.flatMap { slice in
            slice["spec"]["devices"].list.filter { $0["name"] == result["device"] }.flatMap { $0["taints"].list.filter { $0["effect"].string == "NoExecute" } }
        }
    }

    private func evict(_ pod: Node, _ now: Timestamp) -> Plan {
        var told = pod
        PodConditions.set(
            &told, type: "DisruptionTarget", status: "True", reason: "DeletionByDeviceTaintManager",
            message: "Device Taint manager: deleting due to NoExecute taint", now: now)
        return Plan([
            .event(Event(pod, reason: "DeviceTaintManagerEviction", message: "Marking for deletion")), .updateStatus(.pods, told),
            .delete(.pods, ObjectKey(pod.namespace, pod.name), DeleteOptions(uid: pod.uid)),
        ])
    }
}

package import Client
package import Core
import Machinery
import Schema
import Tree

/// Says of ranges of service addresses that they are ready, and lets one go only when no Service and no IPAddress has an address of it
/// that no other range has too.
package struct ServiceCIDRs: Controller {
    package init() {}
    package var name: String { "service-cidr-controller" }
    private static let finalizer = "networking.k8s.io/service-cidr-finalizer"
    /// How long a range that is free is kept, for those who still believe in it.
    private static let grace: Duration = .seconds(10)

    package var triggers: [Trigger] {
        [
            Trigger(.serviceCIDRs) { change, view in
                // One range more or less may be what another waits for.
                if change.old != nil, let new = change.new { return new.isBeingDeleted || change.old?["spec"] != new["spec"] ? [change.key] : [] }
                return view.read { state in state[.serviceCIDRs].objects.filter { $0.value.isBeingDeleted }.map(\.key) } + [change.key]
            },
        ]
            + [GroupVersionResource.services, .ipAddresses].map { resource in
                Trigger(resource) { change, view in
                    guard change.new == nil else { return [] }
                    return view.read { state in state[.serviceCIDRs].objects.filter { $0.value.isBeingDeleted }.map(\.key) }
                }
            }
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let range = state.get(.serviceCIDRs, key) else { return .nothing }
        let hasFinalizer = range.finalizers.contains(ServiceCIDRs.finalizer)
        guard range.isBeingDeleted else {
            var plan = Plan()
            if !hasFinalizer { plan.actions.append(finalizers(range, range.finalizers + [ServiceCIDRs.finalizer])) }
            condition(range, "True", "", "Kubernetes Service CIDR is ready", now, &plan)
            return plan
        }
        guard hasFinalizer else { return .nothing }
        if !isFree(range, state) {
            var plan = Plan()
            let message = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
            condition(range, "False", "Terminating", message, now, &plan)
            return plan
        }
        let left = ((range["metadata"].time("deletionTimestamp") ?? now) + ServiceCIDRs.grace) - now
        if left > .zero { return Plan(requeueAfter: left) }
        return Plan([finalizers(range, range.finalizers.filter { $0 != ServiceCIDRs.finalizer })])
    }

    private func finalizers(_ range: Node, _ all: [String]) -> Action {
        var metadata: Node = ["uid": .string(range.uid), "resourceVersion": range["metadata"]["resourceVersion"]]
        if all.isEmpty { metadata.setNull("finalizers") } else { metadata["finalizers"] = Node(all) }
        return .patch(.serviceCIDRs, ObjectKey("", range.name), .merge, ["metadata": metadata])
    }

    private func condition(_ range: Node, _ value: String, _ reason: String, _ message: String, _ now: Timestamp, _ plan: inout Plan) {
        var status = range["status"]
        status.setCondition("Ready", value, reason: reason, message: message, now: now)
        // The type requires a reason, and upstream leaves it empty.
        for index in status["conditions"].list.indices where status["conditions"][index]["reason"].isNull { status["conditions"][index]["reason"] = "" }
        if status == range["status"] { return }
        plan.actions.append(.patch(.serviceCIDRs, ObjectKey("", range.name), .merge, ["status": status], subresource: "status"))
    }

    private func isFree(_ range: Node, _ state: borrowing ClusterState) -> Bool {
        let own = range["spec"]["cidrs"].stringList.compactMap(AddressRange.init)
        let others = state[.serviceCIDRs].objects.values.filter { $0.uid != range.uid && !$0.isBeingDeleted }
            .flatMap { $0["spec"]["cidrs"].stringList }.compactMap(AddressRange.init)
        if own.allSatisfy({ one in others.contains { $0.contains(one) } }) { return true }
        // Of Services, and those that somebody keeps by an IPAddress of his own.
        let used = state[.services].objects.values.flatMap { $0["spec"]["clusterIPs"].stringList } + state[.ipAddresses].objects.values.map(\.name)
        return !used.compactMap { AddressRange("\($0)/32") }.contains { address in
            own.contains { $0.contains(address) } && !others.contains { $0.contains(address) }
        }
    }
}

/// IPv4 addresses with a common prefix.
struct AddressRange {
    private let base: UInt32
    private let bits: UInt32

    init?(_ text: String) {
        let parts = text.split(separator: "/")
        guard parts.count == 2, let bits = UInt32(parts[1]), bits <= 32 else { return nil }
        let bytes = parts[0].split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        guard bytes.count == 4, !bytes.contains(nil) else { return nil }
        base = bytes.reduce(0) { $0 << 8 | UInt32($1 ?? 0) }
        self.bits = bits
    }

    func contains(_ other: AddressRange) -> Bool {
        guard other.bits >= bits else { return false }
        return bits == 0 || base >> (32 - bits) == other.base >> (32 - bits)
    }
}

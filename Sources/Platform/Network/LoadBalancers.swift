package import Client
package import Controllers
package import Core
package import Linux
import Machinery
import Schema
import Tree

/// Gives Services of type LoadBalancer an address of the plan's range, and takes it back when they end or change their type.
///
/// Who has which address is written in the Services' status and nowhere else, so nothing is lost by a crash. Plans must run one at a
/// time: each must see the address that the one before it gave away.
package struct LoadBalancers: Controller {
    /// Asks for one address of the range, as `spec.loadBalancerIP` does.
    package static let requestedAddress = "jangada/load-balancer-ip"
    static let finalizer = "service.kubernetes.io/load-balancer-cleanup"
    private static let byAddress = ObjectTable.Index("load-balancer-address") { Array(Set(addresses($0))) }

    private let range: IPPrefix

    package init(_ range: IPPrefix) { self.range = range }

    package var name: String { "service-lb-controller" }

    package var triggers: [Trigger] {
        [
            Trigger(.services, indexes: [LoadBalancers.byAddress]) { change, view in
                let freed = Set(change.old.map(LoadBalancers.addresses) ?? []).subtracting(change.new.map(LoadBalancers.addresses) ?? [])
                if freed.isEmpty { return [change.key] }
                // Whoever waits for an address may have one now.
                return [change.key]
                    + view.read { state in
                        state[.services].objects.filter { LoadBalancers.wants($0.value) && LoadBalancers.addresses($0.value).isEmpty }.map(\.key)
                    }
            }
        ]
    }

    private static func addresses(_ service: Node) -> [String] {
        service["status"]["loadBalancer"]["ingress"].list.compactMap { $0["ip"].string }
    }

    private static func wants(_ service: Node) -> Bool {
        service["spec"]["type"].string == "LoadBalancer" && (service["spec"]["loadBalancerClass"].string ?? "").isEmpty
    }

    // MARK: - Plan

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard let service = state.get(.services, key) else { return .nothing }
        guard LoadBalancers.wants(service), !service.isBeingDeleted else { return Plan(release(service, key)) }
        switch choose(service, key, state) {
        case .failure(let refusal):
            let message = "Error syncing load balancer: failed to ensure load balancer: \(refusal.text)"
            return Plan([.event(Event(service, .warning, reason: "SyncLoadBalancerFailed", message: message))])
        case .success(let address): return Plan(ensure(service, key, address))
        }
    }

    private func ensure(_ service: Node, _ key: ObjectKey, _ address: IPAddress) -> [Action] {
        let ingress: Node = [["ip": .string(address.description), "ipMode": "VIP"]]
        let present = service["status"]["loadBalancer"]["ingress"].list
        let isRight = present.count == 1 && present[0]["ip"] == ingress[0]["ip"] && present[0]["ipMode"] == ingress[0]["ipMode"]
        let hasFinalizer = service.finalizers.contains(LoadBalancers.finalizer)
        if isRight, hasFinalizer { return [] }
        var actions: [Action] = [.event(Event(service, reason: "EnsuringLoadBalancer", message: "Ensuring load balancer"))]
        // Before the address, so that the Service cannot end without giving it back.
        if !hasFinalizer { actions.append(finalizers(service, key, service.finalizers + [LoadBalancers.finalizer])) }
        if !isRight { actions.append(.patch(.services, key, .merge, ["status": ["loadBalancer": ["ingress": ingress]]], subresource: "status")) }
        return actions + [.event(Event(service, reason: "EnsuredLoadBalancer", message: "Ensured load balancer"))]
    }

    private func release(_ service: Node, _ key: ObjectKey) -> [Action] {
        let hasFinalizer = service.finalizers.contains(LoadBalancers.finalizer)
        // Of another class: that one's implementation writes it.
        let isForeign = service["spec"]["type"].string == "LoadBalancer" && !LoadBalancers.wants(service)
        let isStale = !isForeign && !service.isBeingDeleted && !service["status"]["loadBalancer"]["ingress"].list.isEmpty
        guard hasFinalizer || isStale else { return [] }
        var actions: [Action] = []
        if hasFinalizer { actions.append(.event(Event(service, reason: "DeletingLoadBalancer", message: "Deleting load balancer"))) }
        if isStale {
            var empty = Node.emptyMap
            empty.setNull("ingress")
            actions.append(.patch(.services, key, .merge, ["status": ["loadBalancer": empty]], subresource: "status"))
        }
        guard hasFinalizer else { return actions }
        // Unconditional where the status was written just now: its revision is not this one any more.
        actions.append(finalizers(service, key, service.finalizers.filter { $0 != LoadBalancers.finalizer }, isConditional: !isStale))
        return actions + [.event(Event(service, reason: "DeletedLoadBalancer", message: "Deleted load balancer"))]
    }

    private func finalizers(_ service: Node, _ key: ObjectKey, _ finalizers: [String], isConditional: Bool = true) -> Action {
        var metadata: Node = ["finalizers": Node(finalizers), "uid": .string(service.uid)]
        if isConditional { metadata["resourceVersion"] = service["metadata"]["resourceVersion"] }
        return .patch(.services, key, .merge, ["metadata": metadata])
    }

    // MARK: - Addresses

    private struct Refusal: Error { let text: String }

    private func choose(_ service: Node, _ key: ObjectKey, _ state: borrowing ClusterState) -> Result<IPAddress, Refusal> {
        let stated = service["spec"]["loadBalancerIP"].string ?? ""
        let wish = stated.isEmpty ? service.annotations[LoadBalancers.requestedAddress] ?? "" : stated
        if !wish.isEmpty {
            guard let address = IPAddress(wish), isUsable(address) else {
                return .failure(Refusal(text: "requested address \(wish) is not one of \(range)"))
            }
            if let holder = holder(of: address, besides: service, key, state) {
                return .failure(Refusal(text: "requested address \(wish) is in use by \(holder)"))
            }
            return .success(address)
        }
        for text in LoadBalancers.addresses(service) {
            if let address = IPAddress(text), isUsable(address), holder(of: address, besides: service, key, state) == nil { return .success(address) }
        }
        for index in 1..<max(range.count - 1, 1) {
            let address = range.address(index)
            if state[.services].keys(LoadBalancers.byAddress.name, address.description).isEmpty { return .success(address) }
        }
        return .failure(Refusal(text: "no address of \(range) is free"))
    }

    /// The first is the network's own, the last its broadcast.
    private func isUsable(_ address: IPAddress) -> Bool {
        guard let index = range.index(of: address) else { return false }
        return index > 0 && index < range.count - 1
    }

    /// Of two that have one address, which only a hand-written status can bring about, the older keeps it.
    private func holder(of address: IPAddress, besides service: Node, _ key: ObjectKey, _ state: borrowing ClusterState) -> ObjectKey? {
        let others = state[.services].objects(LoadBalancers.byAddress.name, address.description).filter { ObjectKey($0.namespace, $0.name) != key }
        let has = LoadBalancers.addresses(service).contains(address.description)
        return others.first { !has || ClusterState.olderFirst($0, service) }.map { ObjectKey($0.namespace, $0.name) }
    }
}

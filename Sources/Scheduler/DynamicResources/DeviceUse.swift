import Kinds
import Machinery
import Tree

/// Which devices claims have: whole ones, and of shared ones how much.
struct DeviceUse: Sendable, Equatable {
    private(set) var devices: Set<DeviceID> = []
    private(set) var shared: Set<DeviceID> = []
    /// What is taken of the capacity of shared devices.
    private(set) var capacity: [DeviceID: [String: Quantity]] = [:]

    /// Adds what an allocation holds. Access of an administrator takes nothing away from others.
    mutating func add(_ allocation: Node) {
        for result in allocation["devices"]["results"].list where result["adminAccess"].bool != true {
            let id = DeviceID(result)
            if result["shareID"].isNull {
                devices.insert(id)
            } else {
                shared.insert(id)
                var amounts: [String: Quantity] = [:]
                for (name, amount) in result["consumedCapacity"].fields { amounts[name] = PodRequests.quantity(amount) ?? .zero }
                capacity[id] = DeviceUse.sum(capacity[id] ?? [:], amounts)
            }
        }
    }

    func isAllocated(_ id: DeviceID) -> Bool { devices.contains(id) || shared.contains(id) }

    static func sum(_ a: [String: Quantity], _ b: [String: Quantity]) -> [String: Quantity] {
        var out = a
        for (name, amount) in b { out[name] = (out[name] ?? .zero) + amount }
        return out
    }
}

/// How much of a shared device's capacity a request takes: what it asks for, made to fit the device's policy.
enum CapacityRequest {
    /// Nil where the device cannot give it beside what is `taken` already.
    static func consumption(_ request: Node, of device: SliceDevice, taken: [String: Quantity]) -> [String: Quantity]? {
        let wishes = request["capacity"]["requests"].fields
        let capacity = device.node["capacity"].fields
        for (name, _) in wishes where !device.node["capacity"].has(name) { return nil }
        guard device.isShared else {
            // A device for one claim is taken whole, and must have at least that much.
            for (name, wish) in wishes {
                guard let wanted = PodRequests.quantity(wish), let there = PodRequests.quantity(device.node["capacity"][name]["value"]), wanted <= there else { return nil }
            }
            return [:]
        }
        var out: [String: Quantity] = [:]
        for (name, entry) in capacity {
            guard let whole = PodRequests.quantity(entry["value"]) else { continue }
            let policy = entry["requestPolicy"]
            let amount = rounded(PodRequests.quantity(request["capacity"]["requests"][name]), policy, whole)
            if violates(amount, policy) || (taken[name] ?? .zero) + amount > whole { return nil }
            out[name] = amount
        }
        return out
    }

    private static func rounded(_ wish: Quantity?, _ policy: Node, _ whole: Quantity) -> Quantity {
        guard let wish else { return PodRequests.quantity(policy["default"]) ?? whole }
        if let least = PodRequests.quantity(policy["validRange"]["min"]) {
            if wish < least { return least }
            guard let step = PodRequests.quantity(policy["validRange"]["step"])?.value, step > 0 else { return wish }
            let steps = (wish.value - least.value + step - 1) / step
            return Quantity(least.value + step * steps, format: .binarySI)
        }
        let values = policy["validValues"].list.compactMap(PodRequests.quantity)
        return values.first { wish <= $0 } ?? wish
    }

    private static func violates(_ amount: Quantity, _ policy: Node) -> Bool {
        if policy.isNull || PodRequests.quantity(policy["default"]) == amount { return false }
        let (range, values) = (policy["validRange"], policy["validValues"].list.compactMap(PodRequests.quantity))
        if !range.isNull {
            if let most = PodRequests.quantity(range["max"]), amount > most { return true }
            guard let step = PodRequests.quantity(range["step"])?.value, step > 0 else { return false }
            return (amount.value - (PodRequests.quantity(range["min"])?.value ?? 0)) % step != 0
        }
        return !values.isEmpty && !values.contains(amount)
    }
}

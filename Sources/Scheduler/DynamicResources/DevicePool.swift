import Machinery

/// The newest generation of a driver's pool, as far as it concerns one node.
struct DevicePool: Sendable {
    enum State: Sendable, Equatable {
        case usable
        /// Slices are still missing: the driver is at work.
        case incomplete
        /// Names or counters that contradict each other.
        case invalid(String)
    }

    let driver: String
    let pool: String
    var state = State.usable
    var slices: [DeviceSlice] = []
    /// Slices of the pool for other nodes: their devices take of the same counters.
    var others: [DeviceSlice] = []
    var counterSets: [String: [String: Quantity]] = [:]

    var id: String { "\(driver)/\(pool)" }
    private var hasBindingConditions: Bool { slices.contains { $0.devices.contains(where: \.hasBindingConditions) } }

    private struct Key: Hashable {
        let driver: String
        let pool: String
    }

    /// The pools of a node in the order in which devices are taken from them.
    static func gather(_ slices: [DeviceSlice], for node: NodeInfo) -> [DevicePool] {
        var here: [Key: [DeviceSlice]] = [:]
        var newest: [Key: Int64] = [:]
        var all: [Key: [DeviceSlice]] = [:]
        for slice in slices {
            let key = Key(driver: slice.driver, pool: slice.pool)
            newest[key] = max(newest[key] ?? slice.generation, slice.generation)
            all[key, default: []].append(slice)
        }
        for (key, generation) in newest {
            all[key] = all[key]?.filter { $0.generation == generation }
            let relevant = (all[key] ?? []).filter { $0.isRelevant(for: node) }
            if !relevant.isEmpty { here[key] = relevant }
        }
        let pools = here.map { key, relevant in build(key, relevant, all[key] ?? []) }
        // Devices that need no waiting come first.
        return pools.sorted { a, b in
            if a.hasBindingConditions != b.hasBindingConditions { return !a.hasBindingConditions }
            return a.driver == b.driver ? a.pool < b.pool : a.driver < b.driver
        }
    }

    private static func build(_ key: Key, _ relevant: [DeviceSlice], _ all: [DeviceSlice]) -> DevicePool {
        var pool = DevicePool(driver: key.driver, pool: key.pool)
        guard Int64(all.count) == relevant[0].count else {
            pool.state = .incomplete
            return pool
        }
        let sorted = relevant.sorted { $0.name < $1.name }
        let names = Set(sorted.map(\.name))
        pool.slices = sorted.filter(\.counterSets.isEmpty)
        pool.others = all.filter { !names.contains($0.name) }
        var seen: Set<String> = []
        for device in pool.slices.flatMap(\.devices) where !seen.insert(device.id.device).inserted {
            pool.state = .invalid("duplicate device name \(device.id.device)")
        }
        for (name, counters) in sorted.flatMap(\.counterSets) {
            if pool.counterSets.updateValue(counters, forKey: name) != nil { pool.state = .invalid("duplicate counter set name \(name)") }
        }
        for (set, counters) in (pool.slices + pool.others).flatMap(\.devices).flatMap(\.consumes) {
            guard let known = pool.counterSets[set] else {
                pool.state = .invalid("counter set \(set) not found")
                continue
            }
            for name in counters.keys where known[name] == nil { pool.state = .invalid("counter \(name) not found in counter set \(set)") }
        }
        return pool
    }
}

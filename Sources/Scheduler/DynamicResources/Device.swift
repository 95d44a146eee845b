import Kinds
import Machinery
import Tree

/// A device as its driver published it, in the newest complete generation of its pool.
struct Device {
    /// Where it is in the world.
    struct ID: Hashable {
        let driver: String
        let pool: String
        let name: String
    }

    let id: ID
    let node: Node
    /// Of one node alone.
    let isLocal: Bool
    /// The nodes it can be reached from, where it says so by labels.
    let selector: Node

    /// An attribute by its full name; its own domain may be left out where it is published.
    func attribute(_ name: String) -> Node {
        let attributes = node["attributes"]
        if attributes.has(name) { return attributes[name] }
        guard name.hasPrefix(id.driver + "/") else { return .null }
        return attributes[String(name.dropFirst(id.driver.utf8.count + 1))]
    }

    /// What it takes of the counters that devices of its pool share: set, counter, amount.
    var consumption: [(set: String, counter: String, amount: Quantity)] {
        node["consumesCounters"].list.flatMap { entry in
            entry["counters"].fields.compactMap { name, counter in
                PodRequests.quantity(counter["value"]).map { (entry["counterSet"].string ?? "", name, $0) }
            }
        }
    }
}

/// The devices that can be reached from a node.
struct DeviceInventory {
    struct Pool: Hashable {
        let driver: String
        let name: String
    }

    private(set) var devices: [Device] = []
    /// Some of their slices are not there (yet): nobody may have "all" of them.
    private(set) var incomplete: Set<Pool> = []
    /// What is shared, by pool, set and counter.
    private(set) var counters: [Pool: [String: [String: Quantity]]] = [:]

    init(_ slices: some Sequence<Node>, for node: NodeInfo) {
        var pools: [Pool: [Node]] = [:]
        for slice in slices {
            let spec = slice["spec"]
            pools[Pool(driver: spec["driver"].string ?? "", name: spec["pool"]["name"].string ?? ""), default: []].append(spec)
        }
        for (pool, all) in pools.sorted(by: { ($0.key.driver, $0.key.name) < ($1.key.driver, $1.key.name) }) {
            let newest = all.map { $0["pool"]["generation"].int ?? 0 }.max() ?? 0
            let specs = all.filter { ($0["pool"]["generation"].int ?? 0) == newest }
            let isComplete = Int64(specs.count) >= (specs[0]["pool"]["resourceSliceCount"].int ?? 1)
            let before = devices.count
            for spec in specs {
                for set in spec["sharedCounters"].list {
                    counters[pool, default: [:]][set["name"].string ?? ""] = set["counters"].fields.reduce(into: [:]) { $0[$1.key] = PodRequests.quantity($1.value["value"]) }
                }
                add(spec, pool, node)
            }
            guard !isComplete else { continue }
            if devices.count > before || specs.contains(where: { DeviceInventory.reaches($0, node) }) { incomplete.insert(pool) }
            devices.removeSubrange(before...)
        }
    }

    private mutating func add(_ spec: Node, _ pool: Pool, _ node: NodeInfo) {
        let isByDevice = spec["perDeviceNodeSelection"].bool ?? false
        if !isByDevice, !DeviceInventory.reaches(spec, node) { return }
        for device in spec["devices"].list where !isByDevice || DeviceInventory.reaches(device, node) {
            let place = isByDevice ? device : spec
            devices.append(
                Device(
                    id: .init(driver: pool.driver, pool: pool.name, name: device["name"].string ?? ""), node: device,
                    isLocal: place["nodeName"].string?.isEmpty == false, selector: place["nodeSelector"]))
        }
    }

    private static func reaches(_ place: Node, _ node: NodeInfo) -> Bool {
        if let name = place["nodeName"].string, !name.isEmpty { return name == node.name }
        if place["allNodes"].bool == true { return true }
        return !place["nodeSelector"].isNull && NodeSelector(place["nodeSelector"]).matches(labels: node.labels, name: node.name)
    }
}

import Kinds
import Machinery
import Tree

/// Names one device of the cluster.
struct DeviceID: Hashable, Sendable, CustomStringConvertible {
    let driver: String
    let pool: String
    let device: String
    var description: String { "\(driver)/\(pool)/\(device)" }

    init(driver: String, pool: String, device: String) {
        self.driver = driver
        self.pool = pool
        self.device = device
    }

    /// Of an allocation's result or a device's status.
    init(_ result: Node) { self.init(driver: result["driver"].string ?? "", pool: result["pool"].string ?? "", device: result["device"].string ?? "") }
}

/// Which nodes something is for.
enum NodeTarget: Sendable {
    case none
    case all
    case named(String)
    case matching(NodeSelector, Node)

    init(_ object: Node) {
        if let name = object["nodeName"].string, !name.isEmpty {
            self = .named(name)
        } else if object["allNodes"].bool == true {
            self = .all
        } else if !object["nodeSelector"].isNull {
            self = .matching(NodeSelector(object["nodeSelector"]), object["nodeSelector"])
        } else {
            self = .none
        }
    }

    func includes(_ node: NodeInfo) -> Bool {
        switch self {
        case .none: false
        case .all: true
        case .named(let name): name == node.name
        case .matching(let selector, _): selector.matches(labels: node.labels, name: node.name)
        }
    }
}

/// A device as a slice has it, read once for all claims.
final class SliceDevice: Sendable {
    let id: DeviceID
    let node: Node
    let target: NodeTarget
    /// What selectors see; a device that they cannot read fails whoever asks.
    let selectable: Result<DeviceExpression.Device, DeviceFailure>
    let taints: [Node]
    let isShared: Bool
    let bindsToNode: Bool
    let hasBindingConditions: Bool
    /// What it takes of the pool's counters.
    let consumes: [(set: String, counters: [String: Quantity])]

    init(_ device: Node, driver: String, pool: String) {
        id = DeviceID(driver: driver, pool: pool, device: device["name"].string ?? "")
        node = device
        target = NodeTarget(device)
        do { selectable = .success(try DeviceExpression.Device(device, driver: driver)) } catch { selectable = .failure(DeviceFailure("\(error)")) }
        // `None` only informs.
        taints = device["taints"].list.filter { ["NoSchedule", "NoExecute"].contains($0["effect"].string ?? "") }
        isShared = device["allowMultipleAllocations"].bool ?? false
        bindsToNode = device["bindsToNode"].bool ?? false
        hasBindingConditions = !device["bindingConditions"].isEmpty
        consumes = device["consumesCounters"].list.map { ($0["counterSet"].string ?? "", SliceDevice.counters($0["counters"])) }
    }

    static func counters(_ counters: Node) -> [String: Quantity] {
        var out: [String: Quantity] = [:]
        for (name, counter) in counters.fields { out[name] = PodRequests.quantity(counter["value"]) ?? .zero }
        return out
    }

    /// An attribute by its full name; the driver's own may be written without a domain.
    func attribute(_ name: String) -> Node? {
        let attributes = node["attributes"]
        if attributes.has(name) { return attributes[name] }
        guard let slash = name.firstIndex(of: "/"), name[..<slash] == id.driver else { return nil }
        let short = String(name[name.index(after: slash)...])
        return attributes.has(short) ? attributes[short] : nil
    }
}

/// A slice of a pool as its driver published it.
final class DeviceSlice: Sendable {
    let name: String
    let driver: String
    let pool: String
    let generation: Int64
    /// How many slices the pool has in this generation.
    let count: Int64
    let target: NodeTarget
    let isPerDevice: Bool
    let devices: [SliceDevice]
    let counterSets: [(name: String, counters: [String: Quantity])]

    init(_ slice: Node) {
        let spec = slice["spec"]
        let (driver, pool) = (spec["driver"].string ?? "", spec["pool"]["name"].string ?? "")
        name = slice.name
        self.driver = driver
        self.pool = pool
        generation = spec["pool"]["generation"].int ?? 0
        count = spec["pool"]["resourceSliceCount"].int ?? 0
        target = NodeTarget(spec)
        isPerDevice = spec["perDeviceNodeSelection"].bool ?? false
        devices = spec["devices"].list.map { SliceDevice($0, driver: driver, pool: pool) }
        counterSets = spec["sharedCounters"].list.map { ($0["name"].string ?? "", SliceDevice.counters($0["counters"])) }
    }

    func isRelevant(for node: NodeInfo) -> Bool {
        if !counterSets.isEmpty { return true }
        return isPerDevice ? devices.contains { $0.target.includes(node) } : target.includes(node)
    }

    /// Where an allocated device can be used.
    func target(of device: SliceDevice) -> NodeTarget { isPerDevice ? device.target : target }
}

/// Why claims cannot be worked on; not the same as devices that are not there.
struct DeviceFailure: Error, Sendable {
    let message: String
    init(_ message: String) { self.message = message }
}

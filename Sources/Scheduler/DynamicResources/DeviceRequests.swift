import Kinds
import Machinery
import Tree

/// What one request of a claim, or one of its alternatives, asks for.
struct DeviceRequest: Sendable {
    /// As allocations name it: `request` or `request/alternative`.
    let name: String
    let base: String
    /// The fields of `exactly` or of the alternative.
    let node: Node
    let deviceClass: Node
    let wantsAll: Bool
    let isAdmin: Bool
    let tolerations: [Node]
    let selectors: [String]
    let classSelectors: [String]
    /// How many devices; of a request for all, how many there are.
    var count: Int
    /// Of a request for all: those that are meant.
    var all: [(device: SliceDevice, pool: Int)] = []

    init(_ node: Node, name: String, base: String, _ deviceClass: Node, isAdmin: Bool) {
        self.name = name
        self.base = base
        self.node = node
        self.deviceClass = deviceClass
        self.isAdmin = isAdmin
        wantsAll = node["allocationMode"].string == "All"
        count = Int(clamping: node["count"].int ?? 1)
        tolerations = node["tolerations"].list
        selectors = node["selectors"].list.compactMap { $0["cel"]["expression"].string }
        classSelectors = deviceClass["spec"]["selectors"].list.compactMap { $0["cel"]["expression"].string }
    }

    /// Whether constraints and configurations that name requests mean this one.
    func isMeant(by names: Set<String>) -> Bool { names.isEmpty || names.contains(base) || names.contains(name) }

    func tolerates(_ device: SliceDevice) -> Bool {
        device.taints.allSatisfy { taint in tolerations.contains { DeviceTolerations.tolerates($0, taint) } }
    }
}

/// A condition over several devices of a claim, with the values of those that were added.
struct DeviceConstraint: Sendable {
    private let names: Set<String>
    private let attribute: String
    private let isDistinct: Bool
    private var values: [Node] = []

    init(_ node: Node) {
        names = Set(node["requests"].stringList)
        isDistinct = node["matchAttribute"].isNull
        attribute = node["matchAttribute"].string ?? node["distinctAttribute"].string ?? ""
    }

    /// False, with nothing changed, where the device does not go with the others.
    mutating func add(_ request: DeviceRequest, _ device: SliceDevice) -> Bool {
        guard request.isMeant(by: names) else { return true }
        guard let value = device.attribute(attribute) else { return false }
        if isDistinct ? values.contains(value) : (values.first.map { $0 != value } ?? false) { return false }
        values.append(value)
        return true
    }

    mutating func remove(_ request: DeviceRequest) { if request.isMeant(by: names) { values.removeLast() } }
}

/// Whether a request bears what a device is tainted with.
enum DeviceTolerations {
    static func tolerates(_ toleration: Node, _ taint: Node) -> Bool {
        let effect = toleration["effect"].string ?? ""
        if !effect.isEmpty, effect != taint["effect"].string { return false }
        let key = toleration["key"].string ?? ""
        if !key.isEmpty, key != taint["key"].string { return false }
        switch toleration["operator"].string ?? "" {
        case "", "Equal": return (toleration["value"].string ?? "") == (taint["value"].string ?? "")
        case "Exists": return true
        default: return false
        }
    }
}

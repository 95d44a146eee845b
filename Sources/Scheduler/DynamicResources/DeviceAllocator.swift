import Core
import Kinds
import Machinery
import Tree

/// Finds devices for all requests of a pod's claims at once, going back where a choice leaves too little for the rest.
struct DeviceAllocator {
    /// One way of serving a request.
    private struct Wish {
        let claim: Int
        /// `request`, or `request/subrequest` of a prioritized list.
        let name: String
        let parent: String
        let selectors: [DeviceExpression]
        let className: String
        /// Nil for all that match.
        let count: Int?
        let isAdmin: Bool
        let tolerations: [Node]
    }

    private let inventory: DeviceInventory
    private let claims: [Node]
    private let classes: [String: Node]
    private let now: Timestamp
    private var inUse: Set<Device.ID>
    private var left: [DeviceInventory.Pool: [String: [String: Quantity]]]
    private var chosen: [(wish: Wish, device: Device)] = []
    private var steps = 0
    private static let mostSteps = 50_000

    /// `taken`: what claims have been given, these not among them.
    init(_ claims: [Node], _ inventory: DeviceInventory, classes: [String: Node], taken: Set<Device.ID>, now: Timestamp) {
        self.claims = claims
        self.inventory = inventory
        self.classes = classes
        self.now = now
        inUse = taken
        left = inventory.counters
        for device in inventory.devices where taken.contains(device.id) { _ = consume(device, -1) }
    }

    /// The allocations, claim by claim; nil where there is none.
    mutating func run(_ expressions: DeviceExpressions, node: NodeInfo) throws(APIError) -> [Node]? {
        var requests: [[Wish]] = []
        for (index, claim) in claims.enumerated() {
            for request in claim["spec"]["devices"]["requests"].list { requests.append(try wishes(request, index, expressions)) }
        }
        guard try solve(requests, 0) else { return nil }
        return claims.indices.map { allocation($0, node) }
    }

    private func wishes(_ request: Node, _ claim: Int, _ expressions: DeviceExpressions) throws(APIError) -> [Wish] {
        let parent = request["name"].string ?? ""
        func wish(_ entry: Node, _ name: String) throws(APIError) -> Wish {
            let className = entry["deviceClassName"].string ?? ""
            guard let deviceClass = classes[className] else { throw APIError.badRequest("request \(parent): device class \(className) does not exist") }
            let texts = (deviceClass["spec"]["selectors"].list + entry["selectors"].list).compactMap { $0["cel"]["expression"].string }
            var selectors: [DeviceExpression] = []
            for text in texts { selectors.append(try expressions.compiled(text)) }
            return Wish(
                claim: claim, name: name, parent: parent, selectors: selectors, className: className,
                count: entry["allocationMode"].string == "All" ? nil : Int(max(1, entry["count"].int ?? 1)), isAdmin: entry["adminAccess"].bool ?? false,
                tolerations: entry["tolerations"].list)
        }
        if !request["exactly"].isNull { return [try wish(request["exactly"], parent)] }
        var out: [Wish] = []
        for entry in request["firstAvailable"].list { out.append(try wish(entry, "\(parent)/\(entry["name"].string ?? "")")) }
        return out
    }

    // MARK: - Searching

    private mutating func solve(_ requests: [[Wish]], _ index: Int) throws(APIError) -> Bool {
        guard index < requests.count else { return true }
        for wish in requests[index] {
            if wish.count == nil {
                if try takeAll(wish, requests, index) { return true }
            } else if try take(wish, requests, index, taken: 0, from: 0) {
                return true
            }
        }
        return false
    }

    private mutating func take(_ wish: Wish, _ requests: [[Wish]], _ index: Int, taken: Int, from start: Int) throws(APIError) -> Bool {
        if taken == wish.count { return try solve(requests, index + 1) }
        for place in start..<max(start, inventory.devices.count) {
            steps += 1
            if steps > DeviceAllocator.mostSteps { return false }
            let device = inventory.devices[place]
            guard try suits(device, wish), isAllowed(device, wish), choose(device, wish) else { continue }
            if try take(wish, requests, index, taken: taken + 1, from: place + 1) { return true }
            undo()
        }
        return false
    }

    private mutating func takeAll(_ wish: Wish, _ requests: [[Wish]], _ index: Int) throws(APIError) -> Bool {
        guard inventory.incomplete.isEmpty else { return false }
        let before = chosen.count
        for device in inventory.devices where try matches(device, wish) {
            guard wish.isAdmin || !inUse.contains(device.id), isTolerated(device, wish), isAllowed(device, wish), choose(device, wish) else {
                while chosen.count > before { undo() }
                return false
            }
        }
        if chosen.count > before, try solve(requests, index + 1) { return true }
        while chosen.count > before { undo() }
        return false
    }

    private func suits(_ device: Device, _ wish: Wish) throws(APIError) -> Bool {
        if !wish.isAdmin, inUse.contains(device.id) { return false }
        if wish.isAdmin, chosen.contains(where: { $0.wish.claim == wish.claim && $0.wish.name == wish.name && $0.device.id == device.id }) { return false }
        guard isTolerated(device, wish) else { return false }
        return try matches(device, wish)
    }

    private func matches(_ device: Device, _ wish: Wish) throws(APIError) -> Bool {
        do {
            for selector in wish.selectors where try !selector.matches(DeviceExpression.Device(device.node, driver: device.id.driver)) { return false }
        } catch {
            throw APIError.badRequest("\(error)")
        }
        return true
    }

    private func isTolerated(_ device: Device, _ wish: Wish) -> Bool {
        Tolerations.untolerated(device.node["taints"].list, by: wish.tolerations, effects: Filters.forbidding) == nil
    }

    /// What the claim says of its devices among each other.
    private func isAllowed(_ device: Device, _ wish: Wish) -> Bool {
        for constraint in claims[wish.claim]["spec"]["devices"]["constraints"].list {
            let requests = constraint["requests"].stringList
            func isMeant(_ other: Wish) -> Bool { other.claim == wish.claim && (requests.isEmpty || requests.contains(other.name) || requests.contains(other.parent)) }
            guard isMeant(wish) else { continue }
            let others = chosen.filter { isMeant($0.wish) }
            if let name = constraint["matchAttribute"].string {
                let value = device.attribute(name)
                if value.isNull || others.contains(where: { $0.device.attribute(name) != value }) { return false }
            }
            if let name = constraint["distinctAttribute"].string {
                let value = device.attribute(name)
                if value.isNull || others.contains(where: { $0.device.attribute(name) == value }) { return false }
            }
        }
        return true
    }

    private mutating func choose(_ device: Device, _ wish: Wish) -> Bool {
        if !wish.isAdmin {
            guard consume(device, -1) else { return false }
            inUse.insert(device.id)
        }
        chosen.append((wish, device))
        return true
    }

    private mutating func undo() {
        let (wish, device) = chosen.removeLast()
        guard !wish.isAdmin else { return }
        inUse.remove(device.id)
        _ = consume(device, 1)
    }

    /// Takes from the shared counters, or (sign 1) gives back; false where one would run out.
    private mutating func consume(_ device: Device, _ sign: Int) -> Bool {
        let consumption = device.consumption
        if consumption.isEmpty { return true }
        let pool = DeviceInventory.Pool(driver: device.id.driver, name: device.id.pool)
        if sign < 0, chosenExceeds(consumption, pool) { return false }
        for (set, counter, amount) in consumption {
            let now = left[pool]?[set]?[counter] ?? .zero
            left[pool, default: [:]][set, default: [:]][counter] = sign < 0 ? now - amount : now + amount
        }
        return true
    }

    private func chosenExceeds(_ consumption: [(set: String, counter: String, amount: Quantity)], _ pool: DeviceInventory.Pool) -> Bool {
        consumption.contains { (left[pool]?[$0.set]?[$0.counter] ?? .zero) < $0.amount }
    }

    // MARK: - The result

    private func allocation(_ index: Int, _ node: NodeInfo) -> Node {
        let own = chosen.filter { $0.wish.claim == index }
        var devices: Node = ["results": .list(own.map { DeviceAllocator.result($0.wish, $0.device) })]
        let config = configuration(index, own.map(\.wish))
        if !config.isEmpty { devices["config"] = .list(config) }
        var out: Node = ["devices": devices, "allocationTimestamp": .string(now.rfc3339)]
        if let selector = DeviceAllocator.selector(own.map(\.device), node) { out["nodeSelector"] = selector }
        return out
    }

    private static func result(_ wish: Wish, _ device: Device) -> Node {
        var out: Node = [
            "request": .string(wish.name), "driver": .string(device.id.driver), "pool": .string(device.id.pool), "device": .string(device.id.name),
        ]
        if wish.isAdmin { out["adminAccess"] = true }
        if !wish.tolerations.isEmpty { out["tolerations"] = .list(wish.tolerations) }
        for field in ["bindingConditions", "bindingFailureConditions"] where !device.node[field].isEmpty { out[field] = device.node[field] }
        return out
    }

    private func configuration(_ index: Int, _ wishes: [Wish]) -> [Node] {
        var out: [Node] = []
        var seen: Set<String> = []
        for wish in wishes where seen.insert(wish.name).inserted {
            for config in classes[wish.className]?["spec"]["config"].list ?? [] {
                out.append(["source": "FromClass", "requests": [.string(wish.name)], "opaque": config["opaque"]])
            }
        }
        for config in claims[index]["spec"]["devices"]["config"].list {
            let requests = config["requests"].stringList
            guard requests.isEmpty || wishes.contains(where: { requests.contains($0.name) || requests.contains($0.parent) }) else { continue }
            var entry: Node = ["source": "FromClaim", "opaque": config["opaque"]]
            if !requests.isEmpty { entry["requests"] = Node(requests) }
            out.append(entry)
        }
        return out
    }

    /// From where the devices can be reached, all of them; nil for everywhere.
    private static func selector(_ devices: [Device], _ node: NodeInfo) -> Node? {
        if devices.contains(where: \.isLocal) {
            return ["nodeSelectorTerms": [["matchFields": [["key": "metadata.name", "operator": "In", "values": [.string(node.name)]]]]]]
        }
        var expressions: [Node] = []
        var fields: [Node] = []
        for device in devices {
            let term = device.selector["nodeSelectorTerms"][0]
            for requirement in term["matchExpressions"].list where !expressions.contains(requirement) { expressions.append(requirement) }
            for requirement in term["matchFields"].list where !fields.contains(requirement) { fields.append(requirement) }
        }
        if expressions.isEmpty, fields.isEmpty { return nil }
        var term = Node.emptyMap
        if !expressions.isEmpty { term["matchExpressions"] = .list(expressions) }
        if !fields.isEmpty { term["matchFields"] = .list(fields) }
        return ["nodeSelectorTerms": [term]]
    }
}

/// Selectors of devices, compiled once each.
final class DeviceExpressions {
    private var known: [String: Result<DeviceExpression, APIError>] = [:]
    private static let most = 500

    func compiled(_ text: String) throws(APIError) -> DeviceExpression {
        if let known = known[text] { return try known.get() }
        if known.count > DeviceExpressions.most { known.removeAll() }
        let made: Result<DeviceExpression, APIError>
        do { made = .success(try DeviceExpression(text)) } catch { made = .failure(.badRequest(error.detail)) }
        known[text] = made
        return try made.get()
    }
}

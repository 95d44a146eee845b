import Core
import Kinds
import Machinery
import Tree

/// Finds devices of one node for claims: the first choice, in the order of pools, slices and devices, that every request, constraint,
/// counter and capacity agrees with. Goes back on choices that lead nowhere.
struct DeviceAllocator {
    /// How many devices a claim can have.
    static let mostResults = 32
    private static let longest: Duration = .seconds(10)

    private enum Step { case found, none, tooMany }

    private struct Place {
        var pool = 0
        var slice = 0
        var device = 0
    }

    private struct Chosen {
        let request: DeviceRequest
        let device: SliceDevice
        let slice: DeviceSlice
        let share: String?
        let capacity: [String: Quantity]
    }

    private struct Work {
        let claim: Node
        /// By request: its alternatives in their order; one for exact requests.
        var requests: [[DeviceRequest]]
        var selected: [Int]
        var constraints: [DeviceConstraint]
        var chosen: [Chosen] = []
    }

    private struct MatchKey: Hashable {
        let device: DeviceID
        let claim: Int
        let request: Int
        let choice: Int
    }

    private let node: NodeInfo
    private let pools: [DevicePool]
    private let use: DeviceUse
    private let selectors: SelectorCache
    private var work: [Work] = []
    private var matches: [MatchKey: Bool] = [:]
    /// Devices taken in this run, and for which claims.
    private var taken: [DeviceID: [Int]] = [:]
    private var takenCapacity: [DeviceID: [String: Quantity]] = [:]
    private var shares: [DeviceID: Int] = [:]
    /// By pool: what is left of its counters.
    private var counters: [Int: [String: [String: Quantity]]] = [:]
    private let deadline: ContinuousClock.Instant

    /// An allocation for each claim; nil where the node does not have the devices.
    static func allocate(
        _ claims: [Node], on node: NodeInfo, slices: [DeviceSlice], classes: [String: Node], use: DeviceUse, selectors: SelectorCache
    ) throws(DeviceFailure) -> [Node]? {
        var allocator = DeviceAllocator(node: node, pools: DevicePool.gather(slices, for: node), use: use, selectors: selectors)
        for claim in claims { try allocator.prepare(claim, classes) }
        guard case .found = try allocator.allocate(0, 0, 0, nil, Place()) else {
            let isInvalid = allocator.pools.contains { if case .invalid = $0.state { true } else { false } }
            if isInvalid { throw DeviceFailure("invalid resource pools were encountered") }
            return nil
        }
        return allocator.results()
    }

    private init(node: NodeInfo, pools: [DevicePool], use: DeviceUse, selectors: SelectorCache) {
        self.node = node
        self.pools = pools
        self.use = use
        self.selectors = selectors
        deadline = .now + DeviceAllocator.longest
    }

    // MARK: - Requests

    private mutating func prepare(_ claim: Node, _ classes: [String: Node]) throws(DeviceFailure) {
        let devices = claim["spec"]["devices"]
        let index = work.count
        var requests: [[DeviceRequest]] = []
        for request in devices["requests"].list {
            let base = request["name"].string ?? ""
            let exact = request["exactly"]
            var entries: [(Node, String)] = request["firstAvailable"].list.map { ($0, "\(base)/\($0["name"].string ?? "")") }
            if entries.isEmpty { entries = [(exact, base)] }
            var choices: [DeviceRequest] = []
            for (entry, name) in entries {
                let className = entry["deviceClassName"].string ?? ""
                guard let deviceClass = classes[className] else {
                    throw DeviceFailure("claim \(shown(claim)), request \(name): could not retrieve device class \(className): deviceclass.resource.k8s.io \"\(className)\" not found")
                }
                choices.append(DeviceRequest(entry, name: name, base: base, deviceClass, isAdmin: entry["adminAccess"].bool == true))
            }
            requests.append(choices)
        }
        work.append(
            Work(claim: claim, requests: requests, selected: requests.map { _ in 0 }, constraints: devices["constraints"].list.map(DeviceConstraint.init)))
        var least = 0
        for request in requests.indices {
            for choice in requests[request].indices { try gatherAll(index, request, choice) }
            least += work[index].requests[request].map(\.count).min() ?? 0
        }
        if least > DeviceAllocator.mostResults {
            throw DeviceFailure("claim \(shown(claim)): number of requested devices \(least) exceeds the claim limit of \(DeviceAllocator.mostResults)")
        }
    }

    private func shown(_ claim: Node) -> String { "\(claim.namespace)/\(claim.name)" }

    private mutating func gatherAll(_ claim: Int, _ request: Int, _ choice: Int) throws(DeviceFailure) {
        let wanted = work[claim].requests[request][choice]
        guard wanted.wantsAll else { return }
        var all: [(device: SliceDevice, pool: Int)] = []
        for (index, pool) in pools.enumerated() {
            switch pool.state {
            case .usable: break
            case .incomplete: throw DeviceFailure("claim \(shown(work[claim].claim)), request \(wanted.name): asks for all devices, but resource pool \(pool.id) is currently being updated")
            case .invalid: throw DeviceFailure("claim \(shown(work[claim].claim)), request \(wanted.name): asks for all devices, but resource pool \(pool.id) is currently invalid")
            }
            for slice in pool.slices {
                for device in slice.devices where try isSelectable(device, slice, claim, request, choice) {
                    if capacity(wanted, device) != nil { all.append((device, index)) }
                }
            }
        }
        work[claim].requests[request][choice].all = all
        work[claim].requests[request][choice].count = all.count
    }

    private mutating func isSelectable(_ device: SliceDevice, _ slice: DeviceSlice, _ claim: Int, _ request: Int, _ choice: Int) throws(DeviceFailure) -> Bool {
        let key = MatchKey(device: device.id, claim: claim, request: request, choice: choice)
        if let known = matches[key] { return known }
        let wanted = work[claim].requests[request][choice]
        var matches = try self.matches(device, wanted.classSelectors, "class \(wanted.deviceClass.name)")
        if matches { matches = try self.matches(device, wanted.selectors, "claim \(shown(work[claim].claim))") }
        if matches, slice.isPerDevice { matches = device.target.includes(node) }
        self.matches[key] = matches
        return matches
    }

    private func matches(_ device: SliceDevice, _ expressions: [String], _ owner: String) throws(DeviceFailure) -> Bool {
        for (index, text) in expressions.enumerated() {
            let expression: DeviceExpression
            do throws(DeviceFailure) { expression = try selectors.expression(text).get() } catch {
                throw DeviceFailure("\(owner): selector #\(index): CEL compile error: \(error.message)")
            }
            do {
                if try !expression.matches(device.selectable.get()) { return false }
            } catch let error as DeviceFailure {
                throw DeviceFailure("\(owner): selector #\(index): CEL runtime error: \(error.message)")
            } catch { throw DeviceFailure("\(owner): selector #\(index): CEL runtime error: \(error)") }
        }
        return true
    }

    private func capacity(_ request: DeviceRequest, _ device: SliceDevice) -> [String: Quantity]? {
        CapacityRequest.consumption(request.node, of: device, taken: DeviceUse.sum(use.capacity[device.id] ?? [:], takenCapacity[device.id] ?? [:]))
    }

    // MARK: - Search

    /// `choice` is nil for a request whose alternative is still to be chosen.
    private mutating func allocate(_ claim: Int, _ request: Int, _ index: Int, _ choice: Int?, _ start: Place) throws(DeviceFailure) -> Step {
        if ContinuousClock.now > deadline { throw DeviceFailure("node \(node.name): timed out trying to allocate devices") }
        guard claim < work.count else { return .found }
        guard request < work[claim].requests.count else {
            let step = try allocate(claim + 1, 0, 0, nil, Place())
            return step == .tooMany ? .none : step
        }
        guard let choice else {
            var areAllTooMany = true
            for choice in work[claim].requests[request].indices {
                switch try allocate(claim, request, 0, choice, Place()) {
                case .found:
                    work[claim].selected[request] = choice
                    return .found
                case .none: areAllTooMany = false
                case .tooMany: continue
                }
            }
            return areAllTooMany ? .tooMany : .none
        }
        let wanted = work[claim].requests[request][choice]
        if wanted.wantsAll, wanted.all.isEmpty { return .none }
        if index >= wanted.count { return try allocate(claim, request + 1, 0, nil, Place()) }
        if work[claim].chosen.count + wanted.count - index > DeviceAllocator.mostResults { return .tooMany }
        if wanted.wantsAll { return try allocateAll(claim, request, index, choice, wanted) }
        return try allocateOne(claim, request, index, choice, wanted, start)
    }

    private mutating func allocateAll(_ claim: Int, _ request: Int, _ index: Int, _ choice: Int, _ wanted: DeviceRequest) throws(DeviceFailure) -> Step {
        let (device, pool) = wanted.all[index]
        guard let slice = pools[pool].slices.first(where: { $0.devices.contains { $0 === device } }), let undo = try take(device, slice, pool, claim, wanted, must: true)
        else { return .none }
        let step = try allocate(claim, request, index + 1, choice, Place())
        if step != .found { release(undo, claim) }
        return step
    }

    private mutating func allocateOne(
        _ claim: Int, _ request: Int, _ index: Int, _ choice: Int, _ wanted: DeviceRequest, _ start: Place
    ) throws(DeviceFailure) -> Step {
        for pool in pools.indices.dropFirst(start.pool) where pools[pool].state == .usable {
            let firstSlice = pool == start.pool ? start.slice : 0
            for (slice, entry) in pools[pool].slices.enumerated().dropFirst(firstSlice) {
                let firstDevice = pool == start.pool && slice == start.slice ? start.device : 0
                for (number, device) in entry.devices.enumerated().dropFirst(firstDevice) {
                    if wanted.isAdmin ? taken[device.id]?.contains(claim) == true : isInUse(device.id) { continue }
                    guard try isSelectable(device, entry, claim, request, choice) else { continue }
                    guard let undo = try take(device, entry, pool, claim, wanted, must: false) else { continue }
                    let step = try allocate(claim, request, index + 1, choice, Place(pool: pool, slice: slice, device: number + 1))
                    if step == .found { return .found }
                    release(undo, claim)
                    if step == .tooMany { return .tooMany }
                }
            }
        }
        return .none
    }

    private func isInUse(_ id: DeviceID) -> Bool { use.devices.contains(id) || taken[id]?.isEmpty == false }

    // MARK: - Taking and giving back

    private struct Undo {
        let device: SliceDevice
        let pool: Int
        let request: DeviceRequest
        let tookCounters: Bool
        let capacity: [String: Quantity]
    }

    private mutating func take(
        _ device: SliceDevice, _ slice: DeviceSlice, _ pool: Int, _ claim: Int, _ request: DeviceRequest, must: Bool
    ) throws(DeviceFailure) -> Undo? {
        if !device.isShared, request.isAdmin, taken[device.id]?.contains(claim) == true { return nil }
        if !request.isAdmin, isInUse(device.id) || !request.tolerates(device) { return nil }
        if request.isAdmin, !request.tolerates(device) { return nil }
        guard let amounts = capacity(request, device) else { return nil }
        // Who shares a device shares what it takes of the counters.
        let isFirst = !(device.isShared && (use.shared.contains(device.id) || (shares[device.id] ?? 0) > 0))
        let takesCounters = isFirst && !device.consumes.isEmpty
        if takesCounters, !takeCounters(device, pool) { return nil }
        for index in work[claim].constraints.indices where !work[claim].constraints[index].add(request, device) {
            for added in 0..<index { work[claim].constraints[added].remove(request) }
            if takesCounters { returnCounters(device, pool) }
            guard must else { return nil }
            throw DeviceFailure(
                "claim \(shown(work[claim].claim)), request \(request.name): cannot add device \(device.id) because a claim constraint would not be satisfied")
        }
        if device.isShared {
            takenCapacity[device.id] = DeviceUse.sum(takenCapacity[device.id] ?? [:], amounts)
            shares[device.id, default: 0] += 1
        } else {
            taken[device.id, default: []].append(claim)
        }
        work[claim].chosen.append(Chosen(request: request, device: device, slice: slice, share: device.isShared ? Identifier.uuid() : nil, capacity: amounts))
        return Undo(device: device, pool: pool, request: request, tookCounters: takesCounters, capacity: amounts)
    }

    private mutating func release(_ undo: Undo, _ claim: Int) {
        for index in work[claim].constraints.indices { work[claim].constraints[index].remove(undo.request) }
        if undo.tookCounters { returnCounters(undo.device, undo.pool) }
        if undo.device.isShared {
            takenCapacity[undo.device.id] = DeviceUse.sum(takenCapacity[undo.device.id] ?? [:], undo.capacity.mapValues { -$0 })
            shares[undo.device.id, default: 1] -= 1
        } else {
            taken[undo.device.id]?.removeLast()
        }
        work[claim].chosen.removeLast()
    }

    private mutating func takeCounters(_ device: SliceDevice, _ pool: Int) -> Bool {
        var left = counters[pool] ?? remaining(pool)
        for (set, wanted) in device.consumes {
            for (name, amount) in wanted { left[set]?[name]? -= amount }
        }
        guard left.values.allSatisfy({ $0.values.allSatisfy { $0.sign >= 0 } }) else { return false }
        counters[pool] = left
        return true
    }

    private mutating func returnCounters(_ device: SliceDevice, _ pool: Int) {
        for (set, wanted) in device.consumes { for (name, amount) in wanted { counters[pool]?[set]?[name]? += amount } }
    }

    /// A pool's counters without what allocated devices took, on whichever node.
    private func remaining(_ pool: Int) -> [String: [String: Quantity]] {
        var left = pools[pool].counterSets
        for device in (pools[pool].slices + pools[pool].others).flatMap(\.devices) where !device.consumes.isEmpty && use.isAllocated(device.id) {
            for (set, taken) in device.consumes { for (name, amount) in taken { left[set]?[name]? -= amount } }
        }
        return left
    }

    // MARK: - Results

    private func results() -> [Node] {
        work.map { work in
            var allocation: Node = ["devices": ["results": .list(work.chosen.map(result))]]
            let configs = AllocationConfigs.of(work.claim, work.requests.indices.map { work.requests[$0][work.selected[$0]] })
            if !configs.isEmpty { allocation["devices"]["config"] = .list(configs) }
            if let selector = nodeSelector(work.chosen) { allocation["nodeSelector"] = selector }
            return allocation
        }
    }

    private func result(_ chosen: Chosen) -> Node {
        let id = chosen.device.id
        var result: Node = ["request": .string(chosen.request.name), "driver": .string(id.driver), "pool": .string(id.pool), "device": .string(id.device)]
        if chosen.request.isAdmin { result["adminAccess"] = true }
        if !chosen.request.tolerations.isEmpty { result["tolerations"] = .list(chosen.request.tolerations) }
        for field in ["bindingConditions", "bindingFailureConditions"] where !chosen.device.node[field].isEmpty { result[field] = chosen.device.node[field] }
        if let share = chosen.share { result["shareID"] = .string(share) }
        if !chosen.capacity.isEmpty {
            var amounts = Node.emptyMap
            for (name, amount) in chosen.capacity.sorted(by: { $0.key < $1.key }) { amounts[name] = .string(amount.description) }
            result["consumedCapacity"] = amounts
        }
        return result
    }

    /// Nodes from which all devices of a claim can be used; nil for all nodes.
    private func nodeSelector(_ chosen: [Chosen]) -> Node? {
        var term = Node.emptyMap
        for entry in chosen {
            let target = entry.slice.target(of: entry.device)
            var isLocal = entry.device.bindsToNode
            if case .named = target { isLocal = true }
            if isLocal {
                return ["nodeSelectorTerms": [["matchFields": [["key": "metadata.name", "operator": "In", "values": [.string(node.name)]]]]]]
            }
            guard case .matching(_, let selector) = target else { continue }
            for field in ["matchFields", "matchExpressions"] {
                for requirement in selector["nodeSelectorTerms"][0][field].list where !term[field].list.contains(requirement) { term[field].append(requirement) }
            }
        }
        return term.isEmpty ? nil : ["nodeSelectorTerms": [term]]
    }
}

/// The configurations that go with an allocation: those of the classes first, then the claim's own.
enum AllocationConfigs {
    static func of(_ claim: Node, _ requests: [DeviceRequest]) -> [Node] {
        var out: [Node] = []
        var places: [String: Range<Int>] = [:]
        for request in requests {
            let name = request.deviceClass.name
            if let known = places[name] {
                for index in known { out[index]["requests"].append(.string(request.name)) }
                continue
            }
            let start = out.count
            for config in request.deviceClass["spec"]["config"].list {
                out.append(["source": "FromClass", "requests": [.string(request.name)], "opaque": config["opaque"]])
            }
            places[name] = start..<out.count
        }
        for config in claim["spec"]["devices"]["config"].list {
            var entry: Node = ["source": "FromClaim"]
            if !config["requests"].isEmpty { entry["requests"] = config["requests"] }
            entry["opaque"] = config["opaque"]
            let names = Set(config["requests"].stringList)
            if names.isEmpty {
                out.append(entry)
            } else {
                for request in requests where names.contains(request.base) || names.contains(request.name) { out.append(entry) }
            }
        }
        return out
    }
}

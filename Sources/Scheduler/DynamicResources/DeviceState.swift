import Client
import Core
import Kinds
import Machinery
import Synchronization
import Tree

/// What a pod's resource claims say about nodes: where devices that it has can be used, and where those that it wants are free.
final class DeviceState: Sendable {
    /// What is written into claims when a node is chosen.
    struct Choice: Sendable, Equatable {
        /// A claim without a uid is still to be made.
        var allocations: [(claim: Node, allocation: Node)] = []
        /// Claims that have devices and get one more consumer.
        var reservations: [Node] = []
        /// Which container has which request of the claim for extended resources.
        var mappings: [Node] = []
        var isEmpty: Bool { allocations.isEmpty && reservations.isEmpty }

        static func == (a: Choice, b: Choice) -> Bool {
            a.reservations == b.reservations && a.mappings == b.mappings && a.allocations.map(\.claim) == b.allocations.map(\.claim)
                && a.allocations.map(\.allocation) == b.allocations.map(\.allocation)
        }
    }

    private struct Held: Sendable {
        let claim: Node
        let nodes: NodeSelector?
    }

    private enum Outcome: Sendable { case choice(Choice), refusal(String), failure(String) }

    private let pod: PodInfo
    private let held: [Held]
    private let wanted: [Node]
    private let extended: ExtendedDevices?
    private let slices: [DeviceSlice]
    private let classes: [String: Node]
    private let use: DeviceUse
    private let selectors: SelectorCache
    private let outcomes = Mutex<[String: Outcome]>([:])
    private let unavailable = Mutex<Set<ObjectKey>>([])
    /// Set when no node will do, whatever it is.
    let refusal: String?

    /// Nil for a pod that has nothing to do with devices.
    static func make(_ pod: PodInfo, _ ledger: DeviceLedger) -> DeviceState? {
        let extended = ExtendedDevices(pod, ledger)
        if pod.resourceClaims.references.isEmpty, extended == nil { return nil }
        return DeviceState(pod, ledger, extended)
    }

    private init(_ pod: PodInfo, _ ledger: DeviceLedger, _ extended: ExtendedDevices?) {
        self.pod = pod
        self.extended = extended
        var held: [Held] = []
        var wanted: [Node] = []
        var refusal = ledger.missing(pod)
        let names = pod.resourceClaims.references.compactMap(\.claim)
        var claims = names.enumerated().filter { names.firstIndex(of: $0.element) == $0.offset }.compactMap { ledger.claims[ObjectKey(pod.key.namespace, $0.element)] }
        if let claim = extended?.existing { claims.append(claim) }
        for claim in claims where refusal == nil {
            let allocation = claim["status"]["allocation"]
            if allocation.isNull {
                if ledger.pending[claim.uid] != nil {
                    refusal = "resource claim \(claim.namespace)/\(claim.name) is in the process of being allocated"
                } else if claim.uid != extended?.existing?.uid {
                    refusal = DeviceState.missingClass(claim, ledger)
                    wanted.append(claim)
                }
                continue
            }
            if claim["status"]["reservedFor"].list.count >= PodClaims.mostConsumers, !PodClaims.isReserved(claim, for: pod.node) { refusal = "resourceclaim in use" }
            held.append(Held(claim: claim, nodes: allocation["nodeSelector"].isNull ? nil : NodeSelector(allocation["nodeSelector"])))
        }
        self.held = held
        self.wanted = wanted
        self.refusal = refusal
        let isAllocating = !wanted.isEmpty || extended != nil
        slices = isAllocating ? ledger.slices : []
        classes = isAllocating ? ledger.classes : [:]
        use = isAllocating ? ledger.use : DeviceUse()
        selectors = ledger.selectors
    }

    private static func missingClass(_ claim: Node, _ ledger: DeviceLedger) -> String? {
        for request in claim["spec"]["devices"]["requests"].list {
            let base = request["name"].string ?? ""
            let entries = request["firstAvailable"].list
            let names = entries.isEmpty
                ? [(request["exactly"]["deviceClassName"].string ?? "", base)] : entries.map { ($0["deviceClassName"].string ?? "", "\(base)/\($0["name"].string ?? "")") }
            for (name, request) in names where ledger.classes[name] == nil { return "request \(request): device class \(name) does not exist" }
        }
        return nil
    }

    // MARK: - Nodes

    func refusal(_ node: NodeInfo) -> Refusal? {
        switch outcome(node) {
        case .choice: nil
        case .refusal(let reason): Refusal(.devices, reason)
        case .failure(let reason): Refusal(.devices, reason)
        }
    }

    /// Something that is wrong with the claims or the devices themselves, on whichever node it was seen: nothing is bound then.
    var failure: String? {
        outcomes.withLock { $0.sorted { $0.key < $1.key }.lazy.compactMap { if case .failure(let reason) = $0.value { reason } else { nil } }.first }
    }

    func choice(_ node: NodeInfo) -> Choice? { if case .choice(let choice) = outcome(node) { choice } else { nil } }

    private func outcome(_ node: NodeInfo) -> Outcome {
        if let known = outcomes.withLock({ $0[node.name] }) { return known }
        let made = evaluate(node)
        outcomes.withLock { $0[node.name] = made }
        return made
    }

    private func evaluate(_ node: NodeInfo) -> Outcome {
        var isUnavailable = false
        for entry in held {
            let isElsewhere = entry.nodes.map { !$0.matches(labels: node.labels, name: node.name) } ?? false
            if isElsewhere || BindingConditions(entry.claim).isHopeless {
                isUnavailable = true
                unavailable.withLock { _ = $0.insert(ObjectKey(entry.claim.namespace, entry.claim.name)) }
            }
        }
        var claims = wanted
        var choice = Choice()
        choice.reservations = held.map(\.claim).filter { !PodClaims.isReserved($0, for: pod.node) }
        if let extended {
            switch extended.claim(on: node) {
            case .none: break
            case .refused(let reason): return .refusal(reason)
            case .claim(let claim, let mappings):
                claims.append(claim)
                choice.mappings = mappings
            }
        }
        if !claims.isEmpty {
            do throws(DeviceFailure) {
                guard let found = try DeviceAllocator.allocate(claims, on: node, slices: slices, classes: classes, use: use, selectors: selectors) else {
                    return .refusal("cannot allocate all claims")
                }
                choice.allocations = Array(zip(claims, found)).map { (claim: $0.0, allocation: $0.1) }
            } catch {
                // Only pools that a driver has to mend are the node's own trouble.
                return error.message == "invalid resource pools were encountered" ? .refusal(error.message) : .failure(error.message)
            }
        }
        return isUnavailable ? .refusal("resourceclaim not available on the node") : .choice(choice)
    }

    /// Claims that nobody else uses and whose devices no node of the pod can reach: giving them back lets others be found.
    var deallocatable: Node? {
        if let existing = extended?.existing { return existing }
        let keys = unavailable.withLock { $0 }
        return held.map(\.claim).first { claim in
            let consumers = claim["status"]["reservedFor"].list
            return keys.contains(ObjectKey(claim.namespace, claim.name)) && (consumers.isEmpty || (consumers.count == 1 && consumers[0]["uid"].string == pod.uid))
        }
    }

    /// Whether devices give the pod what the node has none of.
    func covers(_ resource: String, on node: NodeInfo) -> Bool {
        extended?.stands(for: resource) == true && (node.allocatable.others[resource] ?? 0) == 0
    }

    /// How early in their lists the alternatives are that a node would give; larger is better.
    func score(_ node: NodeInfo) -> Int64 {
        guard let choice = choice(node) else { return 0 }
        let pairs = held.map { ($0.claim, $0.claim["status"]["allocation"]) } + choice.allocations.map { ($0.claim, $0.allocation) }
        var score: Int64 = 0
        for (claim, allocation) in pairs {
            let given = Set(allocation["devices"]["results"].list.compactMap { $0["request"].string })
            for request in claim["spec"]["devices"]["requests"].list {
                for (index, entry) in request["firstAvailable"].list.enumerated() where given.contains("\(request["name"].string ?? "")/\(entry["name"].string ?? "")") {
                    score += Int64(8 - index)
                }
            }
        }
        return score
    }

    /// Whether alternatives are weighed at all.
    var hasAlternatives: Bool { (wanted + held.map(\.claim)).contains { $0["spec"]["devices"]["requests"].list.contains { !$0["firstAvailable"].isEmpty } } }
}

/// Whether the devices of a claim are ready for its pods to be bound, where their driver wants to be waited for.
struct BindingConditions {
    enum State: Equatable { case ready, waiting, failed(String) }
    private let claim: Node
    init(_ claim: Node) { self.claim = claim }

    var isNeeded: Bool { claim["status"]["allocation"]["devices"]["results"].list.contains { !$0["bindingConditions"].isEmpty } }
    var isHopeless: Bool { if case .failed = state { true } else { false } }

    var state: State {
        for result in claim["status"]["allocation"]["devices"]["results"].list where !result["bindingConditions"].isEmpty {
            guard let status = claim["status"]["devices"].list.first(where: { DeviceID($0) == DeviceID(result) }) else { return .waiting }
            func isTrue(_ type: String) -> Node? { status["conditions"].list.first { $0["type"].string == type && $0["status"].string == "True" } }
            for type in result["bindingFailureConditions"].stringList {
                if let found = isTrue(type) {
                    return .failed("device binding failed: claim=\(claim.name), reason=\(found["reason"].string ?? ""), message=\(FieldError.quoted(found["message"].string ?? ""))")
                }
            }
            if !result["bindingConditions"].stringList.allSatisfy({ isTrue($0) != nil }) { return .waiting }
        }
        return .ready
    }
}

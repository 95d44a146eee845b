import Client
import Core
import Kinds
import Machinery
import Tree

/// What a pod's resource claims say about nodes: where those that have devices can be used, and whether the others would find some.
final class ClaimState {
    /// Claims that have devices, and those that are to get some.
    private(set) var allocated: [Node] = []
    private(set) var pending: [Node] = []
    /// Set when no node will do, whatever it is.
    private(set) var refusal: String?
    private let cluster: SchedulingCluster?
    private let now: Timestamp
    private var taken: Set<Device.ID> = []
    /// By node: the allocations of the pending claims, in their order.
    private var found: [String: Result<[Node], Unavailable>] = [:]

    private struct Unavailable: Error { let reason: String }

    static let most = 256

    /// Of a pod without claims.
    init() {
        cluster = nil
        now = Timestamp(seconds: 0)
    }

    init(_ pod: PodInfo, _ cluster: SchedulingCluster, now: Timestamp) {
        self.cluster = cluster
        self.now = now
        for name in pod.resourceClaims {
            guard let claim = cluster.resourceClaim(ObjectKey(pod.key.namespace, name)) else {
                refusal = "resourceclaim.resource.k8s.io \"\(name)\" not found"
                return
            }
            if claim.isBeingDeleted {
                refusal = "resourceclaim \"\(name)\" is being deleted"
                return
            }
            let reserved = claim["status"]["reservedFor"].list
            let isReserved = reserved.contains { $0["uid"].string == pod.uid }
            if !isReserved, reserved.count >= ClaimState.most {
                refusal = "resourceclaim in use"
                return
            }
            if claim["status"]["allocation"].isNull { pending.append(claim) } else { allocated.append(claim) }
        }
        if !pending.isEmpty { findTaken(cluster) }
        checkClasses(cluster)
    }

    private func findTaken(_ cluster: SchedulingCluster) {
        for key in cluster.resourceClaims.keys {
            for result in cluster.resourceClaim(key)?["status"]["allocation"]["devices"]["results"].list ?? [] where result["adminAccess"].bool != true {
                taken.insert(.init(driver: result["driver"].string ?? "", pool: result["pool"].string ?? "", name: result["device"].string ?? ""))
            }
        }
    }

    private func checkClasses(_ cluster: SchedulingCluster) {
        for claim in pending {
            for request in claim["spec"]["devices"]["requests"].list {
                for entry in [request["exactly"]] + request["firstAvailable"].list where !entry.isNull {
                    let name = entry["deviceClassName"].string ?? ""
                    if cluster.deviceClasses[name] == nil { refusal = "request \(request["name"].string ?? ""): device class \(name) does not exist" }
                }
            }
        }
    }

    var concernsNodes: Bool { !allocated.isEmpty || !pending.isEmpty }

    func refusal(_ node: NodeInfo) -> Refusal? {
        for claim in allocated {
            let selector = claim["status"]["allocation"]["nodeSelector"]
            if !selector.isNull, !NodeSelector(selector).matches(labels: node.labels, name: node.name) {
                return Refusal(.devices, "resourceclaim not available on the node")
            }
        }
        switch allocations(node) {
        case .success: return nil
        // Another pod's claim gives its devices back when that pod has gone.
        case .failure(let why): return Refusal(.devices, why.reason, isResolvable: true)
        }
    }

    /// What each pending claim would be given on the node.
    func choice(_ node: NodeInfo) -> [Node] { (try? allocations(node).get()) ?? [] }

    private func allocations(_ node: NodeInfo) -> Result<[Node], Unavailable> {
        guard !pending.isEmpty, let cluster else { return .success([]) }
        if let found = found[node.name] { return found }
        var allocator = DeviceAllocator(
            pending, DeviceInventory(cluster.resourceSlices.values, for: node), classes: cluster.deviceClasses, taken: taken, now: now)
        var result: Result<[Node], Unavailable>
        do throws(APIError) {
            result = try allocator.run(cluster.expressions, node: node).map { .success($0) } ?? .failure(Unavailable(reason: "cannot allocate all claims"))
        } catch {
            result = .failure(Unavailable(reason: error.message))
        }
        found[node.name] = result
        return result
    }
}

/// What is written about claims before a pod is bound.
struct ClaimChoice: Sendable {
    /// Claims with the allocation that they get; null for one that has its devices and only is to be reserved.
    var claims: [(claim: Node, allocation: Node)] = []

    init(_ state: ClaimState, _ node: NodeInfo) {
        claims = state.allocated.map { ($0, .null) } + zip(state.pending, state.choice(node)).map { ($0, $1) }
    }
}

import Client
import Core
import Kinds
import Machinery
import Tree

/// What the scheduler knows of devices: what drivers publish, what claims hold, and what decisions hold that are not written yet.
struct DeviceLedger: Sendable {
    /// An allocation that was decided and that the watch has not told of.
    struct Pending: Sendable {
        let allocation: Node
        let pod: String
    }

    private(set) var claims: [ObjectKey: Node] = [:]
    private(set) var classes: [String: Node] = [:]
    private var slicesByName: [String: DeviceSlice] = [:]
    /// By the uid of the claim; of claims that are still to be made, by the pod's.
    private(set) var pending: [String: Pending] = [:]
    /// Pods that wait for their claims to be made, by uid.
    private(set) var parked: [String: PodInfo] = [:]
    private var ownedByPod: [String: Set<ObjectKey>] = [:]
    /// The oldest class of each extended resource that devices stand for.
    private(set) var extended: [String: Node] = [:]
    let selectors = SelectorCache()

    var slices: [DeviceSlice] { Array(slicesByName.values) }

    mutating func setSlice(_ name: String, _ slice: Node?) { slicesByName[name] = slice.map(DeviceSlice.init) }

    mutating func setClass(_ name: String, _ deviceClass: Node?) {
        classes[name] = deviceClass
        extended = [:]
        for deviceClass in classes.values {
            extended["deviceclass.resource.kubernetes.io/\(deviceClass.name)"] = deviceClass
            guard let name = deviceClass["spec"]["extendedResourceName"].string else { continue }
            // The newest class counts; of several, the first by name.
            guard let known = extended[name] else { extended[name] = deviceClass; continue }
            let (a, b) = (deviceClass["metadata"]["creationTimestamp"].string ?? "", known["metadata"]["creationTimestamp"].string ?? "")
            if a > b || (a == b && deviceClass.name < known.name) { extended[name] = deviceClass }
        }
    }

    /// What stood there before is returned.
    @discardableResult
    mutating func setClaim(_ key: ObjectKey, _ claim: Node?) -> Node? {
        let old = claims[key]
        claims[key] = claim
        if let owner = old?.controllerOwner, owner.kind == "Pod" {
            ownedByPod[owner.uid]?.remove(key)
            if ownedByPod[owner.uid]?.isEmpty == true { ownedByPod[owner.uid] = nil }
        }
        if let owner = claim?.controllerOwner, owner.kind == "Pod" { ownedByPod[owner.uid, default: []].insert(key) }
        if claim == nil, let old { pending[old.uid] = nil }
        if let claim, !claim["status"]["allocation"].isNull {
            pending[claim.uid] = nil
            if claim.annotations[PodClaims.extendedAnnotation] == "true", let owner = claim.controllerOwner { pending[owner.uid] = nil }
        }
        return old
    }

    /// What claims and decisions hold.
    var use: DeviceUse {
        var use = DeviceUse()
        for claim in claims.values where !claim["status"]["allocation"].isNull { use.add(claim["status"]["allocation"]) }
        for entry in pending.values { use.add(entry.allocation) }
        return use
    }

    mutating func assume(_ choice: DeviceState.Choice, for pod: PodInfo) {
        for entry in choice.allocations { pending[entry.claim.uid.isEmpty ? pod.uid : entry.claim.uid] = Pending(allocation: entry.allocation, pod: pod.uid) }
    }

    /// The pod's decisions did not come about, or are written: then the claims tell of them.
    mutating func forget(podUID: String) { pending = pending.filter { $0.value.pod != podUID } }

    /// The claim that was made for a pod's extended resources.
    func extendedClaim(of pod: PodInfo) -> Node? {
        (ownedByPod[pod.uid] ?? []).compactMap { claims[$0] }.first { $0.annotations[PodClaims.extendedAnnotation] == "true" }
    }

    // MARK: - Pods whose claims are not there

    /// Whether claims are still to be made of templates, which is waited for in silence.
    func awaits(_ pod: PodInfo) -> Bool {
        pod.resourceClaims.references.contains { reference in
            guard !reference.isUnneeded, reference.template != nil else { return false }
            return reference.claim.map { claims[ObjectKey(pod.key.namespace, $0)] == nil } ?? true
        }
    }

    /// Why a pod cannot be looked at yet; nil once its claims exist.
    func missing(_ pod: PodInfo) -> String? {
        for reference in pod.resourceClaims.references where !reference.isUnneeded {
            guard let name = reference.claim else { return "waiting for dynamic resource controller to create the resourceclaim \"\(reference.name)\"" }
            guard let claim = claims[ObjectKey(pod.key.namespace, name)] else { return "resourceclaim.resource.k8s.io \"\(name)\" not found" }
            if claim.isBeingDeleted { return "resourceclaim \"\(name)\" is being deleted" }
            if reference.template != nil, !PodClaims.owns(pod.node, claim) {
                return "ResourceClaim \(pod.key.namespace)/\(name) was not created for pod \(pod.key.namespace)/\(pod.key.name) (pod is not owner)"
            }
        }
        return nil
    }

    mutating func park(_ pod: PodInfo) { parked[pod.uid] = pod }
    mutating func unpark(uid: String) { parked[uid] = nil }

    /// Those that need not wait any more.
    mutating func release() -> [PodInfo] {
        let ready = parked.values.filter { !awaits($0) }
        for pod in ready { parked[pod.uid] = nil }
        return ready
    }
}

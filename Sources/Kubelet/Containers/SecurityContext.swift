import Containers
import Core
import Linux
import Synchronization
import Tree

/// As whom a container runs and with which rights: pod's and container's wishes, and the image's, resolved to numbers.
struct SecurityContext: Sendable {
    let isPrivileged: Bool
    let user: ContainerUser
    let capabilities: CapabilitySets
    let seccomp: SeccompFilter?
    let noNewPrivileges: Bool
    let isReadOnly: Bool
    let hidesProc: Bool

    init(_ container: Node, _ pod: PodView, imageUser: String, users: ImageUsers) throws {
        let own = container["securityContext"]
        let shared = pod.spec["securityContext"]
        func pick(_ key: String) -> Node { own.has(key) ? own[key] : shared[key] }
        isPrivileged = own["privileged"].bool ?? false
        user = try SecurityContext.user(container, pod, pick, imageUser, users)
        capabilities = SecurityContext.capabilities(own["capabilities"], isPrivileged)
        noNewPrivileges = own["allowPrivilegeEscalation"].bool == false
        isReadOnly = own["readOnlyRootFilesystem"].bool ?? false
        hidesProc = own["procMount"].string != "Unmasked" && !isPrivileged
        let profile = pick("seccompProfile")["type"].string ?? "RuntimeDefault"
        switch profile {
        case _ where isPrivileged, "Unconfined": seccomp = nil
        case "RuntimeDefault": seccomp = try SeccompCache.filter(capabilities.bounding)
        default:
            throw StartFailure(
                .creation, reason: "CreateContainerError",
                message: "failed to generate seccomp spec opts: seccomp profile \(pick("seccompProfile")["localhostProfile"].string ?? "") is not available")
        }
    }

    private static func user(
        _ container: Node, _ pod: PodView, _ pick: (String) -> Node, _ imageUser: String, _ users: ImageUsers
    ) throws -> ContainerUser {
        let parts = imageUser.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let named = parts.first ?? ""
        let wanted = pick("runAsUser").int
        let place = "(pod: \(NodePath.quoted(pod.title)), container: \(container["name"].string ?? ""))"
        if pick("runAsNonRoot").bool == true {
            if wanted == 0 { throw Environment.failure("container's runAsUser breaks non-root policy \(place)") }
            if wanted == nil, UInt32(named) == 0 || named.isEmpty {
                throw Environment.failure("container has runAsNonRoot and image will run as root \(place)")
            }
            if wanted == nil, UInt32(named) == nil {
                throw Environment.failure(
                    "container has runAsNonRoot and image has non-numeric user (\(named)), cannot verify user is non-root \(place)")
            }
        }
        var uid: UInt32 = 0
        if let wanted {
            uid = UInt32(clamping: wanted)
        } else if !named.isEmpty {
            guard let found = UInt32(named) ?? users.uid(named) else {
                throw StartFailure(.creation, reason: "CreateContainerError", message: "unable to find user \(named): no matching entries in passwd file")
            }
            uid = found
        }
        var gid = users.primaryGroup(of: uid) ?? 0
        if wanted == nil, parts.count > 1, !parts[1].isEmpty {
            guard let found = UInt32(parts[1]) ?? users.gid(parts[1]) else {
                throw StartFailure(.creation, reason: "CreateContainerError", message: "unable to find group \(parts[1]): no matching entries in group file")
            }
            gid = found
        }
        if let group = pick("runAsGroup").int { gid = UInt32(clamping: group) }
        return ContainerUser(uid: uid, gid: gid, groups: groups(pod, uid, gid, users))
    }

    private static func groups(_ pod: PodView, _ uid: UInt32, _ gid: UInt32, _ users: ImageUsers) -> [UInt32] {
        let shared = pod.spec["securityContext"]
        var out: [UInt32] = [gid]
        if shared["supplementalGroupsPolicy"].string != "Strict" { out += users.memberships(of: uid) }
        out += shared["supplementalGroups"].list.compactMap(\.int).map { UInt32(clamping: $0) }
        if let group = shared["fsGroup"].int { out.append(UInt32(clamping: group)) }
        var seen: Set<UInt32> = []
        return out.filter { seen.insert($0).inserted }
    }

    private static func capabilities(_ wish: Node, _ isPrivileged: Bool) -> CapabilitySets {
        if isPrivileged { return .all }
        var mask = CapabilitySets.standard.bounding
        let add = wish["add"].stringList
        let drop = wish["drop"].stringList
        if drop.contains(where: { $0.uppercased() == "ALL" }) { mask = 0 }
        if add.contains(where: { $0.uppercased() == "ALL" }) { mask = CapabilitySets.all.bounding }
        for name in add { if let capability = capability(name) { mask |= capability.bit } }
        for name in drop { if let capability = capability(name) { mask &= ~capability.bit } }
        return CapabilitySets(mask)
    }

    private static func capability(_ name: String) -> Capability? {
        let name = name.uppercased()
        return Capability(name: name.hasPrefix("CAP_") ? name : "CAP_\(name)") ?? Capability(name: name)
    }
}

/// Filters by the capabilities they go with: compiling one takes longer than starting a container.
enum SeccompCache {
    private static let filters = Mutex<[UInt64: SeccompFilter]>([:])

    static func filter(_ capabilities: UInt64) throws(SystemFailure) -> SeccompFilter {
        if let known = filters.withLock({ $0[capabilities] }) { return known }
        let filter = try SeccompProfile.runtimeDefault(capabilities: capabilities).compile()
        filters.withLock { $0[capabilities] = filter }
        return filter
    }
}

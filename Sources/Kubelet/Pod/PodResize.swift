import Core
import Machinery
import Tree

/// What the node says to a pod that asks for other resources.
package enum ResizeVerdict: Sendable, Equatable {
    case granted
    /// Not now: others have it.
    case deferred(message: String)
    /// Never on this node.
    case infeasible(message: String)
}

/// The requests and limits of a pod and its containers. Equal where the amounts of processor and memory are.
struct PodResources: Sendable, Equatable {
    /// By container, as the spec writes them.
    var containers: [String: Node] = [:]
    var pod = Node.null

    init(_ pod: PodView) {
        for (role, container) in pod.all where role != .ephemeral { containers[container["name"].string ?? ""] = container["resources"] }
        self.pod = pod.spec["resources"]
    }

    static func == (a: PodResources, b: PodResources) -> Bool {
        a.containers.count == b.containers.count && isSame(a.pod, b.pod)
            && a.containers.allSatisfy { name, resources in b.containers[name].map { isSame($0, resources) } ?? false }
    }

    static func isSame(_ a: Node, _ b: Node) -> Bool { isSame(a, b, "cpu") && isSame(a, b, "memory") }

    static func isSame(_ a: Node, _ b: Node, _ name: String) -> Bool {
        ["requests", "limits"].allSatisfy { Amount.quantity(a[$0][name]) == Amount.quantity(b[$0][name]) }
    }
}

/// A pod's resources between the wish of its spec, what the node has granted and what containers run with. Upstream calls the three
/// desired, allocated and actuated; it keeps the second in a file, here the pod's status in the API is the record.
struct PodResize: Sendable {
    static let conditionTypes: Set<String> = ["PodResizePending", "PodResizeInProgress"]

    var granted: PodResources
    /// What the pod's own cgroup is set to.
    var appliedToPod: Node
    /// The wish that the node is asked about.
    var asked: PodResources?
    var refused: (wish: PodResources, verdict: ResizeVerdict)?
    var isApplying = false
    var failure: (message: String, until: Timestamp)?

    init(_ pod: PodView) {
        granted = PodResources(pod)
        for (name, wish) in granted.containers {
            guard let status = pod.containerStatus(name), status.has("allocatedResources") else { continue }
            var resources = wish
            resources["requests"] = status["allocatedResources"]
            if status["resources"].has("limits") { resources["limits"] = status["resources"]["limits"] }
            granted.containers[name] = resources
        }
        appliedToPod = granted.pod
    }

    /// The spec may ask for something else now.
    mutating func follow(_ pod: PodView) {
        if let refused, refused.wish != PodResources(pod) { self.refused = nil }
    }

    mutating func answered(_ verdict: ResizeVerdict, _ pod: PodView) {
        guard let asked else { return }
        self.asked = nil
        if verdict == .granted {
            granted = asked
            failure = nil
        } else if asked == PodResources(pod) {
            refused = (asked, verdict)
        }
    }

    mutating func reconsider() { if case .deferred = refused?.verdict { refused = nil } }
}

extension PodMachine {
    /// The pod as the node has granted it: what containers are started by.
    var grantedPod: PodView {
        guard resize.granted != PodResources(pod) else { return pod }
        var node = pod.node
        node["spec"]["resources"] = resize.granted.pod
        for list in ["initContainers", "containers"] {
            guard case .list(var containers) = node["spec"][list] else { continue }
            for index in containers.indices {
                if let resources = resize.granted.containers[containers[index]["name"].string ?? ""] { containers[index]["resources"] = resources }
            }
            node["spec"][list] = .list(containers)
        }
        return PodView(node)
    }

    /// Asks for what the spec wishes, and gives running containers what was granted.
    mutating func resizeContainers(_ now: Timestamp, _ out: inout [PodAction]) {
        let wish = PodResources(pod)
        if wish != resize.granted, resize.asked == nil, resize.refused == nil {
            resize.asked = wish
            out.append(.askResize(pod))
        }
        guard !resize.isApplying else { return }
        if let failure = resize.failure, failure.until > now { return wake(at: failure.until) }
        var changes: [String: Node] = [:]
        for (name, want) in outstanding {
            if let resource = needsRestart(name, want) {
                guard tracks[name]?.isStopping == false else { continue }
                tracks[name]?.restartsAfterStop = true
                out += stop(name, message: "Container \(name) resize requires restart (\(resource))")
            } else {
                changes[name] = want
            }
        }
        guard !changes.isEmpty || !PodResources.isSame(resize.appliedToPod, resize.granted.pod) else { return }
        resize.isApplying = true
        out.append(.applyResources(containers: changes, pod: resize.granted.pod))
    }

    /// Running containers that have not got what was granted.
    private var outstanding: [(name: String, want: Node)] {
        tracks.sorted { $0.key < $1.key }.compactMap { name, track in
            guard track.isRunning, !track.isStopping, !track.resources.isNull, let want = resize.granted.containers[name],
                !PodResources.isSame(want, track.resources)
            else { return nil }
            return (name, want)
        }
    }

    /// The resource whose change the container cannot take while it runs.
    private func needsRestart(_ name: String, _ want: Node) -> String? {
        guard let track = tracks[name], let container = pod.container(name)?.container else { return nil }
        return container["resizePolicy"].list.first { policy in
            policy["restartPolicy"].string == "RestartContainer" && !PodResources.isSame(want, track.resources, policy["resourceName"].string ?? "")
        }?["resourceName"].string
    }

    mutating func applied(_ containers: [String: Node], _ own: Node, _ error: String?, _ now: Timestamp) {
        resize.isApplying = false
        if let error {
            resize.failure = (error, now + .seconds(5))
            return
        }
        resize.failure = nil
        resize.appliedToPod = own
        for (name, resources) in containers where tracks[name]?.isRunning == true { tracks[name]?.resources = resources }
    }

    /// What the status says of a resize that is not through.
    var resizeConditions: [(type: String, reason: String, message: String)] {
        guard ending == nil else { return [] }
        var out: [(String, String, String)] = []
        switch resize.refused?.verdict {
        case .deferred(let message): out.append(("PodResizePending", "Deferred", message))
        case .infeasible(let message): out.append(("PodResizePending", "Infeasible", message))
        default: break
        }
        let isStopping = tracks.values.contains { $0.isStopping && $0.restartsAfterStop == true }
        if resize.asked != nil || resize.isApplying || !outstanding.isEmpty || resize.failure != nil || (resize.refused == nil && PodResources(pod) != resize.granted) {
            out.append(("PodResizeInProgress", resize.failure == nil ? "" : "Error", resize.failure?.message ?? ""))
        } else if isStopping, tracks.contains(where: { name, track in
            track.isStopping && resize.granted.containers[name].map { !PodResources.isSame($0, track.resources) } ?? false
        }) {
            out.append(("PodResizeInProgress", "", ""))
        }
        return out
    }
}

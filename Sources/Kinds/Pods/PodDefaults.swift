import Machinery
import Tree

/// Defaults of pods and templates that depend on other fields.
enum PodDefaults {
    /// What holds in templates too.
    static func applyToSpec(_ spec: inout Node) {
        guard case .map = spec else { return }
        // Two names of one field; the older one is written for older clients.
        if spec["serviceAccountName"].isEmpty, !spec["serviceAccount"].isEmpty { spec["serviceAccountName"] = spec["serviceAccount"] }
        if !spec["serviceAccountName"].isEmpty { spec["serviceAccount"] = spec["serviceAccountName"] } else { spec.remove("serviceAccount") }
        if spec["securityContext"].isNull { spec["securityContext"] = .emptyMap }
        each("containers", of: &spec, container)
        each("initContainers", of: &spec, container)
        each("ephemeralContainers", of: &spec, container)
        each("volumes", of: &spec, volume)
    }

    /// What holds for pods only.
    static func applyToPod(_ pod: inout Node) {
        var spec = pod["spec"]
        guard case .map = spec else { return }
        pod["spec"] = .null
        applyToSpec(&spec)
        for list in ["containers", "initContainers"] { each(list, of: &spec, requestsFromLimits) }
        podRequests(&spec)
        if spec["enableServiceLinks"].isNull { spec["enableServiceLinks"] = true }
        if spec["hostNetwork"].bool == true {
            for list in ["containers", "initContainers"] { each(list, of: &spec, hostPorts) }
        }
        pod["spec"] = spec
    }

    private static func each(_ list: String, of spec: inout Node, _ edit: (inout Node) -> Void) {
        guard case .list(var items) = spec[list] else { return }
        for index in items.indices { edit(&items[index]) }
        spec[list] = .list(items)
    }

    private static func container(_ container: inout Node) {
        if container["imagePullPolicy"].isEmpty { container["imagePullPolicy"] = pullPolicy(container["image"].string ?? "") }
    }

    /// `Always` for the tag `latest`, which is also what no tag and no digest means.
    static func pullPolicy(_ image: String) -> Node {
        let named = image.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
        let name = named.first.map(String.init) ?? ""
        let last = name.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        // A reference that cannot be read has no tag to speak of.
        if name.isEmpty || !ImageName.isReadable(image) { return "IfNotPresent" }
        if let colon = last.lastIndex(of: ":") { return last[last.index(after: colon)...] == "latest" ? "Always" : "IfNotPresent" }
        return named.count == 1 ? "Always" : "IfNotPresent"
    }

    private static func volume(_ volume: inout Node) {
        if volume.fields.count <= 1, !volume.fields.contains(where: { $0.key != "name" && !$0.value.isNull }) { volume["emptyDir"] = .emptyMap }
        if !volume["image"].isNull, volume["image"]["pullPolicy"].isEmpty {
            volume["image"]["pullPolicy"] = pullPolicy(volume["image"]["reference"].string ?? "")
        }
    }

    private static func requestsFromLimits(_ container: inout Node) {
        for (name, limit) in container["resources"]["limits"].fields where !container["resources"]["requests"].has(name) {
            container["resources"]["requests"][name] = limit
        }
    }

    private static func podRequests(_ spec: inout Node) {
        guard !spec["resources"]["limits"].isEmpty else { return }
        var own = spec
        own.remove("resources")
        own.remove("overhead")
        let pod: Node = ["spec": own]
        for (name, amount) in PodRequests.total(pod).sorted(by: { $0.key < $1.key }) where ["cpu", "memory"].contains(name) {
            if !spec["resources"]["requests"].has(name) { spec["resources"]["requests"][name] = .string(amount.description) }
        }
        for (name, limit) in spec["resources"]["limits"].fields where !spec["resources"]["requests"].has(name) {
            spec["resources"]["requests"][name] = limit
        }
    }

    private static func hostPorts(_ container: inout Node) {
        guard case .list(var ports) = container["ports"] else { return }
        for index in ports.indices where (ports[index]["hostPort"].int ?? 0) == 0 { ports[index]["hostPort"] = ports[index]["containerPort"] }
        container["ports"] = .list(ports)
    }
}

/// The quality-of-service class of a pod, from what it asks for.
enum PodQuality {
    static func of(_ spec: Node) -> String {
        let whole = spec["resources"]
        if !whole["requests"].isEmpty || !whole["limits"].isEmpty { return of([whole]) }
        return of((spec["containers"].list + spec["initContainers"].list).map { $0["resources"] })
    }

    private static func of(_ all: [Node]) -> String {
        var (requests, limits): ([String: Quantity], [String: Quantity]) = ([:], [:])
        var isGuaranteed = true
        for resources in all {
            for name in ["cpu", "memory"] {
                if let amount = PodRequests.quantity(resources["requests"][name]), amount.sign > 0 { PodRequests.add([name: amount], to: &requests) }
                if let amount = PodRequests.quantity(resources["limits"][name]), amount.sign > 0 {
                    PodRequests.add([name: amount], to: &limits)
                } else {
                    isGuaranteed = false
                }
            }
        }
        if requests.isEmpty, limits.isEmpty { return "BestEffort" }
        return isGuaranteed && requests == limits ? "Guaranteed" : "Burstable"
    }
}

/// References to images, as far as defaults need them.
enum ImageName {
    static func isReadable(_ image: String) -> Bool {
        guard image.utf8.count <= 255 + 128 + 1 + 72 else { return false }
        let name = image.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)[0]
        var parts = name.split(separator: "/", omittingEmptySubsequences: false)
        if parts.count > 1, let first = parts.first, first.contains(where: { $0 == "." || $0 == ":" }) || first == "localhost" { parts.removeFirst() }
        if let last = parts.last, let colon = last.lastIndex(of: ":") { parts[parts.count - 1] = last[..<colon] }
        guard parts.reduce(0, { $0 + $1.utf8.count + 1 }) <= 256 else { return false }
        return parts.allSatisfy { part in
            func isPlain(_ byte: UInt8) -> Bool { byte &- 97 < 26 || byte &- 48 < 10 }
            guard let first = part.utf8.first, let last = part.utf8.last else { return false }
            return isPlain(first) && isPlain(last) && part.utf8.allSatisfy { isPlain($0) || $0 == 45 || $0 == 46 || $0 == 95 }
        }
    }
}

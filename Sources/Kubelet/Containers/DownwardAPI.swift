import Machinery
import Tree

/// What a pod can learn of itself, as variables and files.
struct DownwardAPI: Sendable {
    let pod: PodView
    let nodeName: String
    let hostAddresses: [String]
    let addresses: [String]
    let allocatable: [String: Quantity]

    /// Nil where the path is none that can be asked for.
    func field(_ path: String) -> String? {
        if let key = subscripted(path, "metadata.labels") { return pod.node.labels[key] ?? "" }
        if let key = subscripted(path, "metadata.annotations") { return pod.node.annotations[key] ?? "" }
        return switch path {
        case "metadata.name": pod.name
        case "metadata.namespace": pod.namespace
        case "metadata.uid": pod.uid
        case "metadata.labels": DownwardAPI.format(pod.node.labels)
        case "metadata.annotations": DownwardAPI.format(pod.node.annotations)
        case "spec.nodeName": nodeName
        case "spec.serviceAccountName": pod.spec["serviceAccountName"].string ?? ""
        case "status.hostIP": hostAddresses.first ?? ""
        case "status.hostIPs": hostAddresses.joined(separator: ",")
        case "status.podIP": addresses.first ?? ""
        case "status.podIPs": addresses.joined(separator: ",")
        default: nil
        }
    }

    private func subscripted(_ path: String, _ map: String) -> String? {
        guard path.hasPrefix(map + "['"), path.hasSuffix("']") else { return nil }
        return String(path.dropFirst(map.count + 2).dropLast(2))
    }

    static func format(_ map: [String: String]) -> String {
        map.sorted { $0.key < $1.key }.map { "\($0.key)=\(NodePath.quoted($0.value))" }.joined(separator: "\n")
    }

    /// A container's request or limit in units of the divisor, rounded up; the node's own where there is no limit.
    func resource(_ selector: Node, container: Node) -> String? {
        let name = selector["resource"].string ?? ""
        let owner = selector["containerName"].string.flatMap { $0.isEmpty ? nil : pod.container($0)?.container } ?? container
        guard let dot = name.firstIndex(of: ".") else { return nil }
        let kind = String(name[..<dot])
        let resource = String(name[name.index(after: dot)...])
        guard ["requests", "limits"].contains(kind) else { return nil }
        var quantity = Amount.quantity(owner["resources"][kind][resource])
        if quantity == nil || quantity?.isZero == true {
            quantity = kind == "limits" ? allocatable[resource] : Amount.quantity(owner["resources"]["limits"][resource])
        }
        let divisor = Amount.quantity(selector["divisor"]) ?? .zero
        return "\(DownwardAPI.divide(quantity ?? .zero, divisor, isCPU: resource == "cpu"))"
    }

    private static func divide(_ quantity: Quantity, _ divisor: Quantity, isCPU: Bool) -> Int64 {
        if isCPU {
            let unit = divisor.isZero ? 1000 : max(1, divisor.milliValue)
            return (quantity.milliValue + unit - 1) / unit
        }
        let unit = divisor.isZero ? 1 : max(1, divisor.value)
        return (quantity.value + unit - 1) / unit
    }
}

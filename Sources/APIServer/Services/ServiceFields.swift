import Kinds
import Machinery
import Tree

/// The linked fields of a service (one address and the list of addresses, families and their policy, ports): what a client left
/// out or meant is worked out here, before anything is allocated and validated.
enum ServiceFields {
    static func prepare(_ service: inout Node, old: Node?) {
        normalizeAddresses(&service, old: old)
        guard let old else { return }
        keepAllocated(&service, old: old)
        dropUnneeded(&service, old: old)
    }

    private static func type(_ service: Node) -> String { service["spec"]["type"].string ?? "ClusterIP" }
    private static func needsAddress(_ service: Node) -> Bool { type(service) != "ExternalName" }
    private static func needsPorts(_ service: Node) -> Bool { ["NodePort", "LoadBalancer"].contains(type(service)) }
    private static func address(_ service: Node) -> String { service["spec"]["clusterIP"].string ?? "" }
    private static func addresses(_ service: Node) -> [String] { service["spec"]["clusterIPs"].stringList }

    private static func setAddresses(_ service: inout Node, _ list: [String]) { service["spec"]["clusterIPs"] = list.isEmpty ? .null : Node(list) }

    /// Older clients know `clusterIP` only.
    private static func normalizeAddresses(_ service: inout Node, old: Node?) {
        guard let old else {
            if !address(service).isEmpty, addresses(service).isEmpty { setAddresses(&service, [address(service)]) }
            return
        }
        if !addresses(old).isEmpty, addresses(service).isEmpty, address(old) == address(service) { setAddresses(&service, addresses(old)) }
        guard address(old) != address(service) else { return }
        if !address(old).isEmpty, address(service).isEmpty {
            if addresses(old) == addresses(service) { setAddresses(&service, []) }
        } else if addresses(old) == addresses(service) {
            setAddresses(&service, [address(service)])
        }
    }

    /// A client that sends its first manifest again keeps what was allocated for it.
    private static func keepAllocated(_ service: inout Node, old: Node) {
        if needsAddress(service), needsAddress(old) {
            if address(service).isEmpty { service["spec"]["clusterIP"] = old["spec"]["clusterIP"] }
            if addresses(service).isEmpty { service["spec"]["clusterIPs"] = old["spec"]["clusterIPs"] }
        }
        if needsPorts(service), needsPorts(old) {
            func numbers(_ service: Node) -> Set<Int64> { Set(service["spec"]["ports"].list.compactMap { $0["nodePort"].int }.filter { $0 != 0 }) }
            let used = numbers(old).intersection(numbers(service))
            // By name: other properties of the port may have changed.
            var byName: [String: Int64] = [:]
            for port in old["spec"]["ports"].list { byName[port["name"].string ?? ""] = port["nodePort"].int }
            var ports = service["spec"]["ports"].list
            for index in ports.indices where (ports[index]["nodePort"].int ?? 0) == 0 {
                guard let number = byName[ports[index]["name"].string ?? ""], number != 0, !used.contains(number) else { continue }
                ports[index]["nodePort"] = .int(number)
            }
            if !ports.isEmpty { service["spec"]["ports"] = .list(ports) }
        }
        if ServiceAllocation.needsHealthPort(service), ServiceAllocation.needsHealthPort(old), (service["spec"]["healthCheckNodePort"].int ?? 0) == 0 {
            service["spec"]["healthCheckNodePort"] = old["spec"]["healthCheckNodePort"]
        }
    }

    /// Another type needs less: what was allocated goes, unless the client changed it in the same write.
    private static func dropUnneeded(_ service: inout Node, old: Node) {
        func isSame(_ field: String) -> Bool { service["spec"][field] == old["spec"][field] }
        if needsAddress(old), !needsAddress(service) {
            if isSame("clusterIP"), isSame("clusterIPs") {
                service["spec"].remove("clusterIP")
                service["spec"].remove("clusterIPs")
            }
            if isSame("ipFamilies") { service["spec"].remove("ipFamilies") }
            if isSame("ipFamilyPolicy") { service["spec"].remove("ipFamilyPolicy") }
        }
        if needsPorts(old), !needsPorts(service) {
            func numbers(_ service: Node) -> Set<Int64> { Set(service["spec"]["ports"].list.compactMap { $0["nodePort"].int }.filter { $0 != 0 }) }
            if numbers(old).isSuperset(of: numbers(service)) {
                var ports = service["spec"]["ports"].list
                for index in ports.indices { ports[index].remove("nodePort") }
                if !ports.isEmpty { service["spec"]["ports"] = .list(ports) }
            }
        }
        if ServiceAllocation.needsHealthPort(old), !ServiceAllocation.needsHealthPort(service), isSame("healthCheckNodePort") {
            service["spec"].remove("healthCheckNodePort")
        }
        if type(old) == "LoadBalancer", type(service) != "LoadBalancer" {
            if isSame("allocateLoadBalancerNodePorts") { service["spec"].remove("allocateLoadBalancerNodePorts") }
            if isSame("loadBalancerClass") { service["spec"].remove("loadBalancerClass") }
            service["status"]["loadBalancer"] = [:]
        }
        if needsPorts(old), !needsPorts(service), isSame("externalTrafficPolicy") { service["spec"].remove("externalTrafficPolicy") }
    }

    /// Families and their policy, for a cluster that has IPv4 addresses for services.
    static func setFamilies(_ service: inout Node, old: Node?) throws(APIError) {
        guard needsAddress(service) else { return }
        let isHeadless = address(service) == "None" || addresses(service).first == "None"
        let isSelectorless = service["spec"]["selector"].fields.isEmpty
        if service["spec"]["ipFamilyPolicy"].isNull {
            let kept = old.map { $0["spec"]["ipFamilyPolicy"] } ?? .null
            service["spec"]["ipFamilyPolicy"] = kept.isNull ? (isHeadless && isSelectorless ? "RequireDualStack" : "SingleStack") : kept
        }
        try refuse(ServiceStrategy.addressErrors(service["spec"]), service)
        let policy = service["spec"]["ipFamilyPolicy"].string ?? ""
        var families = service["spec"]["ipFamilies"].stringList
        var errors: [FieldError] = []
        if policy == "SingleStack" {
            if addresses(service).count == 2 {
                errors.append(
                    .invalid("spec.ipFamilyPolicy", quoted: policy, "must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are specified"))
            }
            if families.count == 2 {
                errors.append(
                    .invalid("spec.ipFamilyPolicy", quoted: policy, "must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"))
            }
        }
        for (index, text) in addresses(service).enumerated() where text != "None" && index >= families.count {
            if text.contains(":") {
                let list = "[" + addresses(service).map(FieldError.quoted).joined(separator: ",") + "]"
                errors.append(.invalid("spec.clusterIPs[\(index)]", list, "IPv6 is not configured on this cluster"))
            } else if ServiceAddress(text) != nil {
                families.append("IPv4")
            }
        }
        try refuse(errors, service)
        if isHeadless, isSelectorless {
            if families.isEmpty { families = ["IPv4"] }
            if families.count < 2, policy != "SingleStack" { families.append(families[0] == "IPv4" ? "IPv6" : "IPv4") }
            service["spec"]["ipFamilies"] = Node(families)
            return
        }
        if policy == "RequireDualStack" {
            errors.append(.invalid("spec.ipFamilyPolicy", quoted: policy, "this cluster is not configured for dual-stack services"))
        }
        for (index, family) in families.enumerated() where family != "IPv4" {
            errors.append(.invalid("spec.ipFamilies[\(index)]", quoted: family, "not configured on this cluster"))
        }
        try refuse(errors, service)
        service["spec"]["ipFamilies"] = Node(families.isEmpty ? ["IPv4"] : families)
    }

    private static func refuse(_ errors: [FieldError], _ service: Node) throws(APIError) {
        if !errors.isEmpty { throw .invalid(kind: "Service", name: service.name, errors: errors) }
    }
}

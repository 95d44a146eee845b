import Tree

extension PodSecurityChecks {
    static let restricted: [PodSecurityCheck] = [
        PodSecurityCheck(id: "allowPrivilegeEscalation", since: 8) { _, spec, minor in
            if minor >= 25, isWindows(spec) { return nil }
            let bad = containers(spec).filter { $0["securityContext"]["allowPrivilegeEscalation"].bool != false }.map(name)
            return bad.isEmpty
                ? nil
                : Finding(reason: "allowPrivilegeEscalation != false", detail: "\(subject(bad)) must set securityContext.allowPrivilegeEscalation=false")
        },
        PodSecurityCheck(id: "capabilities_restricted", since: 22, contains: [("capabilities_baseline", 22)]) { _, spec, minor in
            minor >= 25 && isWindows(spec) ? nil : capabilitiesRestricted(spec)
        },
        PodSecurityCheck(id: "procMount_restricted", since: 35, contains: [("procMount", 35)]) { _, spec, _ in procMount(spec) },
        PodSecurityCheck(id: "restrictedVolumes", contains: [("hostPathVolumes", 0)]) { _, spec, _ in volumes(spec) },
        PodSecurityCheck(id: "runAsNonRoot") { _, spec, minor in minor >= 35 && hasOwnUsers(spec) ? nil : runAsNonRoot(spec) },
        PodSecurityCheck(id: "runAsUser", since: 23) { _, spec, minor in
            if minor >= 35, hasOwnUsers(spec) { return nil }
            return setters(spec) { $0["runAsUser"].int == 0 }.map { Finding(reason: "runAsUser=0", detail: "\($0) must not set runAsUser=0") }
        },
        PodSecurityCheck(id: "seccompProfile_restricted", since: 19, contains: [("seccompProfile_baseline", 19)]) { _, spec, minor in
            minor >= 25 && isWindows(spec) ? nil : seccompRestricted(spec)
        },
    ]

    private static func isWindows(_ spec: Node) -> Bool { spec["os"]["name"].string == "windows" }

    private static func capabilitiesRestricted(_ spec: Node) -> Finding? {
        var missing: [String] = []
        var adding: [String] = []
        var added: Set<String> = []
        for container in containers(spec) {
            let capabilities = container["securityContext"]["capabilities"]
            if !capabilities["drop"].stringList.contains("ALL") { missing.append(name(container)) }
            let foreign = capabilities["add"].stringList.filter { $0 != "NET_BIND_SERVICE" }
            added.formUnion(foreign)
            if !foreign.isEmpty { adding.append(name(container)) }
        }
        var details: [String] = []
        if !missing.isEmpty { details.append("\(subject(missing)) must set securityContext.capabilities.drop=[\"ALL\"]") }
        if !adding.isEmpty { details.append("\(subject(adding)) must not include \(quoted(added.sorted())) in securityContext.capabilities.add") }
        return details.isEmpty ? nil : Finding(reason: "unrestricted capabilities", detail: details.joined(separator: "; "))
    }

    private static let volumeTypes: Set<String> = [
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
    ]

    private static func volumes(_ spec: Node) -> Finding? {
        var bad: [String] = []
        var types: Set<String> = []
        for volume in spec["volumes"].list where !volumeTypes.contains(where: { !volume[$0].isNull }) {
            bad.append(name(volume))
            let type = volume.fields.first { $0.key != "name" && !$0.value.isNull }?.key
            types.insert(type ?? "unknown")
        }
        guard !bad.isEmpty else { return nil }
        return Finding(
            reason: "restricted volume types",
            detail: "\(plural("volume", bad.count)) \(quoted(bad)) \(bad.count == 1 ? "uses" : "use") \(plural("restricted volume type", types.count)) \(quoted(types.sorted()))")
    }

    private static func runAsNonRoot(_ spec: Node) -> Finding? {
        if let who = setters(spec, where: { $0["runAsNonRoot"].bool == false }) {
            return Finding(reason: "runAsNonRoot != true", detail: "\(who) must not set securityContext.runAsNonRoot=false")
        }
        guard spec["securityContext"]["runAsNonRoot"].bool != true else { return nil }
        let silent = containers(spec).filter { $0["securityContext"]["runAsNonRoot"].isNull }.map(name)
        return silent.isEmpty ? nil : Finding(reason: "runAsNonRoot != true", detail: "pod or \(subject(silent)) must set securityContext.runAsNonRoot=true")
    }

    private static func seccompRestricted(_ spec: Node) -> Finding? {
        if let bad = seccompBaseline(spec) { return bad }
        guard spec["securityContext"]["seccompProfile"].isNull else { return nil }
        let silent = containers(spec).filter { $0["securityContext"]["seccompProfile"].isNull }.map(name)
        guard !silent.isEmpty else { return nil }
        return Finding(
            reason: "seccompProfile", detail: "pod or \(subject(silent)) must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"")
    }
}

import Machinery
import Tree

/// One rule of the Pod Security Standards, with the minor versions from which it holds.
struct PodSecurityCheck: Sendable {
    typealias Finding = PodSecurityFindings.Finding

    let id: String
    var since = 0
    /// Baseline checks that this one contains, from a minor version on.
    var contains: [(id: String, since: Int)] = []
    let run: @Sendable (_ metadata: Node, _ spec: Node, _ minor: Int) -> Finding?

    func isPart(of minor: Int) -> Bool { minor >= since }
    func overrides(at minor: Int) -> [String] { contains.filter { minor >= $0.since }.map(\.id) }
}

/// The rules of the baseline level; those of the restricted one are beside them. In the order in which findings are told.
enum PodSecurityChecks {
    typealias Finding = PodSecurityFindings.Finding

    static let baseline: [PodSecurityCheck] = [
        PodSecurityCheck(id: "appArmorProfile") { metadata, spec, _ in appArmor(metadata, spec) },
        PodSecurityCheck(id: "capabilities_baseline") { _, spec, _ in capabilities(spec) },
        PodSecurityCheck(id: "hostNamespaces") { _, spec, _ in
            let used = ["hostNetwork", "hostPID", "hostIPC"].filter { spec[$0].bool == true }.map { "\($0)=true" }
            return used.isEmpty ? nil : Finding(reason: "host namespaces", detail: used.joined(separator: ", "))
        },
        PodSecurityCheck(id: "hostPathVolumes") { _, spec, _ in
            let names = spec["volumes"].list.filter { !$0["hostPath"].isNull }.map(name)
            return names.isEmpty ? nil : Finding(reason: "hostPath volumes", detail: "\(plural("volume", names.count)) \(quoted(names))")
        },
        PodSecurityCheck(id: "hostPorts") { _, spec, _ in hostPorts(spec) },
        PodSecurityCheck(id: "hostProbesAndHostLifecycle", since: 34) { _, spec, _ in hostProbes(spec) },
        PodSecurityCheck(id: "privileged") { _, spec, _ in
            let bad = containers(spec).filter { $0["securityContext"]["privileged"].bool == true }.map(name)
            return bad.isEmpty ? nil : Finding(reason: "privileged", detail: "\(subject(bad)) must not set securityContext.privileged=true")
        },
        PodSecurityCheck(id: "procMount") { _, spec, minor in minor >= 35 && hasOwnUsers(spec) ? nil : procMount(spec) },
        PodSecurityCheck(id: "seLinuxOptions") { _, spec, minor in seLinux(spec, minor) },
        PodSecurityCheck(id: "seccompProfile_baseline") { metadata, spec, minor in
            minor < 19 ? seccompAnnotations(metadata, spec) : seccompBaseline(spec)
        },
        PodSecurityCheck(id: "sysctls") { _, spec, minor in sysctls(spec, minor) },
        PodSecurityCheck(id: "windowsHostProcess") { _, spec, _ in
            setters(spec) { $0["windowsOptions"]["hostProcess"].bool == true }.map {
                Finding(reason: "hostProcess", detail: "\($0) must not set securityContext.windowsOptions.hostProcess=true")
            }
        },
    ]

    // MARK: - Reading a pod

    static func containers(_ spec: Node) -> [Node] { spec["initContainers"].list + spec["containers"].list + spec["ephemeralContainers"].list }
    static func name(_ node: Node) -> String { node["name"].string ?? "" }
    /// A pod whose users are not the machine's may be root in it.
    static func hasOwnUsers(_ spec: Node) -> Bool { spec["hostUsers"].bool == false }

    /// Who of pod and containers has a security context like that: `pod and container "a"`.
    static func setters(_ spec: Node, where isBad: (Node) -> Bool) -> String? {
        var out: [String] = []
        if isBad(spec["securityContext"]) { out.append("pod") }
        let bad = containers(spec).filter { isBad($0["securityContext"]) }.map(name)
        if !bad.isEmpty { out.append(subject(bad)) }
        return out.isEmpty ? nil : out.joined(separator: " and ")
    }

    // MARK: - Words

    static func plural(_ word: String, _ count: Int) -> String { count == 1 ? word : word + "s" }
    static func quoted(_ names: [String]) -> String { names.map { "\"\($0)\"" }.joined(separator: ", ") }
    static func subject(_ containers: [String]) -> String { "\(plural("container", containers.count)) \(quoted(containers))" }
    private static func uses(_ count: Int) -> String { count == 1 ? "uses" : "use" }

    // MARK: - Rules

    private static func appArmor(_ metadata: Node, _ spec: Node) -> Finding? {
        var values: Set<String> = []
        let setters = setters(spec) { context in
            guard let type = context["appArmorProfile"]["type"].string, type != "RuntimeDefault", type != "Localhost" else { return false }
            values.insert(type)
            return true
        }
        let annotations = metadata["annotations"].stringMap.filter { key, value in
            key.hasPrefix("container.apparmor.security.beta.kubernetes.io/") && !value.isEmpty && value != "runtime/default" && !value.hasPrefix("localhost/")
        }.map { "\($0.key)=\(FieldError.quoted($0.value))" }.sorted()
        var who = setters.map { [$0] } ?? []
        if !annotations.isEmpty { who.append(plural("annotation", annotations.count)) }
        guard !who.isEmpty else { return nil }
        let all = values.sorted() + annotations
        return Finding(
            reason: plural("forbidden AppArmor profile", all.count), detail: "\(who.joined(separator: " and ")) must not set AppArmor profile type to \(quoted(all))")
    }

    private static let capabilitiesAllowed: Set<String> = [
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    ]

    private static func capabilities(_ spec: Node) -> Finding? {
        var added: Set<String> = []
        let bad = containers(spec).filter { container in
            let foreign = container["securityContext"]["capabilities"]["add"].stringList.filter { !capabilitiesAllowed.contains($0) }
            added.formUnion(foreign)
            return !foreign.isEmpty
        }.map(name)
        guard !bad.isEmpty else { return nil }
        return Finding(reason: "non-default capabilities", detail: "\(subject(bad)) must not include \(quoted(added.sorted())) in securityContext.capabilities.add")
    }

    private static func hostPorts(_ spec: Node) -> Finding? {
        var ports: Set<String> = []
        let bad = containers(spec).filter { container in
            let own = container["ports"].list.compactMap { $0["hostPort"].int }.filter { $0 != 0 }.map(String.init)
            ports.formUnion(own)
            return !own.isEmpty
        }.map(name)
        guard !bad.isEmpty else { return nil }
        return Finding(
            reason: "hostPort", detail: "\(subject(bad)) \(uses(bad.count)) \(plural("hostPort", ports.count)) \(ports.sorted().joined(separator: ", "))")
    }

    private static func hostProbes(_ spec: Node) -> Finding? {
        var hosts: Set<String> = []
        var bad: Set<String> = []
        for container in containers(spec) {
            let handlers = ["livenessProbe", "readinessProbe", "startupProbe"].map { container[$0] }
                + ["postStart", "preStop"].map { container["lifecycle"][$0] }
            for handler in handlers {
                for kind in ["httpGet", "tcpSocket"] {
                    guard let host = handler[kind]["host"].string, !host.isEmpty else { continue }
                    hosts.insert(host)
                    bad.insert(name(container))
                }
            }
        }
        guard !bad.isEmpty else { return nil }
        return Finding(
            reason: "probe or lifecycle host",
            detail: "\(subject(bad.sorted())) \(uses(bad.count)) \(plural("probe or lifecycle host", hosts.count)) \(quoted(hosts.sorted()))")
    }

    static func procMount(_ spec: Node) -> Finding? {
        var types: Set<String> = []
        let bad = containers(spec).filter { container in
            guard let type = container["securityContext"]["procMount"].string, type != "Default" else { return false }
            types.insert(type)
            return true
        }.map(name)
        guard !bad.isEmpty else { return nil }
        return Finding(reason: "procMount", detail: "\(subject(bad)) must not set securityContext.procMount to \(quoted(types.sorted()))")
    }

    private static func seLinux(_ spec: Node, _ minor: Int) -> Finding? {
        var types: Set<String> = []
        var setsUser = false
        var setsRole = false
        let allowed = ["", "container_t", "container_init_t", "container_kvm_t"] + (minor >= 31 ? ["container_engine_t"] : [])
        let who = setters(spec) { context in
            let options = context["seLinuxOptions"]
            let type = options["type"].string ?? ""
            let user = !(options["user"].string ?? "").isEmpty
            let role = !(options["role"].string ?? "").isEmpty
            if !allowed.contains(type) { types.insert(type) }
            setsUser = setsUser || user
            setsRole = setsRole || role
            return !allowed.contains(type) || user || role
        }
        guard let who else { return nil }
        var data: [String] = []
        if !types.isEmpty { data.append("\(plural("type", types.count)) \(quoted(types.sorted()))") }
        if setsUser { data.append("user may not be set") }
        if setsRole { data.append("role may not be set") }
        return Finding(reason: "seLinuxOptions", detail: "\(who) set forbidden securityContext.seLinuxOptions: \(data.joined(separator: "; "))")
    }

    private static func seccompAnnotations(_ metadata: Node, _ spec: Node) -> Finding? {
        let annotations = metadata["annotations"].stringMap
        let keys = ["seccomp.security.alpha.kubernetes.io/pod"] + containers(spec).map { "container.seccomp.security.alpha.kubernetes.io/" + name($0) }
        var bad: Set<String> = []
        for key in keys {
            guard let value = annotations[key], value != "runtime/default", value != "docker/default", !value.hasPrefix("localhost/") else { continue }
            bad.insert("\(key)=\(FieldError.quoted(value))")
        }
        guard !bad.isEmpty else { return nil }
        return Finding(reason: "seccompProfile", detail: "forbidden \(plural("annotation", bad.count)) \(bad.sorted().joined(separator: ", "))")
    }

    static func seccompBaseline(_ spec: Node) -> Finding? {
        var types: Set<String> = []
        let who = setters(spec) { context in
            guard case .map = context["seccompProfile"] else { return false }
            let type = context["seccompProfile"]["type"].string ?? ""
            guard type != "RuntimeDefault", type != "Localhost" else { return false }
            types.insert(type)
            return true
        }
        return who.map { Finding(reason: "seccompProfile", detail: "\($0) must not set securityContext.seccompProfile.type to \(quoted(types.sorted()))") }
    }

    private static let sysctlsAllowed: [(name: String, since: Int)] = [
        ("kernel.shm_rmid_forced", 0), ("net.ipv4.ip_local_port_range", 0), ("net.ipv4.tcp_syncookies", 0), ("net.ipv4.ping_group_range", 0),
        ("net.ipv4.ip_unprivileged_port_start", 0), ("net.ipv4.ip_local_reserved_ports", 27), ("net.ipv4.tcp_keepalive_time", 29),
        ("net.ipv4.tcp_fin_timeout", 29), ("net.ipv4.tcp_keepalive_intvl", 29), ("net.ipv4.tcp_keepalive_probes", 29), ("net.ipv4.tcp_rmem", 32),
        ("net.ipv4.tcp_wmem", 32),
    ]

    private static func sysctls(_ spec: Node, _ minor: Int) -> Finding? {
        let bad = spec["securityContext"]["sysctls"].list.map(name).filter { name in !sysctlsAllowed.contains { $0.name == name && minor >= $0.since } }
        return bad.isEmpty ? nil : Finding(reason: "forbidden sysctls", detail: bad.joined(separator: ", "))
    }
}

import Tree

/// The names a pod has, and the files that tell its containers of them.
enum PodFiles {
    /// The host name inside, and the domain where the pod has a subdomain.
    static func hostname(_ pod: PodView, clusterDomain: String) -> (name: String, domain: String, kernel: String) {
        if let override = pod.spec["hostnameOverride"].string, !override.isEmpty { return (override, "", override) }
        var name = pod.spec["hostname"].string ?? ""
        if name.isEmpty {
            name = String(pod.name.prefix(63))
            while let last = name.last, last == "-" || last == "." { name.removeLast() }
        }
        var domain = ""
        if let subdomain = pod.spec["subdomain"].string, !subdomain.isEmpty { domain = "\(subdomain).\(pod.namespace).svc.\(clusterDomain)" }
        let full = domain.isEmpty ? name : "\(name).\(domain)"
        return (name, domain, pod.spec["setHostnameAsFQDN"].bool == true ? full : name)
    }

    static func hosts(_ pod: PodView, addresses: [String], clusterDomain: String, hostFile: String) -> String {
        var out: String
        if pod.usesHostNetwork {
            out = "# Kubernetes-managed hosts file (host network).\n" + hostFile
        } else {
            let (name, domain, _) = hostname(pod, clusterDomain: clusterDomain)
            out = """
                # Kubernetes-managed hosts file.
                127.0.0.1\tlocalhost
                ::1\tlocalhost ip6-localhost ip6-loopback
                fe00::0\tip6-localnet
                fe00::0\tip6-mcastprefix
                fe00::1\tip6-allnodes
                fe00::2\tip6-allrouters

                """
            for address in addresses { out += domain.isEmpty ? "\(address)\t\(name)\n" : "\(address)\t\(name).\(domain)\t\(name)\n" }
        }
        let aliases = pod.spec["hostAliases"].list
        if !aliases.isEmpty {
            out += "\n# Entries added by HostAliases.\n"
            for alias in aliases { out += "\(alias["ip"].string ?? "")\t\(alias["hostnames"].stringList.joined(separator: "\t"))\n" }
        }
        return out
    }
}

/// What `/etc/resolv.conf` says.
struct ResolvConf: Equatable, Sendable {
    var nameservers: [String] = []
    var searches: [String] = []
    var options: [String] = []

    init() {}

    init(parsing text: String) {
        for line in text.split(separator: "\n") {
            let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" }).map(String.init)
            guard let key = words.first, !key.hasPrefix("#"), !key.hasPrefix(";") else { continue }
            switch key {
            case "nameserver": nameservers += words.dropFirst().prefix(1)
            case "search": searches = Array(words.dropFirst()).filter { $0 != "." }
            case "options": options = Array(words.dropFirst())
            default: break
            }
        }
    }

    /// By the pod's policy and its own additions.
    init(_ pod: PodView, clusterDNS: [String], clusterDomain: String, host: ResolvConf) {
        let policy = pod.spec["dnsPolicy"].string ?? "ClusterFirst"
        switch policy {
        case "None": break
        case "ClusterFirst" where !pod.usesHostNetwork && !clusterDNS.isEmpty, "ClusterFirstWithHostNet" where !clusterDNS.isEmpty:
            nameservers = clusterDNS
            searches = ["\(pod.namespace).svc.\(clusterDomain)", "svc.\(clusterDomain)", clusterDomain]
            for search in host.searches where !searches.contains(search) { searches.append(search) }
            options = ["ndots:5"]
        default: self = host
        }
        let config = pod.spec["dnsConfig"]
        for server in config["nameservers"].stringList where !nameservers.contains(server) { nameservers.append(server) }
        for search in config["searches"].stringList where !searches.contains(search) { searches.append(search) }
        for option in config["options"].list {
            let name = option["name"].string ?? ""
            options.removeAll { $0 == name || $0.hasPrefix(name + ":") }
            options.append(option["value"].string.map { $0.isEmpty ? name : "\(name):\($0)" } ?? name)
        }
        nameservers = Array(nameservers.prefix(3))
        searches = Array(searches.prefix(32))
    }

    var text: String {
        var out = ""
        if !searches.isEmpty { out += "search \(searches.joined(separator: " "))\n" }
        for server in nameservers { out += "nameserver \(server)\n" }
        if !options.isEmpty { out += "options \(options.joined(separator: " "))\n" }
        return out
    }
}

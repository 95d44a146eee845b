import Containers
import Core
import ImageBuilder

/// The files that a build's command finds in its /etc, and the places that its mounts need. Those are a layer of their own below the
/// image's, so that no mount leaves a trace in what the command adds to the image.
struct BuildFiles: Sendable {
    let hostname: String
    let stubs: String
    let work: String
    private let directory: String
    private let network: String
    private let resolver: String

    init(_ command: SandboxCommand, hostname: String, resolver: String) {
        self.hostname = hostname
        self.resolver = resolver
        network = command.network
        directory = "\(command.scratch)/etc"
        stubs = "\(command.scratch)/stubs"
        work = "\(command.scratch)/work"
    }

    var mounts: [ContainerMount] {
        ["hosts", "resolv.conf", "hostname"].map { ContainerMount(target: "/etc/\($0)", .bind(source: "\(directory)/\($0)"), readOnly: true) }
    }

    /// `places`: where else something will be mounted.
    func write(places: [(target: String, isDirectory: Bool)]) throws(SystemFailure) {
        for path in [directory, stubs, work] { try FileSystem.makeDirectory(path, mode: 0o755) }
        for mount in ContainerMount.standard { try FileSystem.makeDirectories(stubs + mount.target, mode: 0o755) }
        try FileSystem.makeDirectories("\(stubs)/etc", mode: 0o755)
        for (name, text) in [("hosts", hosts), ("resolv.conf", resolvers), ("hostname", hostname + "\n")] {
            try FileSystem.writeAtomically("\(directory)/\(name)", Array(text.utf8), mode: 0o644)
            try FileSystem.writeAtomically("\(stubs)/etc/\(name)", [], mode: 0o644)
        }
        for (target, isDirectory) in places {
            let path = stubs + target
            try FileSystem.makeDirectories(isDirectory ? path : FileSystem.parent(of: path), mode: 0o755)
            if !isDirectory, !FileSystem.exists(path) { try FileSystem.writeAtomically(path, [], mode: 0o644) }
        }
    }

    private var hosts: String {
        if network == "host", let own = try? FileSystem.readFile("/etc/hosts", limit: 1 << 20) { return String(decoding: own, as: UTF8.self) }
        return """
            127.0.0.1\tlocalhost \(hostname)
            ::1\tlocalhost ip6-localhost ip6-loopback

            """
    }

    /// The cluster's DNS asks the machine's resolvers for what is not of the cluster, also such as listen on the machine's loopback.
    private var resolvers: String {
        switch network {
        case "default": return "nameserver \(resolver)\n"
        case "host": return (try? FileSystem.readFile("/etc/resolv.conf", limit: 1 << 20)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        default: return ""
        }
    }
}

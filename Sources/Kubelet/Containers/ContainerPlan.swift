import Client
import Containers
import Core
import Linux
import Machinery
import OCI
import Tree

/// Composes the neutral spec of one run of one container.
struct ContainerPlan: Sendable {
    let pod: PodView
    let container: Node
    let attempt: Int
    let image: LocalImage
    let node: NodeConfiguration
    let paths: PodPaths
    let volumes: PodVolumes
    let objects: ObjectSource
    let addresses: [String]
    /// A container of the pod whose processes an ephemeral one shares.
    let target: String?
    /// What the container's devices need changed.
    var devices: [Node] = []

    private var name: String { container["name"].string ?? "" }

    func make() async throws -> ContainerSpec {
        let downward = DownwardAPI(
            pod: pod, nodeName: node.name, hostAddresses: node.addresses, addresses: addresses, allocatable: node.allocatable)
        let environment = try await Environment.resolve(container, downward, objects)
        let users = ImageUsers(layers: image.layers)
        let context = try SecurityContext(container, pod, imageUser: image.config.user, users: users)
        var spec = ContainerSpec(
            id: Encoding.hex(Identifier.randomBytes(32)),
            root: RootFilesystem(layers: image.layers, readOnly: context.isReadOnly), process: try process(environment, context))
        spec.limits = ContainerResources.limits(container["resources"], isPrivileged: context.isPrivileged)
        if context.isPrivileged {
            spec.mounts = ContainerMount.privileged
            spec.readonlyPaths = []
        }
        if !context.hidesProc {
            spec.maskedPaths = []
            spec.readonlyPaths = []
        }
        spec.mounts += try mounts(environment)
        if let target {
            spec.processIDs = .container(target)
        } else if pod.spec["shareProcessNamespace"].bool == true || pod.spec["hostPID"].bool == true {
            spec.processIDs = .sandbox
        }
        spec.stdin = container["stdin"].bool ?? false
        spec.stdinOnce = container["stdinOnce"].bool ?? false
        spec.log = ContainerLog(path: paths.log(name, attempt), rotateAt: node.logRotation.bytes, files: node.logRotation.files)
        spec.labels = [
            Label.container: name, Label.attempt: "\(attempt)", Label.specImage: container["image"].string ?? "", Label.image: image.name,
            Label.imageID: image.id, Label.signal: "\(Signals.stop(container, image: image.config.stopSignal))",
            Label.user: "\(context.user.uid):\(context.user.gid):\(context.user.groups.map(String.init).joined(separator: ","))",
        ]
        try ContainerDevices.apply(devices, to: &spec)
        // Container runtimes add it last, to what nobody has given a home.
        if !spec.process.environment.contains(where: { $0.hasPrefix("HOME=") && $0 != "HOME=" }) {
            spec.process.environment.removeAll { $0 == "HOME=" }
            spec.process.environment.append("HOME=\(users.home(of: context.user.uid))")
        }
        return spec
    }

    private func process(_ environment: Environment, _ context: SecurityContext) throws -> ProcessSpec {
        let expand: (String) -> String = { Expansion.expand($0) { environment.values[$0] } }
        let command = container["command"].stringList.map(expand)
        let arguments = container["args"].stringList.map(expand)
        let words: [String]
        if !command.isEmpty {
            words = command + arguments
        } else {
            words = image.config.entrypoint + (arguments.isEmpty ? image.config.command : arguments)
        }
        guard !words.isEmpty else {
            throw StartFailure(
                .creation, reason: "CreateContainerError",
                message: "failed to generate container spec: failed to generate spec: no command specified")
        }
        var process = ProcessSpec(arguments: words, seccomp: context.seccomp)
        process.environment = variables(environment)
        process.directory = container["workingDir"].string.flatMap { $0.isEmpty ? nil : $0 } ?? image.config.workingDirectory
        if process.directory.isEmpty { process.directory = "/" }
        process.user = context.user
        process.capabilities = context.capabilities
        process.noNewPrivileges = context.noNewPrivileges
        process.terminal = container["tty"].bool ?? false
        process.oomScoreAdjustment = ContainerResources.oomScore(container, pod, memoryCapacity: node.capacity["memory"]?.value ?? 1)
        return process
    }

    /// The image's, over which the pod's go.
    private func variables(_ environment: Environment) -> [String] {
        var all = Environment()
        all.set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        all.set("HOSTNAME", pod.usesHostNetwork ? node.hostname : PodFiles.hostname(pod, clusterDomain: node.clusterDomain).kernel)
        if container["tty"].bool == true { all.set("TERM", "xterm") }
        for line in image.config.environment {
            guard let equal = line.firstIndex(of: "=") else { continue }
            all.set(String(line[..<equal]), String(line[line.index(after: equal)...]))
        }
        for name in environment.names { all.set(name, environment.values[name] ?? "") }
        return all.lines
    }

    // MARK: - Mounts

    private func mounts(_ environment: Environment) throws -> [ContainerMount] {
        var out: [ContainerMount] = []
        let wanted = container["volumeMounts"].list
        for mount in wanted { out.append(try self.mount(mount, environment)) }
        func add(_ target: String, _ source: String) {
            if !wanted.contains(where: { $0["mountPath"].string == target }) { out.append(ContainerMount(target: target, .bind(source: source))) }
        }
        add("/etc/hosts", paths.hosts)
        add("/etc/resolv.conf", paths.resolvConf)
        add("/etc/hostname", paths.hostname)
        let message = container["terminationMessagePath"].string ?? "/dev/termination-log"
        if !message.isEmpty { out.append(ContainerMount(target: message, .bind(source: paths.terminationMessage(name, attempt)))) }
        // A mount inside another one comes after it.
        return out.enumerated().sorted { a, b in
            let (x, y) = (a.element.target.split(separator: "/").count, b.element.target.split(separator: "/").count)
            return x == y ? a.offset < b.offset : x < y
        }.map(\.element)
    }

    private func mount(_ mount: Node, _ environment: Environment) throws -> ContainerMount {
        let volume = mount["name"].string ?? ""
        guard let source = volumes.source(volume) else { throw Environment.failure("cannot find volume \(NodePath.quoted(volume)) to mount into container \(NodePath.quoted(name))") }
        var below = mount["subPath"].string ?? ""
        if let expression = mount["subPathExpr"].string, !expression.isEmpty {
            below = Expansion.expand(expression) { environment.values[$0] }
            guard !below.contains("$(") else { throw Environment.failure("missing value for \(NodePath.quoted(expression))") }
        }
        guard !below.hasPrefix("/"), !below.split(separator: "/").contains("..") else {
            throw Environment.failure("subPath \(NodePath.quoted(below)) must not contain '..' or be absolute")
        }
        let kind = pod.spec["volumes"].list.first { $0["name"].string == volume } ?? .null
        let isContent = PodVolumes.isContent(kind) || kind.has("image")
        var target = mount["mountPath"].string ?? ""
        if !target.hasPrefix("/") { target = "/" + target }
        var out = ContainerMount(
            target: target, .bind(source: source, subpath: below, makeSubpath: !isContent), readOnly: isContent || mount["readOnly"].bool == true)
        // Programs of an image volume are data here.
        out.noExec = kind.has("image")
        out.recursiveReadOnly = ["Enabled", "IfPossible"].contains(mount["recursiveReadOnly"].string ?? "")
        out.propagation =
            switch mount["mountPropagation"].string {
            case "HostToContainer": .hostToContainer
            case "Bidirectional": .bidirectional
            default: .private
            }
        return out
    }
}

/// What a sandbox and its containers carry for the kubelet that finds them.
package enum Label {
    package static let node = "jangada.node"
    package static let podUID = "io.kubernetes.pod.uid"
    static let podName = "io.kubernetes.pod.name"
    static let podNamespace = "io.kubernetes.pod.namespace"
    static let sandboxAttempt = "jangada.sandbox.attempt"
    static let container = "io.kubernetes.container.name"
    static let attempt = "jangada.container.attempt"
    static let specImage = "jangada.container.spec-image"
    static let image = "jangada.container.image"
    static let imageID = "jangada.container.image-id"
    static let signal = "jangada.container.stop-signal"
    static let user = "jangada.container.user"
}

/// Signals by their names on Linux (amd64 and arm64).
enum Signals {
    static let terminate: Int32 = 15
    static let kill: Int32 = 9
    private static let names = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT",
        "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ]

    static func number(_ text: String) -> Int32? {
        if let number = Int32(text) { return (1...64).contains(number) ? number : nil }
        var name = text.uppercased()
        if name.hasPrefix("SIG") { name.removeFirst(3) }
        if name.hasPrefix("RTMIN+"), let offset = Int32(name.dropFirst(6)) { return 34 + offset }
        return names.firstIndex(of: name).map { Int32($0) + 1 }
    }

    static func stop(_ container: Node, image: String?) -> Int32 {
        container["lifecycle"]["stopSignal"].string.flatMap(number) ?? image.flatMap(number) ?? terminate
    }
}

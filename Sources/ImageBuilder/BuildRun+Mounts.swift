import Core
import OCI

/// The mounts of one RUN, found and hashed before it is known whether it has to run at all.
struct RunMounts: Sendable {
    private(set) var mounts: [SandboxMount] = []
    /// What is copied for bind mounts, and where to.
    fileprivate var copies: [(plan: CopyPlan, directory: String)] = []
    /// Of secrets that are asked for as variables.
    fileprivate(set) var environment: [String] = []
    /// All that the step's result depends on; a secret's value is not of it.
    fileprivate(set) var key = ""

    fileprivate mutating func add(_ mount: SandboxMount) { mounts.append(mount) }

    /// Makes what `mounts` names.
    func prepare() throws {
        for (plan, directory) in copies { try plan.write(into: directory) }
    }
}

extension BuildRun {
    /// `scratch` is where the contents of bind mounts will be.
    mutating func mounts(_ instruction: Instruction, _ words: Words, _ state: StageState, scratch: String) async throws -> RunMounts {
        var out = RunMounts()
        for text in instruction.flags["mount"] ?? [] {
            let expanded = try words.expand(text)
            let mount = try RunMount(parsing: expanded, line: instruction.line)
            out.key += "\0\(expanded)"
            switch mount.kind {
            case .bind: try await bind(mount, state, "\(scratch)/bind-\(out.copies.count)", &out)
            case .cache: try cache(mount, state, &out)
            case .tmpfs: out.add(SandboxMount(target: try target(mount, state), .temporary(size: try mount.size())))
            case .secret: try secret(mount, state, &out)
            }
        }
        return out
    }

    private func target(_ mount: RunMount, _ state: StageState, standard: String = "") throws(BuildError) -> String {
        let path = state.absolute(mount["target"] ?? standard)
        guard path != "/" else { throw BuildError(mount.line, "invalid mount target \"/\"") }
        return path
    }

    private mutating func bind(_ mount: RunMount, _ state: StageState, _ directory: String, _ out: inout RunMounts) async throws {
        let tree: LayeredTree
        if let from = mount["from"] {
            tree = LayeredTree(layers: try await directories(try await source(from, line: mount.line)))
        } else {
            tree = LayeredTree(layers: [request.context])
        }
        let path = mount["source"] ?? "/"
        guard let found = try tree.find(path), mount["from"] != nil || !ignore.ignores(found.parts) || found.parts.isEmpty else {
            throw BuildError(mount.line, "failed to calculate checksum: \"\(path)\": not found")
        }
        var plan = CopyPlan(line: mount.line, owner: nil, mode: nil, ignore: mount["from"] == nil ? ignore : nil)
        plan.keepsOwners = true
        try plan.add(found, of: tree, to: "content")
        out.key += "\0\(try plan.digest())"
        out.copies.append((plan, directory))
        // Written to or not, it is this command's own copy.
        out.add(
            SandboxMount(
                target: try target(mount, state), .path("\(directory)/content", isDirectory: found.status.isDirectory), readOnly: !mount.has("rw")))
    }

    private func cache(_ mount: RunMount, _ state: StageState, _ out: inout RunMounts) throws(BuildError) {
        let place = try target(mount, state)
        guard let sharing = SandboxMount.Sharing(rawValue: mount["sharing"] ?? "shared") else {
            throw BuildError(mount.line, "unsupported sharing value \"\(mount["sharing"] ?? "")\"")
        }
        let directory = SandboxMount.Cache(
            id: mount["id"] ?? place, sharing: sharing, mode: try mount.mode(0o755), user: try mount.number("uid"), group: try mount.number("gid"))
        out.add(SandboxMount(target: place, .cache(directory), readOnly: mount.has("ro")))
    }

    private func secret(_ mount: RunMount, _ state: StageState, _ out: inout RunMounts) throws(BuildError) {
        let id = mount["id"] ?? mount["target"]?.split(separator: "/").last.map(String.init) ?? mount["env"] ?? ""
        guard let value = request.secrets[id] else {
            if mount.has("required") { throw BuildError(mount.line, "secret \(id): not found") }
            return
        }
        if let variable = mount["env"] {
            out.environment.append("\(variable)=\(String(decoding: value, as: UTF8.self))")
            if mount["target"] == nil { return }
        }
        let file = SandboxMount.Secret(value: value, mode: try mount.mode(0o400), user: try mount.number("uid"), group: try mount.number("gid"))
        out.add(SandboxMount(target: try target(mount, state, standard: "/run/secrets/\(id)"), .secret(file), readOnly: true))
    }
}

extension CopyPlan {
    /// As files, in a new directory.
    func write(into directory: String) throws {
        let archive = "\(directory).tar"
        defer { try? FileSystem.unlink(archive) }
        try write(to: FileTarget(try FileSystem.open(archive, [.writeOnly, .create, .exclusive])))
        try FileSystem.makeDirectory(directory, mode: 0o755)
        let root = try FileSystem.open(directory, [.readOnly, .directory])
        try LayerUnpacker(into: root).unpack(TarReader(FileSource(try FileSystem.open(archive))))
    }
}

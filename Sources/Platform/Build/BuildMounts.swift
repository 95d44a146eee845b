import Containers
import Core
import ImageBuilder

/// The mounts that a command asked for, as a container takes them; held until `release`.
struct BuildMounts: Sendable {
    private(set) var mounts: [ContainerMount] = []
    /// Where each stands, and whether that is a directory.
    private(set) var places: [(target: String, isDirectory: Bool)] = []
    private var held: [BuildCaches.Held] = []
    private let caches: BuildCaches
    private let secrets: String

    /// `secrets`: a directory that is the command's own, in memory; made when one is needed.
    init(_ command: SandboxCommand, caches: BuildCaches, secrets: String) async throws {
        self.caches = caches
        self.secrets = secrets
        do { for mount in command.mounts { try await add(mount, command) } } catch {
            release()
            throw error
        }
    }

    private mutating func add(_ mount: SandboxMount, _ command: SandboxCommand) async throws {
        switch mount.content {
        case .path(let path, let isDirectory): add(mount, .bind(source: path), isDirectory: isDirectory)
        case .temporary(let size): add(mount, .tmpfs(options: "mode=1777" + (size.map { ",size=\($0)" } ?? "")), isDirectory: true)
        case .cache(let cache):
            let place = try await caches.hold(cache, scratch: command.scratch)
            held.append(place)
            add(mount, .bind(source: place.path), isDirectory: true)
        case .secret(let secret):
            try FileSystem.makeDirectories(secrets, mode: 0o700)
            let path = "\(secrets)/\(mounts.count)"
            try FileSystem.writeAtomically(path, secret.value)
            try FileSystem.setOwner(path, user: secret.user, group: secret.group)
            try FileSystem.setPermissions(path, secret.mode)
            add(mount, .bind(source: path), isDirectory: false)
        }
    }

    private mutating func add(_ mount: SandboxMount, _ kind: ContainerMount.Kind, isDirectory: Bool) {
        mounts.append(ContainerMount(target: mount.target, kind, readOnly: mount.readOnly))
        places.append((mount.target, isDirectory))
    }

    /// When the command has ended.
    func release() {
        for cache in held { caches.release(cache) }
        try? FileSystem.removeTree(secrets)
    }
}

import Core
import ImageBuilder
import OCI

/// The directories of `RUN --mount=type=cache`, which outlive their builds. A command holds those it names until it ends.
final class BuildCaches: Sendable {
    private let root: String
    private let busy = Turns<String>()

    init(root: String) { self.root = root }

    /// A cache for one command; `release` gives the name back, where there is one.
    struct Held: Sendable {
        let path: String
        fileprivate let name: String?
    }

    /// `scratch`: where a cache goes that is not to be shared and is in use.
    func hold(_ cache: SandboxMount.Cache, scratch: String) async throws -> Held {
        let name = ContentDigest(of: Array(cache.id.utf8)).hex
        var held = Held(path: "\(root)/\(name)", name: nil)
        switch cache.sharing {
        case .shared: break
        case .private:
            held = busy.tryTake(name) ? Held(path: held.path, name: name) : Held(path: "\(scratch)/cache-\(name)", name: nil)
        case .locked:
            await busy.take(name)
            held = Held(path: held.path, name: name)
        }
        do {
            try Task.checkCancellation()
            try make(held.path, cache)
        } catch {
            release(held)
            throw error
        }
        return held
    }

    func release(_ held: Held) {
        guard let name = held.name else { return }
        busy.giveBack(name)
    }

    private func make(_ path: String, _ cache: SandboxMount.Cache) throws(SystemFailure) {
        guard !FileSystem.exists(path) else { return }
        try FileSystem.makeDirectories(FileSystem.parent(of: path), mode: 0o711)
        do throws(SystemFailure) { try FileSystem.makeDirectory(path, mode: cache.mode) } catch {
            // Another command was faster.
            guard FileSystem.exists(path) else { throw error }
            return
        }
        try FileSystem.setPermissions(path, cache.mode)
        try FileSystem.setOwner(path, user: cache.user, group: cache.group)
    }
}

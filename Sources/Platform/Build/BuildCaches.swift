import Core
import ImageBuilder
import OCI
import Synchronization

/// The directories of `RUN --mount=type=cache`, which outlive their builds. A command holds those it names until it ends.
final class BuildCaches: Sendable {
    private let root: String
    /// Who waits for each that is in use.
    private let busy = Mutex<[String: [CheckedContinuation<Void, Never>]]>([:])

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
            let isFree = busy.withLock { busy in
                guard busy[name] == nil else { return false }
                busy[name] = []
                return true
            }
            held = isFree ? Held(path: held.path, name: name) : Held(path: "\(scratch)/cache-\(name)", name: nil)
        case .locked:
            await wait(name)
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
        let next = busy.withLock { busy -> CheckedContinuation<Void, Never>? in
            guard var waiting = busy[name], !waiting.isEmpty else {
                busy[name] = nil
                return nil
            }
            let first = waiting.removeFirst()
            busy[name] = waiting
            return first
        }
        next?.resume()
    }

    private func wait(_ name: String) async {
        await withCheckedContinuation { continuation in
            let isFree = busy.withLock { busy in
                if busy[name] != nil {
                    busy[name]?.append(continuation)
                    return false
                }
                busy[name] = []
                return true
            }
            if isFree { continuation.resume() }
        }
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

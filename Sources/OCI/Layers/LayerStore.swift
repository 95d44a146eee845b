package import Core
import Synchronization

/// Unpacked layers, one directory for each chain of layers, made once and shared by every container above it.
///
/// A layer is unpacked beside its place and renamed into it when whole, verified against its diff id and synced.
package final class LayerStore: Sendable {
    package let content: ContentStore
    private let root: String
    private let limits: UnpackLimits
    private let state = Mutex(State())
    private let clock: any TimeSource
    private let flights = SingleFlight<ContentDigest, String>()
    private let threads: BlockingThreads

    private struct State: Sendable {
        /// How often each chain is held by a container.
        var holds: [ContentDigest: Int] = [:]
        /// When each was last asked for: a build or a start may be about to use it.
        var used: [ContentDigest: Timestamp] = [:]
    }

    package init(
        content: ContentStore, threads: BlockingThreads = .shared, limits: UnpackLimits = UnpackLimits(),
        clock: any TimeSource = SystemTime()
    ) throws(ImageError) {
        self.clock = clock
        self.content = content
        self.limits = limits
        self.threads = threads
        root = "\(content.root)/layers"
        let root = root
        try storing { () throws(SystemFailure) in
            // Containers of any user must be able to pass through.
            try FileSystem.makeDirectories(root, mode: 0o711)
            // Left by a crash; nothing else ever writes there.
            try FileSystem.removeTree("\(root)/tmp")
            try FileSystem.makeDirectories("\(root)/tmp")
        }
    }

    package func directory(of chain: ContentDigest) -> String { "\(root)/\(chain.hex)" }
    package func isUnpacked(_ chain: ContentDigest) -> Bool { FileSystem.exists(directory(of: chain)) }

    /// The directories of an image's layers, uppermost first as overlayfs wants them, unpacking what is not there yet.
    package func unpack(_ manifest: ImageManifest, _ config: ImageConfig) async throws -> [String] {
        let diffs = config.diffIDs
        guard diffs.count == manifest.layers.count else {
            throw ImageError(.invalid, "mismatched image rootfs and manifest layers")
        }
        var directories: [String] = []
        for ((diff, layer), next) in zip(zip(diffs, manifest.layers), ImageConfig.chains(diffs)) {
            let lower = directories
            state.withLock { $0.used[next] = clock.now() }
            let directory = try await flights.run(next) { [self] in
                if isUnpacked(next) { return self.directory(of: next) }
                return try await threads.run { () throws(ImageError) in try self.unpack(layer, diff: diff, chain: next, lower: lower) }
            }
            directories.insert(directory, at: 0)
        }
        return directories
    }

    /// Takes a layer's directory that the caller made, as a build does; the layer's place is its chain's.
    package func adopt(_ path: String, chain: ContentDigest) throws(ImageError) {
        let target = directory(of: chain)
        guard !FileSystem.exists(target) else { return }
        try storing { () throws(SystemFailure) in
            try FileSystem.rename(path, to: target)
            try FileSystem.synchronize(directory: root)
        }
    }

    /// A fresh directory that is gone after a restart unless it was adopted.
    package func scratch() throws(ImageError) -> String {
        let path = "\(root)/tmp/\(Identifier.suffix(16))"
        try storing { () throws(SystemFailure) in try FileSystem.makeDirectory(path, mode: 0o755) }
        return path
    }

    /// Removes the layers whose chain is not in `live`, that no container holds, and that nobody asked for in the last `grace`.
    package func collect(live: Set<ContentDigest>, grace: Duration) throws(ImageError) -> Int {
        let threshold = clock.now() + (.zero - grace)
        var removed = 0
        let names = try storing { () throws(SystemFailure) in try FileSystem.list(root) }
        for name in names {
            guard let chain = ContentDigest("sha256:\(name)"), !live.contains(chain) else { continue }
            // Renamed first: half a layer must never stand in a layer's place.
            let grave = "\(root)/tmp/\(Identifier.suffix(16))"
            let taken = state.withLock { state in
                guard state.holds[chain] == nil, state.used[chain].map({ $0 < threshold }) ?? true else { return false }
                state.used[chain] = nil
                return (try? FileSystem.rename("\(root)/\(name)", to: grave)) != nil
            }
            guard taken else { continue }
            try storing { () throws(SystemFailure) in try FileSystem.removeTree(grave) }
            removed += 1
        }
        return removed
    }

    /// Keeps a chain's directory from being collected until `release` was called as often.
    /// Holds live in memory: whoever adopts containers after a restart holds again before the first collection.
    package func hold(_ chain: ContentDigest) { state.withLock { $0.holds[chain, default: 0] += 1 } }
    package func release(_ chain: ContentDigest) {
        state.withLock { state in
            let left = (state.holds[chain] ?? 0) - 1
            state.holds[chain] = left > 0 ? left : nil
        }
    }

    private func unpack(_ layer: Descriptor, diff: ContentDigest, chain: ContentDigest, lower: [String]) throws(ImageError) -> String {
        let scratch = try scratch()
        do throws(ImageError) {
            let directory = try storing { () throws(SystemFailure) in try FileSystem.open(scratch, [.readOnly, .directory]) }
            let source = HashingSource(try Compression.unpack(FileSource(try content.open(layer.digest))), diff.algorithm)
            try LayerUnpacker(into: directory, lower: lower, limits: limits).unpack(TarReader(source))
            // The digest is of all that was packed, also of what follows the archive's end.
            try source.drain(limit: limits.bytes)
            let found = source.finish()
            guard found == diff else {
                throw ImageError(.corrupt, "wrong diff id calculated on extraction \"\(found)\", expected \"\(diff)\"")
            }
            try storing { () throws(SystemFailure) in try directory.synchronizeFileSystem() }
            let target = self.directory(of: chain)
            try storing { () throws(SystemFailure) in
                try FileSystem.rename(scratch, to: target)
                try FileSystem.synchronize(directory: root)
            }
            return target
        } catch {
            try? FileSystem.removeTree(scratch)
            throw error.prefixed("failed to extract layer \(layer.digest): ")
        }
    }
}

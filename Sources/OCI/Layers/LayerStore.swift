package import Core
import Synchronization

/// Unpacked layers, one directory for each chain of layers, made once and shared by every container above it.
///
/// A layer is unpacked beside its place and renamed into it when whole, verified against its diff id and synced.
package final class LayerStore: Sendable {
    package let content: ContentStore
    private let root: String
    private let limits: UnpackLimits
    private let state = Mutex<[ContentDigest: Int]>([:])
    private let flights = SingleFlight<ContentDigest, String>()
    private let threads: BlockingThreads

    package init(content: ContentStore, threads: BlockingThreads = .shared, limits: UnpackLimits = UnpackLimits()) throws(ImageError) {
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
        var chain: ContentDigest?
        var directories: [String] = []
        for (diff, layer) in zip(diffs, manifest.layers) {
            let next = ImageConfig.chain([chain, diff].compactMap(\.self)) ?? diff
            let lower = directories
            let directory = try await flights.run(next) { [self] in
                if isUnpacked(next) { return self.directory(of: next) }
                return try await threads.run { () throws(ImageError) in try self.unpack(layer, diff: diff, chain: next, lower: lower) }
            }
            directories.insert(directory, at: 0)
            chain = next
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

    /// Removes the layers whose chain no image in `live` has. Those that containers run on must be among them.
    package func collect(live: Set<ContentDigest>) throws(ImageError) -> Int {
        var removed = 0
        let names = try storing { () throws(SystemFailure) in try FileSystem.list(root) }
        for name in names {
            guard let chain = ContentDigest("sha256:\(name)"), !live.contains(chain), state.withLock({ $0[chain] == nil }) else { continue }
            // Renamed first: half a layer must never stand in a layer's place.
            let grave = "\(root)/tmp/\(Identifier.suffix(16))"
            try storing { () throws(SystemFailure) in
                try FileSystem.rename("\(root)/\(name)", to: grave)
                try FileSystem.removeTree(grave)
            }
            removed += 1
        }
        return removed
    }

    /// Keeps a chain from being collected, until `release` was called as often.
    package func hold(_ chain: ContentDigest) { state.withLock { $0[chain, default: 0] += 1 } }
    package func release(_ chain: ContentDigest) {
        state.withLock { state in
            let left = (state[chain] ?? 0) - 1
            state[chain] = left > 0 ? left : nil
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
            guard found == diff else { throw ImageError(.corrupt, "wrong diff id calculated on extraction \"\(found)\", expected \"\(diff)\"") }
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

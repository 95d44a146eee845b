package import Core
import Synchronization

/// Blobs on disk by digest. What `contains` says is there is whole and verified: a blob appears by one rename after its
/// bytes were hashed and synced. Shared by the node's images and the built-in registry, so that a pull between them moves nothing.
package final class ContentStore: Sendable {
    package let root: String
    private let state = Mutex(State())
    private let clock: any TimeSource

    private struct State {
        /// Digests that no collection may take, with how many leases hold each.
        var pins: [ContentDigest: Int] = [:]
        /// Keys of ingests that a writer has open.
        var writers: Set<String> = []
    }

    package init(root: String, clock: any TimeSource = SystemTime()) throws(ImageError) {
        self.root = root
        self.clock = clock
        try storing { () throws(SystemFailure) in
            for algorithm in ContentDigest.Algorithm.allCases {
                try FileSystem.makeDirectories("\(root)/blobs/\(algorithm.rawValue)")
            }
            try FileSystem.makeDirectories("\(root)/ingest")
            try FileSystem.setPermissions(root, 0o700)
        }
    }

    package func path(of digest: ContentDigest) -> String { "\(root)/blobs/\(digest.algorithm.rawValue)/\(digest.hex)" }

    package func contains(_ digest: ContentDigest) -> Bool { FileSystem.exists(path(of: digest)) }

    package func size(of digest: ContentDigest) -> Int64? { (try? FileSystem.status(path(of: digest)))?.size }

    package func open(_ digest: ContentDigest) throws(ImageError) -> FileDescriptor {
        do { return try FileSystem.open(path(of: digest)) } catch {
            throw error.isMissing ? ImageError(.notFound, "content \(digest): not found") : ImageError(error)
        }
    }

    /// The bytes of a small blob: a manifest, a config.
    package func read(_ digest: ContentDigest, limit: Int = Manifest.limit * 2) throws(ImageError) -> [UInt8] {
        let file = try open(digest)
        return try storing { () throws(SystemFailure) in try file.readAll(limit: limit) }
    }

    /// Keeps bytes that are at hand; fails where they are not what `expected` names.
    @discardableResult
    package func put(_ bytes: [UInt8], expected: ContentDigest? = nil) throws(ImageError) -> ContentDigest {
        let digest = ContentDigest(of: bytes, expected?.algorithm ?? .sha256)
        if let expected, expected != digest { throw ContentStore.mismatch(expected, digest) }
        if touch(digest) != nil { return digest }
        let ingest = try self.ingest("put-\(Identifier.suffix(12))")
        do {
            try ingest.write(bytes)
            return try ingest.commit(expected: digest)
        } catch {
            ingest.abandon()
            throw error
        }
    }

    /// Every blob, in no order.
    package func list() throws(ImageError) -> [ContentDigest] {
        try storing { () throws(SystemFailure) in
            var all: [ContentDigest] = []
            for algorithm in ContentDigest.Algorithm.allCases {
                for name in try FileSystem.list("\(root)/blobs/\(algorithm.rawValue)") {
                    if let digest = ContentDigest("\(algorithm.rawValue):\(name)") { all.append(digest) }
                }
            }
            return all
        }
    }

    static func mismatch(_ expected: ContentDigest, _ found: ContentDigest) -> ImageError {
        ImageError(.corrupt, "unexpected commit digest \(found), expected \(expected): failed precondition")
    }
}

extension SystemFailure {
    var isMissing: Bool { errno == 2 }
}

// MARK: - Leases and collection

/// Keeps content from being collected while it lives.
package final class ContentLease: Sendable {
    private let store: ContentStore
    private let digests = Mutex<[ContentDigest]>([])

    init(_ store: ContentStore) { self.store = store }

    package func add(_ digest: ContentDigest) {
        digests.withLock { $0.append(digest) }
        store.pin(digest, by: 1)
    }

    deinit { for digest in digests.withLock({ $0 }) { store.pin(digest, by: -1) } }
}

extension ContentStore {
    package func lease() -> ContentLease { ContentLease(self) }

    fileprivate func pin(_ digest: ContentDigest, by count: Int) {
        state.withLock { state in
            let now = (state.pins[digest] ?? 0) + count
            state.pins[digest] = now > 0 ? now : nil
        }
    }

    /// The size of a blob that is there, which from now on counts as just written: a collection that runs beside the
    /// caller spares it for its grace period.
    package func touch(_ digest: ContentDigest) -> Int64? {
        let path = path(of: digest)
        return state.withLock { _ in
            guard let status = try? FileSystem.status(path), (try? FileSystem.setModified(path, clock.now())) != nil else { return nil }
            return status.size
        }
    }

    /// Removes every blob that `live` does not name, that no lease holds, and that was neither written nor touched since
    /// `grace` before the start. `live` is asked after the start is noted: what is referenced later was touched later.
    package func collect(grace: Duration, live: () throws(ImageError) -> Set<ContentDigest>) throws(ImageError) -> (
        blobs: Int, bytes: Int64
    ) {
        let threshold = clock.now() + (.zero - grace)
        let live = try live()
        var removed = (blobs: 0, bytes: Int64(0))
        for digest in try list() where !live.contains(digest) {
            let path = path(of: digest)
            let size: Int64? = state.withLock { state in
                guard state.pins[digest] == nil, let status = try? FileSystem.status(path), status.modified < threshold else { return nil }
                return (try? FileSystem.unlink(path)) == nil ? nil : status.size
            }
            if let size { removed = (removed.blobs + 1, removed.bytes + size) }
        }
        try storing { () throws(SystemFailure) in
            for name in try FileSystem.list("\(root)/ingest") where !isOpen(name) {
                let path = "\(root)/ingest/\(name)"
                if let status = try FileSystem.status(path), status.modified < threshold { try FileSystem.unlink(path) }
            }
        }
        return removed
    }

    /// Removes one blob unless a lease holds it; false where it stays or was not there.
    package func remove(_ digest: ContentDigest) -> Bool {
        let path = path(of: digest)
        return state.withLock { state in
            state.pins[digest] == nil && FileSystem.exists(path) && (try? FileSystem.unlink(path)) != nil
        }
    }

    /// Undoes an ingest of one's own: removes a blob that at most one lease, the caller's, holds.
    func dropLeased(_ digest: ContentDigest) {
        let path = path(of: digest)
        state.withLock { state in
            if state.pins[digest] ?? 0 <= 1 { try? FileSystem.unlink(path) }
        }
    }

    /// The roots and everything their manifests lead to, as far as it is here.
    package func reachable(from roots: some Sequence<ContentDigest>) -> Set<ContentDigest> {
        var seen: Set<ContentDigest> = []
        var next = Array(roots)
        while let digest = next.popLast() {
            guard seen.insert(digest).inserted, let size = size(of: digest), size <= Manifest.limit else { continue }
            // Only what names another digest can be a manifest; layers fail here by their first byte.
            guard let bytes = try? read(digest, limit: Manifest.limit), bytes.first == UInt8(ascii: "{"),
                let manifest = try? Manifest(bytes)
            else { continue }
            next += manifest.children.map(\.digest)
            if let subject = manifest.subject { next.append(subject.digest) }
        }
        return seen
    }
}

// MARK: - Ingests

extension ContentStore {
    /// Opens the partial blob of a key, at what an earlier writer left; one writer at a time.
    package func ingest(_ key: String) throws(ImageError) -> BlobIngest {
        precondition(!key.isEmpty && !key.contains("/") && !key.hasPrefix("."), "an ingest key is a file name")
        guard state.withLock({ $0.writers.insert(key).inserted }) else { throw ImageError(.busy, "ref \(key) locked: unavailable") }
        do { return try BlobIngest(store: self, key: key) } catch {
            release(key)
            throw error
        }
    }

    /// Keys of partial blobs on disk.
    package func partials() -> [String] { (try? FileSystem.list("\(root)/ingest")) ?? [] }

    fileprivate func isOpen(_ key: String) -> Bool { state.withLock { $0.writers.contains(key) } }
    fileprivate func release(_ key: String) { state.withLock { _ = $0.writers.remove(key) } }
    fileprivate var now: Timestamp { clock.now() }
}

/// A blob while it is written. Its bytes survive a crash or a dropped connection under its key, until it is committed or abandoned.
package final class BlobIngest: Sendable {
    package let key: String
    private let store: ContentStore
    private let state: Mutex<State>

    // Sendable because it is reached only under the lock.
    private struct State: ~Copyable, @unchecked Sendable {
        /// Nil once committed or abandoned.
        var file: FileDescriptor?
        var digest: MessageDigest
        var size: Int64
    }

    private var path: String { "\(store.root)/ingest/\(key)" }

    fileprivate init(store: ContentStore, key: String) throws(ImageError) {
        self.store = store
        self.key = key
        let path = "\(store.root)/ingest/\(key)"
        var digest = MessageDigest(.sha256)
        var size: Int64 = 0
        let file: FileDescriptor
        do {
            file = try FileSystem.open(path, [.readWrite, .create, .noFollow])
            try BlobIngest.hash(file, into: &digest, size: &size)
            try file.seek(to: size)
        } catch { throw ImageError(error) }
        state = Mutex(State(file: file, digest: digest, size: size))
    }

    deinit { store.release(key) }

    package var size: Int64 { state.withLock { $0.size } }

    package func write(_ bytes: UnsafeRawBufferPointer) throws(ImageError) {
        try state.withLock { state throws(ImageError) in
            guard let file = state.file else { throw ImageError(.busy, "ingest \(key) is closed") }
            do throws(SystemFailure) { try file.write(bytes) } catch {
                BlobIngest.takeBack(&state)
                throw ImageError(error)
            }
            state.digest.update(bytes)
            state.size += Int64(bytes.count)
        }
    }

    package func write(_ bytes: [UInt8]) throws(ImageError) {
        try state.withLock { state throws(ImageError) in
            guard let file = state.file else { throw ImageError(.busy, "ingest \(key) is closed") }
            do throws(SystemFailure) { try file.write(bytes) } catch {
                BlobIngest.takeBack(&state)
                throw ImageError(error)
            }
            state.digest.update(bytes)
            state.size += Int64(bytes.count)
        }
    }

    /// After a write of which only a part went through, as on a full disk: the digest is of what was written before it, and so must
    /// the file be, or what is resumed here would be a blob of other bytes under the right name.
    private static func takeBack(_ state: inout State) {
        guard let file = state.file else { return }
        do throws(SystemFailure) {
            try file.truncate(to: state.size)
            try file.seek(to: state.size)
        } catch { state.file = nil }
    }

    /// Forgets what was written, to begin again.
    package func restart() throws(ImageError) {
        try state.withLock { state throws(ImageError) in
            guard let file = state.file else { throw ImageError(.busy, "ingest \(key) is closed") }
            do throws(SystemFailure) {
                try file.truncate(to: 0)
                try file.seek(to: 0)
            } catch { throw ImageError(error) }
            state.digest = MessageDigest(.sha256)
            state.size = 0
        }
    }

    /// Makes it a blob. Where the bytes are not what was expected, it throws, and the partial goes.
    @discardableResult
    package func commit(
        expected: ContentDigest? = nil, size: Int64? = nil, isNew: (ContentDigest) -> Void = { _ in }
    ) throws(ImageError) -> ContentDigest {
        try state.withLock { state throws(ImageError) in
            guard let file = state.file else { throw ImageError(.busy, "ingest \(key) is closed") }
            state.file = nil
            do throws(ImageError) {
                if let size, size != state.size {
                    throw ImageError(.corrupt, "unexpected commit size \(state.size), expected \(size): failed precondition")
                }
                var digest = MessageDigest(expected?.algorithm ?? .sha256)
                if digest.algorithm == .sha256 { swap(&digest, &state.digest) } else { try BlobIngest.rehash(file, &digest) }
                let found = ContentDigest(digest.algorithm, bytes: digest.finish())
                if let expected, expected != found { throw ContentStore.mismatch(expected, found) }
                if !store.contains(found) { isNew(found) }
                try finish(file, as: found)
                return found
            } catch {
                try? FileSystem.unlink(path)
                throw error
            }
        }
    }

    /// Drops it with its bytes.
    package func abandon() {
        state.withLock { state in
            guard state.file != nil else { return }
            state.file = nil
            try? FileSystem.unlink(path)
        }
    }

    private func finish(_ file: FileDescriptor, as digest: ContentDigest) throws(ImageError) {
        let target = store.path(of: digest)
        do {
            try file.synchronize()
            // The kernel stamps files with a coarse clock; collection compares with the exact one.
            try FileSystem.setModified(path, store.now)
            try FileSystem.rename(path, to: target)
            try FileSystem.synchronize(directory: FileSystem.parent(of: target))
        } catch { throw ImageError(error) }
    }

    private static func rehash(_ file: FileDescriptor, _ digest: inout MessageDigest) throws(ImageError) {
        var size: Int64 = 0
        do { try hash(file, into: &digest, size: &size) } catch { throw ImageError(error) }
    }

    private static func hash(_ file: FileDescriptor, into digest: inout MessageDigest, size: inout Int64) throws(SystemFailure) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            let count = try file.read(into: buffer, at: size)
            if count == 0 { return }
            digest.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            size += Int64(count)
        }
    }
}

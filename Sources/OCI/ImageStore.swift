package import Core
import Synchronization
import Tree

/// A name and the manifest or index that it stands for.
package struct ImageRecord: Sendable, Hashable {
    package let name: String
    package let target: Descriptor
    package let updated: Timestamp

    package init(name: String, target: Descriptor, updated: Timestamp) {
        self.name = name
        self.target = target
        self.updated = updated
    }
}

/// Which image each name stands for. Every change is on disk, whole, before it is seen.
package final class ImageStore: Sendable {
    package let content: ContentStore
    private let file: String
    private let state: Mutex<[String: ImageRecord]>
    private let clock: any TimeSource

    package init(content: ContentStore, clock: any TimeSource = SystemTime()) throws(ImageError) {
        self.content = content
        self.clock = clock
        file = "\(content.root)/images.json"
        var records: [String: ImageRecord] = [:]
        if FileSystem.exists(file) {
            let file = file
            let bytes = try storing { () throws(SystemFailure) in try FileSystem.readFile(file) }
            for item in try JSONText.parse(bytes)["images"].list {
                guard let name = item["name"].string else { continue }
                let updated = item["updated"].string.flatMap { Timestamp(rfc3339: $0) } ?? Timestamp(seconds: 0)
                records[name] = ImageRecord(name: name, target: try Descriptor(item["target"], "target"), updated: updated)
            }
        }
        state = Mutex(records)
    }

    package func list() -> [ImageRecord] { state.withLock { $0.values.sorted { $0.name < $1.name } } }

    package subscript(name: String) -> ImageRecord? { state.withLock { $0[name] } }

    /// Points names at an image, all or none.
    package func set(_ names: [String], to target: Descriptor) throws(ImageError) {
        let now = clock.now()
        try change { records in for name in names { records[name] = ImageRecord(name: name, target: target, updated: now) } }
    }

    package func remove(_ names: some Sequence<String>) throws(ImageError) {
        try change { records in for name in names { records[name] = nil } }
    }

    private func change(_ edit: (inout [String: ImageRecord]) -> Void) throws(ImageError) {
        try state.withLock { records throws(ImageError) in
            var next = records
            edit(&next)
            guard next != records else { return }
            let list = next.values.sorted { $0.name < $1.name }.map { record -> Node in
                ["name": .string(record.name), "target": record.target.node, "updated": .string(record.updated.rfc3339Nano)]
            }
            let bytes = JSONText.render(["images": .list(list)])
            do throws(SystemFailure) { try FileSystem.writeAtomically(file, bytes) } catch { throw ImageError(error) }
            records = next
        }
    }

    /// What the names keep alive.
    package func live() -> Set<ContentDigest> { content.reachable(from: list().map(\.target.digest)) }

    /// The manifest for a platform, through any indexes, of which other platforms may be absent.
    package func manifest(of target: Descriptor, platform: Platform = .host) throws(ImageError) -> (
        descriptor: Descriptor, manifest: ImageManifest
    ) {
        try manifest(of: target, platform: platform, depth: 0)
    }

    private func manifest(of target: Descriptor, platform: Platform, depth: Int) throws(ImageError) -> (
        descriptor: Descriptor, manifest: ImageManifest
    ) {
        guard depth < 4 else { throw ImageError(.limit, "invalid manifest: indexes nested deeper than 4") }
        switch try Manifest(try content.read(target.digest), mediaType: target.mediaType) {
        case .image(let manifest): return (target, manifest)
        case .index(let index):
            for candidate in index.candidates(for: platform) where content.contains(candidate.digest) {
                return try self.manifest(of: candidate, platform: platform, depth: depth + 1)
            }
            throw ImageError(.notFound, "no match for platform in manifest \(target.digest): not found")
        }
    }

    package func config(of manifest: ImageManifest) throws(ImageError) -> ImageConfig {
        try ImageConfig(try content.read(manifest.config.digest))
    }
}

package import Core
package import OCI
import Synchronization
import Tree

/// A manifest that a repository holds.
struct StoredManifest: Sendable, Hashable {
    let descriptor: Descriptor
    /// What it needs and the repository had when it came: its config and layers, or manifests. Never what it merely names: by that a
    /// pusher could read other repositories' content.
    let children: [ContentDigest]
    let subject: ContentDigest?
}

/// One repository: its manifests, and the tags that name some of them.
struct Repository: Sendable, Equatable {
    let name: String
    var manifests: [ContentDigest: StoredManifest] = [:]
    var tags: [String: ContentDigest] = [:]

    /// A reader of the repository may fetch these and no other blobs: content of other repositories lies in the same store.
    func holds(_ digest: ContentDigest) -> Bool {
        manifests.values.contains { $0.children.contains(digest) }
    }
}

/// The repositories of every registry. Each is one file, replaced whole at each change, before the change is seen.
package final class RepositoryStore: Sendable {
    package let content: ContentStore
    private let root: String
    private let clock: any TimeSource
    private let state: Mutex<State>
    /// How long a blob waits for its manifest: longer than any push.
    static let patience = Duration.seconds(86400)

    private struct State: Sendable {
        var repositories: [String: Repository] = [:]
        /// Uploaded or mounted, not yet in a manifest, and when. Forgotten by a restart, after which clients upload once more.
        var loose: [String: [ContentDigest: Timestamp]] = [:]
    }

    package init(root: String, content: ContentStore, clock: any TimeSource = SystemTime()) throws {
        self.content = content
        self.clock = clock
        self.root = "\(root)/repositories"
        try FileSystem.makeDirectories(self.root)
        var repositories: [String: Repository] = [:]
        for file in try FileSystem.list(self.root) where file.hasSuffix(".json") {
            let repository = try RepositoryStore.repository(try JSONReader.read(try FileSystem.readFile("\(self.root)/\(file)")))
            repositories[repository.name] = repository
        }
        state = Mutex(State(repositories: repositories))
    }

    func names() -> [String] { state.withLock { $0.repositories.keys.sorted() } }
    subscript(name: String) -> Repository? { state.withLock { $0.repositories[name] } }

    /// Whether a reader of the repository may have the blob.
    func holds(_ digest: ContentDigest, in name: String) -> Bool {
        state.withLock { state in
            state.loose[name]?[digest] != nil || state.repositories[name]?.holds(digest) == true
        } && content.contains(digest)
    }

    func addLoose(_ digest: ContentDigest, to name: String) { state.withLock { $0.loose[name, default: [:]][digest] = clock.now() } }

    func removeLoose(_ digest: ContentDigest, from name: String) -> Bool {
        state.withLock { $0.loose[name]?.removeValue(forKey: digest) != nil }
    }

    /// Adds a manifest, under tags if given. Its content must be in this repository already.
    func put(_ bytes: [UInt8], mediaType: String, digest: ContentDigest, tags: [String], in name: String) throws -> StoredManifest {
        let manifest = try Manifest(bytes, mediaType: mediaType)
        let isIndex = if case .index = manifest { true } else { false }
        var children: [ContentDigest] = []
        for child in manifest.children {
            let here = isIndex ? self[name]?.manifests[child.digest] != nil : holds(child.digest, in: name)
            // Touched, so that a collection now under way spares it until the manifest is recorded.
            guard here, let size = content.touch(child.digest) else {
                // Clients push only some platforms of an index; what is absent is absent for pulls as well.
                if isIndex || (MediaType.isForeignLayer(child.mediaType) && !child.urls.isEmpty) { continue }
                throw RegistryError(.manifestBlobUnknown, detail: ["digest": .string(child.digest.description)])
            }
            guard size == child.size else {
                throw RegistryError(.manifestInvalid, "\(child.digest) has \(size) bytes, not \(child.size)", detail: .null)
            }
            children.append(child.digest)
        }
        try content.put(bytes, expected: digest)
        let stored = StoredManifest(
            descriptor: Descriptor(
                mediaType: mediaType, digest: digest, size: Int64(bytes.count), annotations: manifest.annotations,
                artifactType: manifest.artifactType),
            children: children, subject: manifest.subject?.digest)
        try change(name) { repository in
            repository.manifests[digest] = stored
            for tag in tags { repository.tags[tag] = digest }
        }
        // Now the manifest itself keeps them.
        state.withLock { state in
            for child in stored.children { state.loose[name]?[child] = nil }
            if state.loose[name]?.isEmpty == true { state.loose[name] = nil }
        }
        return stored
    }

    func removeTag(_ tag: String, from name: String) throws -> Bool {
        guard self[name]?.tags[tag] != nil else { return false }
        try change(name) { $0.tags[tag] = nil }
        return true
    }

    func removeManifest(_ digest: ContentDigest, from name: String) throws -> Bool {
        guard self[name]?.manifests[digest] != nil else { return false }
        try change(name) { repository in
            repository.manifests[digest] = nil
            repository.tags = repository.tags.filter { $0.value != digest }
        }
        return true
    }

    /// Removes every repository of a registry.
    package func removeRegistry(_ registry: String) throws {
        for name in names() where name.hasPrefix(registry + "/") {
            try state.withLock { state in
                try FileSystem.unlink(file(name))
                state.repositories[name] = nil
            }
        }
        // Also of repositories that never got a manifest: the next registry of that name is somebody else's.
        state.withLock { state in state.loose = state.loose.filter { !$0.key.hasPrefix(registry + "/") } }
    }

    /// What the repositories keep alive, for the collection of the shared store.
    package func live() -> Set<ContentDigest> {
        let threshold = clock.now() + (.zero - RepositoryStore.patience)
        return state.withLock { state in
            // A push may take long between its first blob and its manifest. What was given up ends with the day.
            state.loose = state.loose.mapValues { $0.filter { $0.value > threshold } }.filter { !$0.value.isEmpty }
            var live = Set(state.loose.values.flatMap(\.keys))
            for repository in state.repositories.values {
                for (digest, manifest) in repository.manifests {
                    live.insert(digest)
                    live.formUnion(manifest.children)
                }
            }
            return live
        }
    }

    /// Names and sizes, for `jangada registry list`: tags, and bytes counted once for each blob.
    package func usage(of registry: String) -> (repositories: Int, tags: Int, bytes: Int64) {
        let mine = state.withLock { $0.repositories.values.filter { $0.name.hasPrefix(registry + "/") } }
        let blobs = Set(mine.flatMap { repository in repository.manifests.flatMap { [$0.key] + $0.value.children } })
        return (mine.count, mine.reduce(0) { $0 + $1.tags.count }, blobs.reduce(0) { $0 + (content.size(of: $1) ?? 0) })
    }

    /// Repositories of a registry with their tags, sorted.
    package func listing(of registry: String) -> [(repository: String, tags: [String])] {
        state.withLock { state in
            state.repositories.values.filter { $0.name.hasPrefix(registry + "/") }.sorted { $0.name < $1.name }.map {
                ($0.name, $0.tags.keys.sorted())
            }
        }
    }
}

// MARK: - Files

extension RepositoryStore {
    private func change(_ name: String, _ edit: (inout Repository) -> Void) throws {
        try state.withLock { state in
            let before = state.repositories[name]
            var next = before ?? Repository(name: name)
            edit(&next)
            guard next != before else { return }
            try FileSystem.writeAtomically(file(name), JSONWriter.write(RepositoryStore.node(next)))
            state.repositories[name] = next
        }
    }

    private func file(_ name: String) -> String { "\(root)/\(ContentDigest(of: Array(name.utf8)).hex).json" }

    private static func node(_ repository: Repository) -> Node {
        let manifests = repository.manifests.values.sorted { $0.descriptor.digest < $1.descriptor.digest }.map { stored -> Node in
            var node: Node = ["descriptor": stored.descriptor.node, "children": Node(stored.children.map(\.description))]
            if let subject = stored.subject { node["subject"] = .string(subject.description) }
            return node
        }
        return ["name": .string(repository.name), "tags": Node(repository.tags.mapValues(\.description)), "manifests": .list(manifests)]
    }

    private static func repository(_ node: Node) throws -> Repository {
        guard let name = node["name"].string else { throw RegistryError(.unknown, "a repository's file has no name") }
        var repository = Repository(name: name)
        for item in node["manifests"].list {
            let descriptor = try Descriptor(item["descriptor"], "descriptor")
            repository.manifests[descriptor.digest] = StoredManifest(
                descriptor: descriptor, children: item["children"].stringList.compactMap { ContentDigest($0) },
                subject: item["subject"].string.flatMap { ContentDigest($0) })
        }
        for (tag, text) in node["tags"].stringMap {
            if let digest = ContentDigest(text), repository.manifests[digest] != nil { repository.tags[tag] = digest }
        }
        return repository
    }
}

import Core
import OCI
import Synchronization

/// The uploads under way. Their bytes are files, so that a restarted daemon goes on where the old one stopped.
final class Uploads: Sendable {
    private struct Session: Sendable {
        let ingest: BlobIngest
        /// One request at a time: two would mix their bytes.
        var busy: Bool
        var used: Timestamp
    }

    private let content: ContentStore
    private let clock: any TimeSource
    private let sessions = Mutex<[String: Session]>([:])
    private static let limit = 256

    init(content: ContentStore, clock: any TimeSource) {
        self.content = content
        self.clock = clock
    }

    func start(_ repository: String) throws -> String {
        let id = Identifier.uuid()
        _ = try hold(repository, id, create: true)
        release(repository, id)
        return id
    }

    /// Takes the upload for one request; `release` gives it back.
    func take(_ repository: String, _ id: String) throws -> BlobIngest { try hold(repository, id, create: false) }

    func release(_ repository: String, _ id: String) {
        let key = Uploads.key(repository, id)
        sessions.withLock { sessions in
            sessions[key]?.busy = false
            sessions[key]?.used = clock.now()
        }
    }

    /// Forgets it: committed or abandoned.
    func end(_ repository: String, _ id: String) {
        let ended = sessions.withLock { $0.removeValue(forKey: Uploads.key(repository, id)) }
        withExtendedLifetime(ended) {}
    }

    private func hold(_ repository: String, _ id: String, create: Bool) throws -> BlobIngest {
        let key = Uploads.key(repository, id)
        guard id.utf8.count == 36, id.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) || $0 == 0x2D }) else {
            throw RegistryError(.blobUploadUnknown)
        }
        return try sessions.withLock { sessions in
            if let session = sessions[key] {
                guard !session.busy else { throw RegistryError(.blobUploadInvalid, "another request is writing to this upload") }
                sessions[key]?.busy = true
                return session.ingest
            }
            guard create || content.partials().contains(key) else { throw RegistryError(.blobUploadUnknown) }
            // An open file each: the one longest unused goes back to being only a file.
            if sessions.count >= Uploads.limit {
                guard let oldest = sessions.filter({ !$0.value.busy }).min(by: { $0.value.used < $1.value.used }) else {
                    throw RegistryError(.tooManyRequests)
                }
                sessions[oldest.key] = nil
            }
            let ingest = try content.ingest(key)
            sessions[key] = Session(ingest: ingest, busy: true, used: clock.now())
            return ingest
        }
    }

    /// Bound to its repository: an id alone opens nothing elsewhere.
    private static func key(_ repository: String, _ id: String) -> String {
        "upload-\(ContentDigest(of: Array(repository.utf8)).hex.prefix(24))-\(id)"
    }
}

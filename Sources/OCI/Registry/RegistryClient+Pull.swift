package import Core
import Synchronization
import Transport

/// How far one blob of a pull or push is.
package struct TransferProgress: Sendable, Equatable {
    package let digest: ContentDigest
    package let done: Int64
    package let total: Int64
    /// It was there already.
    package let skipped: Bool
}

/// Brings images from registries into the store.
package final class ImagePuller: Sendable {
    private let images: ImageStore
    private let client: RegistryClient
    private let threads: BlockingThreads
    private let flights = SingleFlight<ContentDigest, Void>()
    /// Layers of one image at a time.
    private static let parallel = 4

    package init(images: ImageStore, client: RegistryClient, threads: BlockingThreads = .shared) {
        self.images = images
        self.client = client
        self.threads = threads
    }

    /// Fetches what `reference` names for a platform and records it under that name and its digest. Each credential is tried
    /// until one is let in; none means anonymous. Errors are worded as containerd words them.
    package func pull(
        _ reference: ImageReference, credentials: [RegistryAuth] = [], platform: Platform = .host,
        progress: @escaping @Sendable (TransferProgress) -> Void = { _ in }
    ) async throws -> ImageRecord {
        try await pullTelling(reference, credentials: credentials, platform: platform, progress: progress).record
    }

    /// As `pull`, and tells which of the credentials was let in.
    package func pullTelling(
        _ reference: ImageReference, credentials: [RegistryAuth] = [], platform: Platform = .host,
        progress: @escaping @Sendable (TransferProgress) -> Void = { _ in }
    ) async throws -> (record: ImageRecord, used: RegistryAuth?) {
        let named = reference.withDefaultTag
        var failures: [ImageError] = []
        for auth in credentials.isEmpty ? [nil] : credentials.map(Optional.some) {
            do { return (try await pull(named, auth, platform, progress), auth) } catch is CancellationError {
                throw ImageError(.cancelled, "failed to pull and unpack image \"\(named)\": context canceled")
            } catch let error as ImageError {
                let worded = error.prefixed("failed to pull and unpack image \"\(named)\": ")
                if !failures.contains(where: { $0.message == worded.message }) { failures.append(worded) }
                guard error.kind == .unauthorized else { break }
            }
        }
        if failures.count > 1, let last = failures.last {
            throw ImageError(last.kind, "[" + failures.map(\.message).joined(separator: ", ") + "]")
        }
        throw failures.first ?? ImageError(.unavailable, "failed to pull image \"\(named)\"")
    }

    private func pull(
        _ reference: ImageReference, _ auth: RegistryAuth?, _ platform: Platform, _ progress: @escaping @Sendable (TransferProgress) -> Void
    ) async throws -> ImageRecord {
        let lease = images.content.lease()
        let (target, session): (Descriptor, RegistrySession)
        do { (target, session) = try await resolve(reference, auth) } catch let error as ImageError {
            throw error.prefixed("failed to resolve reference \"\(reference)\": ")
        }
        var names = ["\(reference)"]
        if reference.digest == nil { names.append("\(reference.pinned(to: target.digest))") }
        do { try await fetch(target, session, lease, platform, progress) } catch let error as ImageError {
            throw error.message.hasPrefix("no match") ? error : error.prefixed("failed to copy: ")
        }
        var recorded = target
        recorded.annotations = [:]
        try images.set(names, to: recorded)
        withExtendedLifetime(lease) {}
        guard let record = images[names[0]] else { throw ImageError(.notFound, "\(reference): not found") }
        return record
    }

    // MARK: - Resolve

    private func resolve(_ reference: ImageReference, _ auth: RegistryAuth?) async throws -> (Descriptor, RegistrySession) {
        var first: ImageError?
        for host in client.hosts.withLock({ $0.hosts(for: reference) }) {
            var session = RegistrySession(client, host, reference, auth)
            do {
                let found: Descriptor?
                do { found = try await head(session) } catch let error as ImageError where error.kind == .unavailable && host.fallsBack {
                    session = session.plain
                    found = try await head(session)
                }
                if let found { return (found, session) }
            } catch let error as ImageError {
                first = first ?? error
                continue
            }
        }
        throw first ?? ImageError(.notFound, "\(reference): not found")
    }

    /// Nil where the registry does not have it.
    private func head(_ session: RegistrySession) async throws -> Descriptor? {
        let target = "\(session.base)/manifests/\(session.reference.manifestName)"
        var headers: HTTPHeaders = [:]
        headers["accept"] = (MediaType.accepted + ["*/*"]).joined(separator: ", ")
        let response: HTTPClientResponse
        do { response = try await session.send("HEAD", target, headers: headers) } catch let error as ImageError
            where error.kind == .unauthorized
        {
            throw error.prefixed("pull access denied, repository does not exist or may require authorization: ")
        }
        if response.status == 404 { return nil }
        guard response.isSuccess else { throw RegistryWords.status(response, "HEAD", session.url(target)) }
        if let text = response.headers["docker-content-digest"], let digest = ContentDigest(text),
            let length = response.headers["content-length"].flatMap({ Int64($0) }),
            let type = response.headers["content-type"].map(MediaType.bare)
        {
            if let wanted = session.reference.digest, wanted != digest {
                throw ImageError(.corrupt, "unexpected digest \(digest), expected \(wanted)")
            }
            return Descriptor(mediaType: type, digest: digest, size: length)
        }
        // Some registries tell nothing on HEAD; the bytes themselves say it.
        let (bytes, type) = try await manifest(session, session.reference.manifestName)
        let digest = ContentDigest(of: bytes, session.reference.digest?.algorithm ?? .sha256)
        if let wanted = session.reference.digest, wanted != digest {
            throw ImageError(.corrupt, "unexpected digest \(digest), expected \(wanted)")
        }
        return Descriptor(mediaType: type, digest: digest, size: Int64(bytes.count))
    }

    private func manifest(_ session: RegistrySession, _ name: String) async throws -> (bytes: [UInt8], type: String) {
        let target = "\(session.base)/manifests/\(name)"
        var headers: HTTPHeaders = [:]
        headers["accept"] = (MediaType.accepted + ["*/*"]).joined(separator: ", ")
        let response = try await session.send("GET", target, headers: headers)
        guard response.isSuccess else { throw RegistryWords.status(response, "GET", session.url(target)) }
        do {
            return (try await response.body(limit: Manifest.limit), MediaType.bare(response.headers["content-type"] ?? ""))
        } catch let error as TransportError { throw RegistryWords.failure(error, "GET", session.url(target), session.host.endpoint) }
    }

    // MARK: - Fetch

    private func fetch(
        _ target: Descriptor, _ session: RegistrySession, _ lease: ContentLease, _ platform: Platform,
        _ progress: @escaping @Sendable (TransferProgress) -> Void, depth: Int = 0
    ) async throws {
        guard depth < 4 else { throw ImageError(.limit, "invalid manifest: indexes nested deeper than 4") }
        lease.add(target.digest)
        if !images.content.contains(target.digest) {
            let (bytes, _) = try await manifest(session, target.digest.description)
            guard ContentDigest(of: bytes, target.digest.algorithm) == target.digest else {
                throw ImageError(.corrupt, "manifest does not match its digest \(target.digest)")
            }
            // Parsed before it is kept: what cannot be read is refused and leaves nothing.
            _ = try Manifest(bytes, mediaType: target.mediaType)
            let content = images.content
            _ = try await threads.run { () throws(ImageError) in try content.put(bytes, expected: target.digest) }
        }
        switch try Manifest(try images.content.read(target.digest), mediaType: target.mediaType) {
        case .index(let index):
            guard let best = index.candidates(for: platform).first else {
                throw ImageError(.notFound, "no match for platform in manifest: not found")
            }
            try await fetch(best, session, lease, platform, progress, depth: depth + 1)
        case .image(let manifest): try await blobs([manifest.config] + manifest.layers, session, lease, progress)
        }
    }

    private func blobs(
        _ blobs: [Descriptor], _ session: RegistrySession, _ lease: ContentLease, _ progress: @escaping @Sendable (TransferProgress) -> Void
    ) async throws {
        var seen: Set<ContentDigest> = []
        let wanted = blobs.filter { seen.insert($0.digest).inserted }
        for blob in wanted { lease.add(blob.digest) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, blob) in wanted.enumerated() {
                if index >= ImagePuller.parallel { try await group.next() }
                group.addTask { try await self.blob(blob, session, progress) }
            }
            try await group.waitForAll()
        }
    }

    private func blob(_ blob: Descriptor, _ session: RegistrySession, _ progress: @escaping @Sendable (TransferProgress) -> Void)
        async throws
    {
        if images.content.touch(blob.digest) != nil {
            progress(TransferProgress(digest: blob.digest, done: blob.size, total: blob.size, skipped: true))
            return
        }
        try await flights.run(blob.digest) { [self] in
            if images.content.contains(blob.digest) { return }
            let ingest = try images.content.ingest("pull-\(blob.digest.algorithm.rawValue)-\(blob.digest.hex)")
            try await download(blob, session, ingest, progress)
        }
        progress(TransferProgress(digest: blob.digest, done: blob.size, total: blob.size, skipped: false))
    }

    /// Goes on after what is there already; a broken connection is taken up again where it broke.
    private func download(
        _ blob: Descriptor, _ session: RegistrySession, _ ingest: BlobIngest, _ progress: @escaping @Sendable (TransferProgress) -> Void
    ) async throws {
        let target =
            blob.urls.first { MediaType.isForeignLayer(blob.mediaType) && $0.hasPrefix("https://") }
            ?? "\(session.base)/blobs/\(blob.digest)"
        if ingest.size > blob.size { try ingest.restart() }
        var backoff = Backoff(base: .milliseconds(200), limit: .seconds(5))
        var failures = 0
        while ingest.size < blob.size || blob.size == 0 {
            let before = ingest.size
            do {
                try await part(blob, target, session, ingest, progress)
                break
            } catch let error as TransportError {
                failures = ingest.size > before ? 1 : failures + 1
                guard failures < RegistryClient.attempts else {
                    throw RegistryWords.failure(error, "GET", session.url(target), session.host.endpoint)
                }
                try await client.clock.sleep(for: backoff.next())
            }
        }
        try await threads.run { () throws(ImageError) in _ = try ingest.commit(expected: blob.digest, size: blob.size) }
    }

    private func part(
        _ blob: Descriptor, _ target: String, _ session: RegistrySession, _ ingest: BlobIngest,
        _ progress: @escaping @Sendable (TransferProgress) -> Void
    ) async throws {
        var headers: HTTPHeaders = [:]
        if ingest.size > 0 { headers["range"] = "bytes=\(ingest.size)-" }
        let response = try await session.send("GET", target, headers: headers)
        switch response.status {
        case 206:
            guard response.headers["content-range"]?.hasPrefix("bytes \(ingest.size)-") == true else {
                try ingest.restart(); throw TransportError.closed
            }
        case 200: if ingest.size > 0 { try ingest.restart() }
        default: throw RegistryWords.status(response, "GET", session.url(target)).prefixed("httpReadSeeker: failed open: ")
        }
        while let chunk = try await response.nextChunk() {
            guard ingest.size + Int64(chunk.count) <= blob.size else {
                ingest.abandon()
                throw ImageError(.corrupt, "\(blob.digest) is longer than the \(blob.size) bytes its manifest says")
            }
            try await threads.run { () throws(ImageError) in try ingest.write(chunk) }
            progress(TransferProgress(digest: blob.digest, done: ingest.size, total: blob.size, skipped: false))
        }
        if ingest.size < blob.size { throw TransportError.closed }
    }
}

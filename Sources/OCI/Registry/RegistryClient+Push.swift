import Core
import Synchronization
import Transport
import Tree

/// Sends images of the store to registries.
package final class ImagePusher: Sendable {
    private let images: ImageStore
    private let client: RegistryClient
    private static let piece = 1 << 20

    package init(images: ImageStore, client: RegistryClient) {
        self.images = images
        self.client = client
    }

    /// Pushes what a record stands for under `reference`. Of an index, the platforms that are here go; blobs that the registry
    /// has are not sent again, and those that `mountFrom` (a repository of the same registry) has are mounted.
    @discardableResult
    package func push(
        _ record: ImageRecord, to reference: ImageReference, credentials: [RegistryAuth] = [], mountFrom: String? = nil,
        progress: @escaping @Sendable (TransferProgress) -> Void = { _ in }
    ) async throws -> ContentDigest {
        let named = reference.withDefaultTag
        guard let host = client.hosts.withLock({ $0.hosts(for: named, pushing: true) }).first else {
            throw ImageError(.invalid, "failed to push \"\(named)\": no host")
        }
        var last: ImageError?
        for auth in credentials.isEmpty ? [nil] : credentials.map(Optional.some) {
            let session = RegistrySession(client, host, named, auth, pushing: true, mountFrom: mountFrom)
            do {
                do { return try await push(record.target, session, mountFrom, progress) } catch let error as ImageError
                    where error.kind == .unavailable && host.fallsBack
                { return try await push(record.target, session.plain, mountFrom, progress) }
            } catch let error as ImageError {
                last = error
                guard error.kind == .unauthorized else { break }
            }
        }
        throw (last ?? ImageError(.unavailable, "no attempt was made")).prefixed("failed to push \"\(named)\": ")
    }

    private func push(
        _ target: Descriptor, _ session: RegistrySession, _ mountFrom: String?, _ progress: @escaping @Sendable (TransferProgress) -> Void,
        tagged: Bool = true
    ) async throws -> ContentDigest {
        let bytes = try images.content.read(target.digest, limit: Manifest.limit)
        let manifest = try Manifest(bytes, mediaType: target.mediaType)
        switch manifest {
        case .index(let index):
            for child in index.manifests where images.content.contains(child.digest) {
                _ = try await push(child, session, mountFrom, progress, tagged: false)
            }
        case .image(let image):
            var seen: Set<ContentDigest> = []
            let blobs = ([image.config] + image.layers).filter { seen.insert($0.digest).inserted }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (index, blob) in blobs.enumerated() where !MediaType.isForeignLayer(blob.mediaType) {
                    if index >= 4 { try await group.next() }
                    group.addTask { try await self.blob(blob, session, mountFrom, progress) }
                }
                try await group.waitForAll()
            }
        }
        let name = tagged ? session.reference.manifestName : target.digest.description
        let path = "\(session.base)/manifests/\(name)"
        let response = try await session.send("PUT", path, headers: ["content-type": manifest.mediaType], body: .bytes(bytes))
        guard response.isSuccess else { throw await refusal(response, "PUT", session.url(path)) }
        return target.digest
    }

    private func blob(
        _ blob: Descriptor, _ session: RegistrySession, _ mountFrom: String?, _ progress: @escaping @Sendable (TransferProgress) -> Void
    ) async throws {
        func done(_ skipped: Bool) { progress(TransferProgress(digest: blob.digest, done: blob.size, total: blob.size, skipped: skipped)) }
        let head = try await session.send("HEAD", "\(session.base)/blobs/\(blob.digest)")
        if head.isSuccess { return done(true) }
        guard head.status == 404 else { throw await refusal(head, "HEAD", session.url("\(session.base)/blobs/\(blob.digest)")) }
        var target = "\(session.base)/blobs/uploads/"
        if let mountFrom { target += "?mount=\(blob.digest)&from=\(PercentEncoding.encode(mountFrom))" }
        let opened = try await session.send("POST", target)
        if opened.status == 201 { return done(true) }
        guard opened.status == 202, let location = opened.headers["location"] else {
            throw await refusal(opened, "POST", session.url(target))
        }
        let place = location + (location.contains("?") ? "&" : "?") + "digest=\(PercentEncoding.encode(blob.digest.description))"
        let headers: HTTPHeaders = ["content-type": "application/octet-stream"]
        let response = try await session.send(
            "PUT", place, headers: headers, body: .stream(length: Int(blob.size)) { try await self.send(blob, $0, progress) },
            timeout: .seconds(3600))
        guard response.isSuccess else { throw await refusal(response, "PUT", session.url(place)) }
        done(false)
    }

    private func send(_ blob: Descriptor, _ writer: HTTPBodyWriter, _ progress: @escaping @Sendable (TransferProgress) -> Void) async throws
    {
        let file = try images.content.open(blob.digest)
        var at: Int64 = 0
        while at < blob.size {
            let offset = at
            let chunk = try await BlockingThreads.shared.run { () throws(SystemFailure) -> [UInt8] in
                try file.readPiece(at: offset, count: ImagePusher.piece)
            }
            guard !chunk.isEmpty else { throw ImageError(.corrupt, "\(blob.digest) is shorter than its manifest says") }
            try await writer.write(chunk)
            at += Int64(chunk.count)
            progress(TransferProgress(digest: blob.digest, done: at, total: blob.size, skipped: false))
        }
    }

    /// The registry's own words, where it gives any.
    private func refusal(_ response: HTTPClientResponse, _ method: String, _ url: String) async -> ImageError {
        let error = RegistryWords.status(response, method, url)
        guard let body = try? await response.body(limit: 64 << 10), let node = try? JSONText.parse(body) else { return error }
        let item = node["errors"][0]
        guard let code = item["code"].string else { return error }
        return ImageError(error.kind, "\(error.message): \(code.lowercased()): \(item["message"].string ?? "")")
    }
}

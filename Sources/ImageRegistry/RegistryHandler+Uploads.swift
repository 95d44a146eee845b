import Core
import OCI
import Transport
import Tree

extension RegistryHandler {
    /// POST: mounts a blob of another repository, takes a whole one, or opens an upload.
    func startUpload(_ exchange: HTTPExchange, _ name: String) async throws {
        try mustBeKnown(name)
        let items = exchange.request.queryItems
        if let text = items.first(where: { $0.name == "mount" })?.value, let digest = ContentDigest(text),
            let from = items.first(where: { $0.name == "from" })?.value, try mount(exchange, digest, from: from, to: name)
        {
            return created(exchange, name, digest)
        }
        let id = try await threads.run { [uploads] in try uploads.start(name) }
        if let text = items.first(where: { $0.name == "digest" })?.value {
            return try await finish(exchange, name, id, text)
        }
        exchange.respond(status: 202, headers: headers(name, id, size: 0))
    }

    private func mount(_ exchange: HTTPExchange, _ digest: ContentDigest, from: String, to name: String) throws -> Bool {
        let caller = try access.caller(exchange.request.headers["authorization"])
        let readable = {
            switch caller {
            case .bearer(let credential, _): !self.access.allowed(credential, AccessRequest(from, [.pull])).isEmpty
            default: self.access.check(caller, AccessRequest(from, [.pull]))
            }
        }()
        guard readable, repositories.holds(digest, in: from), repositories.content.touch(digest) != nil else { return false }
        repositories.addLoose(digest, to: name)
        return true
    }

    /// PATCH: adds bytes; with `Content-Range` they must join what is there.
    func patchUpload(_ exchange: HTTPExchange, _ name: String, _ id: String) async throws {
        let ingest = try await take(name, id)
        defer { uploads.release(name, id) }
        if let header = exchange.request.headers["content-range"] { try check(header, exchange.request.contentLength, ingest.size) }
        try await receive(exchange, ingest)
        exchange.respond(status: 202, headers: headers(name, id, size: ingest.size))
    }

    func finishUpload(_ exchange: HTTPExchange, _ name: String, _ id: String) async throws {
        guard let text = exchange.request.queryItems.first(where: { $0.name == "digest" })?.value else {
            throw RegistryError(.digestInvalid, "digest parameter missing", detail: .null)
        }
        if let header = exchange.request.headers["content-range"] {
            let ingest = try await take(name, id)
            defer { uploads.release(name, id) }
            try check(header, exchange.request.contentLength, ingest.size)
        }
        try await finish(exchange, name, id, text)
    }

    private func finish(_ exchange: HTTPExchange, _ name: String, _ id: String, _ text: String) async throws {
        let digest = try RegistryHandler.digest(text)
        let ingest = try await take(name, id)
        defer { uploads.release(name, id) }
        try await receive(exchange, ingest)
        do { _ = try await threads.run { try ingest.commit(expected: digest) } } catch {
            uploads.end(name, id)
            throw error
        }
        uploads.end(name, id)
        repositories.addLoose(digest, to: name)
        created(exchange, name, digest)
    }

    func uploadStatus(_ exchange: HTTPExchange, _ name: String, _ id: String) throws {
        let ingest = try uploads.take(name, id)
        defer { uploads.release(name, id) }
        exchange.respond(status: 204, headers: headers(name, id, size: ingest.size))
    }

    func cancelUpload(_ exchange: HTTPExchange, _ name: String, _ id: String) throws {
        try uploads.take(name, id).abandon()
        uploads.end(name, id)
        exchange.respond(status: 204, headers: RegistryHandler.plain)
    }

    // MARK: -

    /// Off the event loop, for a file from before a restart is hashed anew.
    private func take(_ name: String, _ id: String) async throws -> BlobIngest {
        try await threads.run { [uploads] in try uploads.take(name, id) }
    }

    private func receive(_ exchange: HTTPExchange, _ ingest: BlobIngest) async throws {
        while let chunk = try await exchange.nextChunk() {
            try await threads.run { () throws(ImageError) in try ingest.write(chunk) }
        }
    }

    private func check(_ header: String, _ length: Int?, _ size: Int64) throws {
        let text = header.hasPrefix("bytes ") ? String(header.dropFirst(6)) : header
        let bounds = text.prefix { $0 != "/" }.split(separator: "-")
        let wrong = RegistryError(.rangeInvalid, detail: ["range": .string("0-\(max(0, size - 1))")])
        guard bounds.count == 2, let start = Int64(bounds[0]), let end = Int64(bounds[1]), start == size, end >= start - 1 else {
            throw wrong
        }
        if let length, Int64(length) != end - start + 1 { throw RegistryError(.sizeInvalid) }
    }

    private func created(_ exchange: HTTPExchange, _ name: String, _ digest: ContentDigest) {
        var headers = RegistryHandler.plain
        headers["location"] = "/v2/\(name)/blobs/\(digest)"
        headers["docker-content-digest"] = digest.description
        exchange.respond(status: 201, headers: headers)
    }

    private func headers(_ name: String, _ id: String, size: Int64) -> HTTPHeaders {
        var headers = RegistryHandler.plain
        headers["location"] = "/v2/\(name)/blobs/uploads/\(id)"
        headers["docker-upload-uuid"] = id
        headers["range"] = "0-\(max(0, size - 1))"
        headers["content-length"] = "0"
        return headers
    }
}

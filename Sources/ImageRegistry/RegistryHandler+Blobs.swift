import Core
import OCI
import Transport
import Tree

extension RegistryHandler {
    func blob(_ exchange: HTTPExchange, _ name: String, _ text: String) async throws {
        let digest = try RegistryHandler.digest(text)
        // Manifests are blobs too: clients fetch those of an index by either path.
        let known = repositories.holds(digest, in: name) || repositories[name]?.manifests[digest] != nil
        guard known, let size = repositories.content.touch(digest) else {
            throw RegistryError(.blobUnknown, detail: ["digest": .string(text)])
        }
        var headers = RegistryHandler.plain
        headers["content-type"] = "application/octet-stream"
        headers["docker-content-digest"] = digest.description
        headers["etag"] = "\"\(digest)\""
        headers["accept-ranges"] = "bytes"
        headers["cache-control"] = "max-age=31536000"
        headers["content-length"] = String(size)
        if exchange.request.method == "HEAD" {
            exchange.respond(status: 200, headers: headers)
            return
        }
        let file = try repositories.content.open(digest)
        var range = 0..<size
        var status = 200
        if let header = exchange.request.headers["range"] {
            switch ByteRange.parse(header, size: size) {
            case .ignored: break
            case .unsatisfiable:
                headers["content-range"] = "bytes */\(size)"
                headers["content-length"] = nil
                exchange.respond(status: 416, headers: headers)
                return
            case .range(let wanted):
                range = wanted
                status = 206
                headers["content-range"] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(size)"
                headers["content-length"] = String(range.count)
            }
        }
        exchange.start(status: status, headers: headers)
        try await exchange.sendFile(descriptor: file.raw, offset: range.lowerBound, count: range.count)
        withExtendedLifetime(file) {}
        exchange.finish()
    }

    /// Takes a blob out of the repository. Its bytes go when nothing refers to them any more.
    func deleteBlob(_ exchange: HTTPExchange, _ name: String, _ text: String) throws {
        let digest = try RegistryHandler.digest(text)
        guard repositories.holds(digest, in: name) else { throw RegistryError(.blobUnknown, detail: ["digest": .string(text)]) }
        guard repositories.removeLoose(digest, from: name) else {
            throw RegistryError(.denied, "the blob is part of a manifest; delete that first", detail: ["digest": .string(text)])
        }
        exchange.respond(status: 202, headers: RegistryHandler.plain)
    }
}

/// One range of `Range: bytes=…`; several ranges are answered whole, as RFC 9110 allows.
enum ByteRange: Equatable {
    case ignored
    case unsatisfiable
    case range(Range<Int64>)

    static func parse(_ header: String, size: Int64) -> ByteRange {
        guard header.hasPrefix("bytes="), !header.contains(",") else { return .ignored }
        let parts = header.dropFirst(6).split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return .ignored }
        if parts[0].isEmpty {
            guard let last = Int64(parts[1]), last >= 0 else { return .ignored }
            return last == 0 || size == 0 ? .unsatisfiable : .range(max(0, size - last)..<size)
        }
        guard let start = Int64(parts[0]), start >= 0 else { return .ignored }
        guard start < size else { return .unsatisfiable }
        if parts[1].isEmpty { return .range(start..<size) }
        guard let end = Int64(parts[1]), end >= start else { return .ignored }
        return .range(start..<min(end, size - 1) + 1)
    }
}

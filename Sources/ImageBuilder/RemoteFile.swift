import Core
import OCI
import Transport

/// A file of the web that ADD names, as it is while the build runs: fetched anew each time, so that the step's key is its content.
struct RemoteFile: Sendable {
    /// Its last part, which a destination that is a directory needs.
    let name: String
    let path: String
    let size: Int64

    private static let limit: Int64 = 16 << 30
    private static let client = HTTPClient()

    static func isOne(_ source: String) -> Bool { source.hasPrefix("http://") || source.hasPrefix("https://") }

    /// Follows up to ten redirections. `checksum` is what its bytes must have, where one is given.
    static func fetch(_ url: String, to path: String, checksum: String?, line: Int) async throws -> RemoteFile {
        let expected: ContentDigest?
        do { expected = try checksum.map { try ContentDigest(parsing: $0) } } catch {
            throw BuildError(line, "invalid checksum \"\(checksum ?? "")\"")
        }
        var address = url
        for _ in 0...10 {
            guard let request = HTTPClientRequest(url: address) else { throw BuildError(line, "invalid URL: \(address)") }
            let response: HTTPClientResponse
            do { response = try await client.send(request) } catch let error as TransportError { throw BuildError(line, "failed to fetch \(address): \(error)") }
            if [301, 302, 303, 307, 308].contains(response.status), let location = response.headers["location"] {
                address = location.hasPrefix("/") ? origin(of: address) + location : location
                continue
            }
            guard response.isSuccess else { throw BuildError(line, "failed to fetch \(address): invalid response status \(response.status)") }
            let size = try await save(response, path, line)
            if let expected {
                let source = HashingSource(FileSource(try FileSystem.open(path)), expected.algorithm)
                try source.drain()
                let found = source.finish()
                guard found == expected else { throw BuildError(line, "digest mismatch \(found): \(expected)") }
            }
            return RemoteFile(name: name(of: url), path: path, size: size)
        }
        throw BuildError(line, "failed to fetch \(url): too many redirections")
    }

    private static func save(_ response: HTTPClientResponse, _ path: String, _ line: Int) async throws -> Int64 {
        let file = try FileSystem.open(path, [.writeOnly, .create, .exclusive])
        var size: Int64 = 0
        while let chunk = try await response.nextChunk() {
            size += Int64(chunk.count)
            guard size <= limit else { throw BuildError(line, "remote file is larger than \(limit) bytes") }
            try await BlockingThreads.shared.run { () throws(SystemFailure) in try file.write(chunk) }
        }
        return size
    }

    private static func origin(of url: String) -> String {
        let parts = url.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false)
        return parts.prefix(3).joined(separator: "/")
    }

    private static func name(of url: String) -> String {
        let path = url.prefix { $0 != "?" && $0 != "#" }.split(separator: "/", omittingEmptySubsequences: false).dropFirst(3)
        return path.last.map { PercentEncoding.decode(String($0)) }?.split(separator: "/").last.map(String.init) ?? ""
    }
}

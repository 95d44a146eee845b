import Core
import OCI
import Transport
import Tree

extension RegistryHandler {
    func manifest(_ exchange: HTTPExchange, _ name: String, _ reference: String) async throws {
        let stored = try find(name, reference)
        let accepted = exchange.request.headers.list("accept").map(MediaType.bare)
        let type = stored.descriptor.mediaType
        // Who accepts nothing known still gets what there is, as the specification's registries do.
        if !accepted.isEmpty, !accepted.contains(type), !accepted.contains("*/*"), !accepted.contains("application/*"),
            accepted.allSatisfy({ MediaType.isSchema1($0) })
        {
            throw RegistryError(.manifestUnknown, "the manifest is \(type), which the client does not accept", detail: .null)
        }
        var headers = RegistryHandler.plain
        headers["content-type"] = type
        headers["docker-content-digest"] = stored.descriptor.digest.description
        headers["etag"] = "\"\(stored.descriptor.digest)\""
        if exchange.request.headers.list("if-none-match").contains("\"\(stored.descriptor.digest)\"") {
            exchange.respond(status: 304, headers: headers)
            return
        }
        if exchange.request.method == "HEAD" {
            headers["content-length"] = String(stored.descriptor.size)
            exchange.respond(status: 200, headers: headers)
            return
        }
        let bytes = try repositories.content.read(stored.descriptor.digest, limit: Manifest.limit)
        exchange.respond(status: 200, headers: headers, body: bytes)
    }

    func putManifest(_ exchange: HTTPExchange, _ name: String, _ reference: String) async throws {
        try mustBeKnown(name)
        let bytes = try await exchange.body(limit: Manifest.limit)
        var tags = exchange.request.queryItems.filter { $0.name == "tag" }.map(\.value)
        let digest: ContentDigest
        if reference.contains(":") {
            digest = try RegistryHandler.digest(reference)
            guard ContentDigest(of: bytes, digest.algorithm) == digest else {
                throw RegistryError(.digestInvalid, detail: ["digest": .string(reference)])
            }
        } else {
            tags.append(reference)
            digest = ContentDigest(of: bytes)
        }
        guard tags.allSatisfy({ Grammar.isTag(Substring($0)) }) else { throw RegistryError(.tagInvalid, "invalid tag") }
        let declared = exchange.request.headers["content-type"].map(MediaType.bare) ?? ""
        let type = try RegistryHandler.type(bytes, declared)
        let all = tags
        let stored = try await threads.run { [repositories] in
            try repositories.put(bytes, mediaType: type, digest: digest, tags: all, in: name)
        }
        var headers = RegistryHandler.plain
        headers["location"] = "/v2/\(name)/manifests/\(digest)"
        headers["docker-content-digest"] = digest.description
        if let subject = stored.subject { headers["oci-subject"] = subject.description }
        exchange.respond(status: 201, headers: headers)
    }

    func deleteManifest(_ exchange: HTTPExchange, _ name: String, _ reference: String) async throws {
        let removed: Bool
        if reference.contains(":") {
            let digest = try RegistryHandler.digest(reference)
            removed = try await threads.run { [repositories] in try repositories.removeManifest(digest, from: name) }
        } else {
            removed = try await threads.run { [repositories] in try repositories.removeTag(reference, from: name) }
        }
        guard removed else { throw RegistryError(.manifestUnknown, detail: ["name": .string(name), "reference": .string(reference)]) }
        exchange.respond(status: 202, headers: RegistryHandler.plain)
    }

    /// A registry must have been made before anything is pushed to it, and a repository has a name of its own below it.
    func mustBeKnown(_ name: String) throws {
        guard let slash = name.firstIndex(of: "/"), directory.registry(String(name[..<slash])) != nil else {
            throw RegistryError(.nameUnknown, detail: ["name": .string(name)])
        }
    }

    private func find(_ name: String, _ reference: String) throws -> StoredManifest {
        let repository = repositories[name]
        let digest: ContentDigest? = reference.contains(":") ? try RegistryHandler.digest(reference) : repository?.tags[reference]
        guard let digest, let stored = repository?.manifests[digest] else {
            let detail: Node =
                reference.contains(":")
                ? ["name": .string(name), "digest": .string(reference)] : ["name": .string(name), "tag": .string(reference)]
            throw RegistryError(.manifestUnknown, detail: detail)
        }
        return stored
    }

    /// The type inside the manifest counts; the header must not contradict it.
    private static func type(_ bytes: [UInt8], _ declared: String) throws -> String {
        let known = MediaType.isManifest(declared) || MediaType.isIndex(declared) || MediaType.isSchema1(declared)
        guard declared.isEmpty || known || declared == "application/json" else {
            throw RegistryError(.manifestInvalid, "unsupported manifest media type \"\(declared)\"")
        }
        return try Manifest(bytes, mediaType: known ? declared : "").mediaType
    }
}

import Core
import ImageRegistry
import OCI
import Synchronization
import Transport
import Tree

/// The machine's images.
extension ControlAPI {
    private var store: ImageService { cluster.registry.images }

    func images(_ exchange: HTTPExchange, _ path: [String]) async throws {
        let store = store
        switch (exchange.request.method, path.first, path.count) {
        case ("GET", nil, _):
            answer(exchange, ["items": .list(try await BlockingThreads.shared.run { store.list().map { ControlAPI.node($0, store) } })])
        case ("DELETE", nil, _):
            guard let name = query(exchange, "name") else { throw ControlFailure(400, "\"name\" is missing") }
            try await BlockingThreads.shared.run {
                try store.remove(name)
                _ = try store.collect()
            }
            answer(exchange, [:])
        case ("POST", "tag", 1):
            let wanted = try await body(exchange)
            let (source, target) = (try required(wanted, "source"), try required(wanted, "target"))
            try await BlockingThreads.shared.run {
                let name = try ImageReference(image: target).description
                guard let found = store.status(source) else { throw ImageError(.notFound, "image \"\(source)\": not found") }
                try store.images.set([name], to: found.target)
            }
            answer(exchange, [:])
        case ("POST", "load", 1): try await load(exchange)
        case ("POST", "save", 1): try await save(exchange)
        case ("POST", "pull", 1): try await pull(exchange)
        case ("POST", "push", 1): try await push(exchange)
        default: throw ControlFailure(404, "no such path: \(exchange.request.path)")
        }
    }

    private static func node(_ image: ImageStatus, _ store: ImageService) -> Node {
        [
            "id": .string("\(image.id)"), "tags": Node(image.tags), "digests": Node(image.digests), "size": .int(image.size),
            "created": Node(image.tags.compactMap { store.images[$0]?.updated.rfc3339 }.max()),
        ]
    }

    // MARK: - Archives

    private func load(_ exchange: HTTPExchange) async throws {
        let wanted = try await body(exchange)
        let file = try required(wanted, "path")
        let store = store
        await ControlStream.run(exchange) { stream in
            let names = try await BlockingThreads.shared.run {
                try ImageArchive(images: store.images).load(FileSource(try FileSystem.open(file)), name: wanted["name"].string).map(\.name)
            }
            for name in names {
                stream.progress("unpacking \(name)")
                _ = try await store.prepare(name)
            }
            return ["images": Node(names)]
        }
    }

    private func save(_ exchange: HTTPExchange) async throws {
        let wanted = try await body(exchange)
        let file = try required(wanted, "path")
        let names = wanted["images"].stringList
        guard !names.isEmpty else { throw ControlFailure(400, "\"images\" is missing") }
        let store = store
        await ControlStream.run(exchange) { _ in
            try await BlockingThreads.shared.run {
                let records = try names.map { name in
                    guard let record = store.images[try ImageReference(image: name).description] else {
                        throw ImageError(.notFound, "image \"\(name)\": not found")
                    }
                    return record
                }
                let target = try FileSystem.open(file, [.writeOnly, .create, .truncate], mode: 0o644)
                try ImageArchive.save(records, from: store.images, to: FileTarget(target))
            }
            return ["path": .string(file)]
        }
    }

    // MARK: - Registries

    private func pull(_ exchange: HTTPExchange) async throws {
        let wanted = try await body(exchange)
        let image = try required(wanted, "image")
        let (store, service) = (store, cluster.registry)
        await ControlStream.run(exchange) { stream in
            let reference = try ImageReference(image: image)
            let prepared = try await service.withCredential(wanted, for: reference) { keyring in
                try await store.pull(image, keyring: keyring, progress: ControlAPI.report(stream))
            }
            return ["image": .string("\(reference)"), "id": .string("\(prepared.status.id)")]
        }
    }

    private func push(_ exchange: HTTPExchange) async throws {
        let wanted = try await body(exchange)
        let image = try required(wanted, "image")
        let (store, service) = (store, cluster.registry)
        await ControlStream.run(exchange) { stream in
            let reference = try ImageReference(image: image)
            guard let record = store.images["\(reference)"] else {
                throw ControlFailure(404, "image \"\(reference.familiar)\" is not here", hint: "What is: jangada image list")
            }
            let digest = try await service.withCredential(wanted, for: reference) { keyring in
                try await store.pusher.push(record, to: reference, credentials: keyring.lookup(reference), progress: ControlAPI.report(stream))
            }
            return ["image": .string("\(reference)"), "digest": .string("\(digest)")]
        }
    }

    /// One line when a blob begins and one when it is there; not one for every piece of it.
    private static func report(_ stream: ControlStream) -> @Sendable (TransferProgress) -> Void {
        let seen = Seen()
        return { progress in
            let short = "\(progress.digest)".split(separator: ":").last.map { String($0.prefix(12)) } ?? ""
            let isDone = progress.skipped || progress.done >= progress.total
            guard seen.isNew("\(short) \(isDone)") else { return }
            stream.progress("\(short): \(progress.skipped ? "already there" : isDone ? "done" : "\(progress.total) bytes")")
        }
    }

    private final class Seen: Sendable {
        private let keys = Mutex<Set<String>>([])
        func isNew(_ key: String) -> Bool { keys.withLock { $0.insert(key).inserted } }
    }
}

extension RegistryService {
    /// The built-in registry under any of its names.
    func serves(_ reference: ImageReference) -> Bool {
        ["localhost:\(port)", "127.0.0.1:\(port)"].contains(reference.domain) || ((try? aliases()) ?? []).contains(reference.domain)
    }

    /// Credentials for an image: those of the request (`user` and `password`, or a `dockerConfig`); without any, and for the built-in
    /// registry, one made for this transfer and deleted after it, as whoever may ask here may make credentials anyway.
    func withCredential<Result: Sendable>(
        _ request: Node, for reference: ImageReference, _ body: (RegistryKeyring) async throws -> Result
    ) async throws -> Result {
        var keyring = RegistryKeyring()
        if let user = request["user"].string {
            keyring.add(reference.domain, RegistryAuth(username: user, password: request["password"].string ?? ""))
        } else if let config = request["dockerConfig"].string {
            try keyring.add(dockerConfig: Array(config.utf8))
        }
        guard keyring.lookup(reference).isEmpty, serves(reference), let name = reference.path.split(separator: "/").first.map(String.init) else {
            return try await body(keyring)
        }
        guard registries.registry(name) != nil else {
            throw ControlFailure(404, "registry \"\(name)\" not found", hint: "Make it: jangada registry create \(name)")
        }
        let (registries, prefix) = (registries, RegistryService.transferUser)
        let made = try await BlockingThreads.shared.run {
            try registries.createCredential(registry: name, user: prefix + Identifier.suffix(8), scopes: [.pull, .push])
        }
        keyring.add(reference.domain, RegistryAuth(username: made.credential.user, password: made.token))
        let result: Swift.Result<Result, any Error>
        do { result = .success(try await body(keyring)) } catch { result = .failure(error) }
        try await BlockingThreads.shared.run { try registries.deleteCredential(made.credential.id) }
        return try result.get()
    }

    private static let transferUser = "jangada-transfer-"

    /// Deletes what transfers left behind that a crash cut off. For the start, before the socket listens.
    package func dropTransferCredentials() throws {
        for credential in registries.credentials() where credential.user.hasPrefix(RegistryService.transferUser) {
            try registries.deleteCredential(credential.id)
        }
    }
}

package import Core
import OCI
import Synchronization
import Tree

/// What a credential may do in its registry.
package enum RegistryScope: String, Sendable, CaseIterable, Codable { case pull, push, delete }

/// A private place for images: the first part of their repositories' names.
package struct NamedRegistry: Sendable, Hashable {
    package let name: String
    package let created: Timestamp
    /// Anyone may pull.
    package var isPublic: Bool
}

/// A user name and a token, of which only a salted hash is kept.
package struct RegistryCredential: Sendable, Hashable {
    package let id: String
    package let registry: String
    package let user: String
    package let scopes: Set<RegistryScope>
    package let created: Timestamp
    let salt: [UInt8]
    let hash: [UInt8]
}

/// The registries and who may enter them. Every change is on disk, whole, before it is seen.
package final class RegistryDirectory: Sendable {
    private let file: String
    private let clock: any TimeSource
    private let state: Mutex<State>

    private struct State: Sendable, Equatable {
        var registries: [String: NamedRegistry] = [:]
        var credentials: [String: RegistryCredential] = [:]
    }

    package init(root: String, clock: any TimeSource = SystemTime()) throws {
        self.clock = clock
        try FileSystem.makeDirectories(root)
        file = "\(root)/registries.json"
        state = Mutex(try RegistryDirectory.read(file))
    }

    // MARK: - Registries

    package func registries() -> [NamedRegistry] { state.withLock { $0.registries.values.sorted { $0.name < $1.name } } }
    package func registry(_ name: String) -> NamedRegistry? { state.withLock { $0.registries[name] } }

    /// Makes a registry; one that exists already is an error, so that nobody adopts another's by a slip.
    @discardableResult
    package func create(_ name: String, isPublic: Bool = false) throws -> NamedRegistry {
        guard Grammar.isPathComponent(Substring(name)), name.utf8.count <= 63 else {
            throw RegistryError(
                .nameInvalid, "registry name \"\(name)\" must be lowercase letters and digits, joined by '-', '_' or '.', at most 63")
        }
        let made = NamedRegistry(name: name, created: clock.now(), isPublic: isPublic)
        try change { state in
            guard state.registries[name] == nil else { throw RegistryError(.denied, "registry \"\(name)\" already exists") }
            state.registries[name] = made
        }
        return made
    }

    package func setPublic(_ name: String, _ isPublic: Bool) throws {
        try change { state in
            guard state.registries[name] != nil else { throw RegistryError(.nameUnknown, "registry \"\(name)\" not found") }
            state.registries[name]?.isPublic = isPublic
        }
    }

    /// Removes a registry and its credentials; its repositories are the caller's to remove.
    package func delete(_ name: String) throws {
        try change { state in
            guard state.registries.removeValue(forKey: name) != nil else {
                throw RegistryError(.nameUnknown, "registry \"\(name)\" not found")
            }
            state.credentials = state.credentials.filter { $0.value.registry != name }
        }
    }

    // MARK: - Credentials

    package func credentials(of registry: String? = nil) -> [RegistryCredential] {
        state.withLock {
            $0.credentials.values.filter { registry == nil || $0.registry == registry }.sorted {
                ($0.registry, $0.user, $0.id) < ($1.registry, $1.user, $1.id)
            }
        }
    }

    /// Makes a credential. The token is in the answer and nowhere else. Without a user name it is the registry's name.
    package func createCredential(
        registry: String, user: String? = nil, scopes: Set<RegistryScope> = [.pull, .push, .delete]
    ) throws -> (credential: RegistryCredential, token: String) {
        let user = user ?? registry
        guard !user.isEmpty, user.utf8.count <= 128, user.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x3A }) else {
            throw RegistryError(.denied, "user name \"\(user)\" must be printable, without spaces and colons")
        }
        let made = make(id: Identifier.suffix(10), registry: registry, user: user, scopes: scopes)
        try change { state in
            guard state.registries[registry] != nil else { throw RegistryError(.nameUnknown, "registry \"\(registry)\" not found") }
            guard !state.credentials.values.contains(where: { $0.registry == registry && $0.user == user }) else {
                throw RegistryError(.denied, "registry \"\(registry)\" already has a credential for user \"\(user)\"")
            }
            state.credentials[made.credential.id] = made.credential
        }
        return made
    }

    /// A new token for the same user; the old one is refused from now on.
    package func rotateCredential(_ id: String) throws -> (credential: RegistryCredential, token: String) {
        guard let old = state.withLock({ $0.credentials[id] }) else { throw RegistryError(.unknown, "credential \"\(id)\" not found") }
        let made = make(id: id, registry: old.registry, user: old.user, scopes: old.scopes)
        try change { state in
            guard state.credentials[id] != nil else { throw RegistryError(.unknown, "credential \"\(id)\" not found") }
            state.credentials[id] = made.credential
        }
        return made
    }

    package func deleteCredential(_ id: String) throws {
        try change { state in
            guard state.credentials.removeValue(forKey: id) != nil else { throw RegistryError(.unknown, "credential \"\(id)\" not found") }
        }
    }

    /// The credential that a user name and token prove; nil where they prove none. Takes as long either way.
    func authenticate(user: String, token: String) -> RegistryCredential? {
        let candidates = state.withLock { $0.credentials.values.filter { $0.user == user } }
        var found: RegistryCredential?
        if candidates.isEmpty { _ = RegistryDirectory.hash(token, salt: [0]) }
        for candidate in candidates where Secrets.equal(RegistryDirectory.hash(token, salt: candidate.salt), candidate.hash) {
            found = candidate
        }
        return found
    }

    /// A credential that is still the one a bearer token was issued for: rotation and deletion end its tokens too.
    func credential(_ id: String, hashPrefix: String) -> RegistryCredential? {
        state.withLock { state in
            guard let found = state.credentials[id], Encoding.hex(found.hash.prefix(8)) == hashPrefix else { return nil }
            return found
        }
    }

    private func make(id: String, registry: String, user: String, scopes: Set<RegistryScope>) -> (
        credential: RegistryCredential, token: String
    ) {
        let token = "jgr_" + Encoding.base64URL(Identifier.randomBytes(30))
        let salt = Identifier.randomBytes(16)
        let credential = RegistryCredential(
            id: id, registry: registry, user: user, scopes: scopes, created: clock.now(), salt: salt,
            hash: RegistryDirectory.hash(token, salt: salt))
        return (credential, token)
    }

    // Tokens are 240 random bits, which no slow hash needs to protect; logins stay cheap for every pull.
    private static func hash(_ token: String, salt: [UInt8]) -> [UInt8] { Secrets.hmacSHA256(key: salt, Array(token.utf8)) }
}

// MARK: - The file

extension RegistryDirectory {
    private func change(_ edit: (inout State) throws -> Void) throws {
        try state.withLock { state in
            var next = state
            try edit(&next)
            guard next != state else { return }
            try FileSystem.writeAtomically(file, JSONWriter.writePretty(RegistryDirectory.node(next)))
            state = next
        }
    }

    private static func node(_ state: State) -> Node {
        let registries = state.registries.values.sorted { $0.name < $1.name }.map { registry -> Node in
            ["name": .string(registry.name), "created": .string(registry.created.rfc3339), "public": .bool(registry.isPublic)]
        }
        let credentials = state.credentials.values.sorted { $0.id < $1.id }.map { credential -> Node in
            [
                "id": .string(credential.id), "registry": .string(credential.registry), "user": .string(credential.user),
                "scopes": Node(credential.scopes.map(\.rawValue).sorted()), "created": .string(credential.created.rfc3339),
                "salt": .string(Encoding.hex(credential.salt)), "hash": .string(Encoding.hex(credential.hash)),
            ]
        }
        return ["registries": .list(registries), "credentials": .list(credentials)]
    }

    private static func read(_ file: String) throws -> State {
        var state = State()
        guard FileSystem.exists(file) else { return state }
        let node = try JSONReader.read(try FileSystem.readFile(file))
        func time(_ node: Node) -> Timestamp { node.string.flatMap { Timestamp(rfc3339: $0) } ?? Timestamp(seconds: 0) }
        for item in node["registries"].list {
            guard let name = item["name"].string else { continue }
            state.registries[name] = NamedRegistry(name: name, created: time(item["created"]), isPublic: item["public"].bool ?? false)
        }
        for item in node["credentials"].list {
            guard let id = item["id"].string, let registry = item["registry"].string, let user = item["user"].string,
                let salt = bytes(item["salt"]),
                let hash = bytes(item["hash"])
            else { continue }
            state.credentials[id] = RegistryCredential(
                id: id, registry: registry, user: user, scopes: Set(item["scopes"].stringList.compactMap(RegistryScope.init)),
                created: time(item["created"]),
                salt: salt, hash: hash)
        }
        return state
    }

    private static func bytes(_ node: Node) -> [UInt8]? {
        guard let text = node.string, text.utf8.count.isMultiple(of: 2) else { return nil }
        let digits = Array(text)
        var out: [UInt8] = []
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let byte = UInt8(String(digits[index...(index + 1)]), radix: 16) else { return nil }
            out.append(byte)
        }
        return out
    }
}

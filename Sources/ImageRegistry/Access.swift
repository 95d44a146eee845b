import Core
import OCI
import Synchronization
import Transport
import Tree

/// Something that a request needs: actions on one repository, or on the whole (`/v2/`, `_catalog`).
struct AccessRequest: Sendable, Hashable {
    var repository: String
    var actions: Set<RegistryScope>

    /// `repository:meu-registry/app:pull,push`.
    var scope: String {
        "repository:\(repository):" + RegistryScope.allCases.filter(actions.contains).map(\.rawValue).joined(separator: ",")
    }

    /// Parses one scope of the token grammar; nil for what is no repository.
    init?(scope: String) {
        // The name may hold a port, with a colon of its own: type is before the first, actions after the last.
        guard let first = scope.firstIndex(of: ":"), let last = scope.lastIndex(of: ":"), first < last else { return nil }
        let type = scope[..<first].prefix { $0 != "(" }
        guard type == "repository" else { return nil }
        repository = String(scope[scope.index(after: first)..<last])
        actions = Set(
            scope[scope.index(after: last)...].split(separator: ",").flatMap { word in
                word == "*" ? RegistryScope.allCases : [RegistryScope(rawValue: String(word))].compactMap(\.self)
            })
    }

    init(_ repository: String, _ actions: Set<RegistryScope>) {
        self.repository = repository
        self.actions = actions
    }
}

/// Who makes a request, proven.
enum Caller: Sendable, Equatable {
    case anonymous
    /// By user name and token.
    case credential(RegistryCredential)
    /// By a bearer token: only what it grants.
    case bearer(RegistryCredential?, grants: [String: Set<RegistryScope>])
}

/// Decides what a caller may do, and issues the short-lived tokens that say it.
final class Access: Sendable {
    private let directory: RegistryDirectory
    private let clock: any TimeSource
    // New at each start: tokens live minutes, and clients fetch another when one is refused.
    private let key = Identifier.randomBytes(32)
    static let lifetime: Int64 = 300

    init(directory: RegistryDirectory, clock: any TimeSource) {
        self.directory = directory
        self.clock = clock
    }

    /// Which of the wanted actions a credential (nil: nobody) has in a repository.
    func allowed(_ credential: RegistryCredential?, _ request: AccessRequest) -> Set<RegistryScope> {
        guard let name = request.repository.split(separator: "/").first.map(String.init), let registry = directory.registry(name) else {
            return []
        }
        var actions: Set<RegistryScope> = registry.isPublic ? [.pull] : []
        if let credential, credential.registry == name { actions.formUnion(credential.scopes) }
        return request.actions.intersection(actions)
    }

    /// Reads `Authorization`. Throws where it is there and wrong.
    func caller(_ header: String?) throws -> Caller {
        guard let header else { return .anonymous }
        if let basic = Access.basic(header) {
            guard let found = directory.authenticate(user: basic.user, token: basic.token) else {
                throw RegistryError(.unauthorized)
            }
            return .credential(found)
        }
        if HTTPHeaders.equal(String(header.prefix(7)), "bearer ") { return try verify(String(header.dropFirst(7))) }
        throw RegistryError(.unauthorized)
    }

    func check(_ caller: Caller, _ request: AccessRequest) -> Bool {
        switch caller {
        case .anonymous: allowed(nil, request) == request.actions
        case .credential(let credential): allowed(credential, request) == request.actions
        case .bearer(let credential, let grants):
            request.actions.isSubset(of: grants[request.repository] ?? []) && allowed(credential, request) == request.actions
        }
    }

    static func basic(_ header: String) -> (user: String, token: String)? {
        guard HTTPHeaders.equal(String(header.prefix(6)), "basic "), let bytes = Encoding.decodeBase64(String(header.dropFirst(6))),
            let text = String(validating: bytes, as: UTF8.self), let colon = text.firstIndex(of: ":")
        else { return nil }
        return (String(text[..<colon]), String(text[text.index(after: colon)...]))
    }

    // MARK: - Tokens

    /// A signed token with what of the request is allowed; nothing, where nothing is.
    func issue(to credential: RegistryCredential?, _ requests: [AccessRequest], service: String) -> String {
        let now = clock.now().seconds
        var grants: [String: Set<RegistryScope>] = [:]
        for request in requests { grants[request.repository, default: []].formUnion(allowed(credential, request)) }
        let access = grants.sorted { $0.key < $1.key }.filter { !$0.value.isEmpty }.map { name, actions -> Node in
            ["type": "repository", "name": .string(name), "actions": Node(actions.map(\.rawValue).sorted())]
        }
        var claims: Node = [
            "iss": "jangada", "aud": .string(service), "iat": .int(now), "nbf": .int(now - 5), "exp": .int(now + Access.lifetime),
            "jti": .string(Identifier.suffix(12)), "access": .list(access),
        ]
        if let credential {
            claims["sub"] = .string(credential.user)
            claims["cid"] = .string(credential.id)
            claims["cv"] = .string(Encoding.hex(credential.hash.prefix(8)))
        }
        let body = Encoding.base64URL(Array(#"{"alg":"HS256","typ":"JWT"}"#.utf8)) + "." + Encoding.base64URL(JSONWriter.write(claims))
        return body + "." + Encoding.base64URL(Secrets.hmacSHA256(key: key, Array(body.utf8)))
    }

    private func verify(_ token: String) throws -> Caller {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let signature = Encoding.decodeBase64(String(parts[2])),
            Secrets.equal(Secrets.hmacSHA256(key: key, Array("\(parts[0]).\(parts[1])".utf8)), signature),
            let payload = Encoding.decodeBase64(String(parts[1])), let claims = try? JSONReader.read(payload),
            let expiry = claims["exp"].int
        else { throw RegistryError(.unauthorized, "invalid token") }
        guard expiry > clock.now().seconds else { throw RegistryError(.unauthorized, "token expired") }
        var credential: RegistryCredential?
        if let id = claims["cid"].string {
            credential = directory.credential(id, hashPrefix: claims["cv"].string ?? "")
            guard credential != nil else { throw RegistryError(.unauthorized, "token revoked") }
        }
        var grants: [String: Set<RegistryScope>] = [:]
        for item in claims["access"].list {
            guard let name = item["name"].string else { continue }
            grants[name, default: []].formUnion(item["actions"].stringList.compactMap(RegistryScope.init))
        }
        return .bearer(credential, grants: grants)
    }
}

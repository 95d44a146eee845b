package import Core
import Logging
package import Machinery
import Synchronization
package import Transport
package import Tree

/// What an `AuthenticationConfiguration` says: whose tokens are taken, and who needs none. May be replaced while requests run.
package final class ConfiguredAuthentication: TokenAuthenticator {
    private struct State: Sendable {
        var issuers: [TokenIssuerAuthenticator] = []
        var anonymous = Anonymous.everywhere
    }

    private enum Anonymous: Sendable { case everywhere, nowhere, at(Set<String>) }

    private let state = Mutex(State())
    private let time: any TimeSource
    private let disallowed: [String]
    private let log = Logger(label: "authentication")

    /// `disallowed` are issuers that are the cluster's own.
    package init(disallowed: [String] = [ServiceAccountTokens.issuer], time: any TimeSource = SystemTime()) {
        self.time = time
        self.disallowed = disallowed
    }

    /// Takes a configuration over, or throws what is wrong with it and keeps the one before.
    package func load(_ node: Node) throws(APIError) {
        let versions = ["v1", "v1beta1", "v1alpha1"].map { "apiserver.config.k8s.io/\($0)" }
        guard node.kind == "AuthenticationConfiguration", versions.contains(node.apiVersion) else {
            throw .badRequest("no kind \(FieldError.quoted(node.kind)) is registered for version \(FieldError.quoted(node.apiVersion))")
        }
        let unknown = ConfigurationFields.authentication.unknown(in: node)
        guard unknown.isEmpty else {
            throw .badRequest("strict decoding error: \(unknown.map { "unknown field \(NodePath.quoted("\($0)"))" }.joined(separator: ", "))")
        }
        var errors: [FieldError] = []
        var issuers: [TokenIssuer] = []
        let items = node["jwt"].list
        if items.count > 64 { errors.append(.tooMany("jwt", actual: items.count, limit: 64)) }
        for (index, item) in items.enumerated() {
            let issuer = TokenIssuer(item, "jwt[\(index)]", disallowed: disallowed, &errors)
            if !issuer.url.isEmpty, issuers.contains(where: { $0.url == issuer.url }) {
                errors.append(.duplicate("jwt[\(index)].issuer.url", FieldError.quoted(issuer.url)))
            }
            if let url = issuer.discoveryURL, issuers.contains(where: { $0.discoveryURL == url }) {
                errors.append(.duplicate("jwt[\(index)].issuer.discoveryURL", FieldError.quoted(url)))
            }
            issuers.append(issuer)
        }
        var anonymous = Anonymous.everywhere
        if !node["anonymous"].isNull {
            let paths = node["anonymous"]["conditions"].list.compactMap { $0["path"].string }
            let isEnabled = node["anonymous"]["enabled"].bool ?? false
            if !isEnabled, !paths.isEmpty {
                errors.append(.invalid("anonymous.conditions", Node(paths).jsonText, "enabled should be set to true when conditions are defined"))
            }
            anonymous = !isEnabled ? .nowhere : paths.isEmpty ? .everywhere : .at(Set(paths))
        }
        guard errors.isEmpty else { throw .badRequest("[\(errors.map(\.description).joined(separator: ", "))]") }
        let time = time
        let made = State(issuers: issuers.map { TokenIssuerAuthenticator($0, time: time) }, anonymous: anonymous)
        state.withLock { $0 = made }
    }

    /// As `--anonymous-auth=false` has it.
    package func refuseAnonymous() { state.withLock { $0.anonymous = .nowhere } }

    func allowsAnonymous(_ path: String) -> Bool {
        switch state.withLock({ $0.anonymous }) {
        case .everywhere: true
        case .nowhere: false
        case .at(let paths): paths.contains(path)
        }
    }

    package func user(of token: String) async -> UserInfo? {
        for issuer in state.withLock({ $0.issuers }) {
            do throws(TokenFailure) { if let user = try await issuer.user(of: token) { return user } } catch {
                log.info("a token was refused", metadata: ["issuer": "\(issuer.issuer.url)", "reason": "\(error)"])
            }
        }
        return nil
    }
}

/// Bearer tokens of one kind; what they stand for does not depend on whom they are shown to.
package protocol TokenAuthenticator: Authenticator {
    /// Nil for a token that is unknown or not good (any more).
    func user(of token: String) async -> UserInfo?
}

extension TokenAuthenticator {
    package func authenticate(_ request: HTTPRequest) async throws(APIError) -> UserInfo? {
        guard let token = BearerToken.of(request) else { return nil }
        return await user(of: token)
    }
}

extension StaticTokenAuthenticator {
    /// Reads upstream's token file: `token,user,uid,"group1,group2"` a line. Throws the line that is wrong.
    package convenience init(csv text: String) throws(APIError) {
        self.init()
        for (number, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            if line.isEmpty || line.hasPrefix("#") { continue }
            let fields = StaticTokenAuthenticator.fields(line)
            guard fields.count >= 3 else {
                throw .badRequest("line \(number + 1): token file must have at least 3 columns (token, user name, user uid), found \(fields.count)")
            }
            guard !fields[0].isEmpty else { throw .badRequest("line \(number + 1): the token is empty") }
            let groups = fields.count > 3 ? fields[3].split(separator: ",").map { $0.trimmed } : []
            set(fields[0], UserInfo(name: fields[1], uid: fields[2], groups: groups))
        }
    }

    private static func fields(_ line: Substring) -> [String] {
        var out = [""]
        var isQuoted = false
        var rest = line
        while let next = rest.popFirst() {
            switch next {
            case "\"" where isQuoted && rest.first == "\"":
                rest.removeFirst()
                out[out.count - 1].append("\"")
            case "\"": isQuoted.toggle()
            case "," where !isQuoted: out.append("")
            default: out[out.count - 1].append(next)
            }
        }
        return out.map { $0[...].trimmed }
    }
}

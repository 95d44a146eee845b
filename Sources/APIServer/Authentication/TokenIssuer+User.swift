import CEL
import Tree

/// Why a token of a known issuer is not good, for the log.
struct TokenFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = "oidc: " + description }
}

extension TokenIssuer {
    /// Whom the claims of a good token stand for.
    func user(_ claims: Node) throws(TokenFailure) -> UserInfo {
        var user = UserInfo(name: try name(claims))
        user.groups = try groups(claims)
        if !uid.claim.isEmpty {
            guard let text = claims[uid.claim].string else { throw TokenFailure("parse uid claim \"\(uid.claim)\": claim not present") }
            user.uid = text
        } else if let expression = uid.expression {
            user.uid = try evaluated("uid claim") { () throws(EvaluationError) in try expression.string(claims) }
        }
        if let id = claims["jti"].string, !id.isEmpty { user.extra["authentication.kubernetes.io/credential-id"] = ["JTI=\(id)"] }
        for (key, value) in extra {
            let values = try evaluated("extra claim") { () throws(EvaluationError) in try value.strings(claims) }
            if !values.isEmpty { user.extra[key] = values }
        }
        try check(claims, user)
        return user
    }

    private func evaluated<T>(_ what: String, _ body: () throws(EvaluationError) -> T) throws(TokenFailure) -> T {
        do throws(EvaluationError) { return try body() } catch { throw TokenFailure("error evaluating \(what) expression: \(error.message)") }
    }

    private func name(_ claims: Node) throws(TokenFailure) -> String {
        if let expression = username.expression {
            let name = try evaluated("username claim") { () throws(EvaluationError) in try expression.string(claims) }
            if name.isEmpty { throw TokenFailure("empty username via CEL expression is not allowed") }
            return name
        }
        guard let name = claims[username.claim].string else { throw TokenFailure("parse username claims \"\(username.claim)\": claim not present") }
        if username.claim == "email", claims.has("email_verified"), claims["email_verified"].bool != true { throw TokenFailure("email not verified") }
        return username.prefix + name
    }

    private func groups(_ claims: Node) throws(TokenFailure) -> [String] {
        if let expression = groups.expression { return try evaluated("group claim") { () throws(EvaluationError) in try expression.strings(claims) } }
        guard !groups.claim.isEmpty, claims.has(groups.claim) else { return [] }
        switch claims[groups.claim] {
        case .string(let text): return [groups.prefix + text]
        case .list(let items):
            let texts = items.compactMap(\.string)
            guard texts.count == items.count else { throw TokenFailure("parse groups claim \"\(groups.claim)\": not a list of strings") }
            return texts.map { groups.prefix + $0 }
        case .null: return []
        default: throw TokenFailure("parse groups claim \"\(groups.claim)\": not a list of strings")
        }
    }

    private func check(_ claims: Node, _ user: UserInfo) throws(TokenFailure) {
        for (claim, value) in required {
            guard claims.has(claim) else { throw TokenFailure("required claim \(claim) not present in ID token") }
            guard claims[claim].string == value else { throw TokenFailure("required claim \(claim) value does not match") }
        }
        for rule in claimRules {
            guard try evaluated("claim validation", { () throws(EvaluationError) in try rule.expression.holds(claims) }) else {
                throw TokenFailure("error evaluating claim validation expression: validation expression '\(rule.expression.text)' failed: \(rule.message)")
            }
        }
        guard !userRules.isEmpty else { return }
        let shown: Node = [
            "username": .string(user.name), "uid": .string(user.uid), "groups": Node(user.groups), "extra": .map(Fields(user.extra.map { ($0.key, Node($0.value)) })),
        ]
        for rule in userRules {
            guard try evaluated("user info validation", { () throws(EvaluationError) in try rule.expression.holds(shown) }) else {
                throw TokenFailure("error evaluating user info validation rule: validation expression '\(rule.expression.text)' failed: \(rule.message)")
            }
        }
    }
}

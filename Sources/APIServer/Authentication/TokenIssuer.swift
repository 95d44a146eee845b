import CEL
import Core
import Machinery
import Transport
import Tree

/// One entry of `jwt` in an AuthenticationConfiguration, checked and compiled: whose tokens are taken, and whom they stand for.
struct TokenIssuer: Sendable {
    struct Mapping: Sendable {
        var claim = ""
        var prefix = ""
        var expression: ClaimExpression?
    }

    struct Rule: Sendable {
        let expression: ClaimExpression
        let message: String
    }

    let url: String
    let discoveryURL: String?
    let audiences: [String]
    let authorities: [UInt8]?
    let username: Mapping
    let groups: Mapping
    let uid: Mapping
    let extra: [(key: String, value: ClaimExpression)]
    let required: [(claim: String, value: String)]
    let claimRules: [Rule]
    let userRules: [Rule]

    // MARK: - Reading

    init(_ node: Node, _ path: String, disallowed: [String], _ errors: inout [FieldError]) {
        let issuer = node["issuer"]
        url = issuer["url"].string ?? ""
        if url.isEmpty { errors.append(.required("\(path).issuer.url")) } else { TokenIssuer.check(url: url, "\(path).issuer.url", disallowed, &errors) }
        discoveryURL = issuer["discoveryURL"].string.flatMap { $0.isEmpty ? nil : $0 }
        if let discoveryURL {
            if discoveryURL.hasSuffix("/") ? String(discoveryURL.dropLast()) == url : discoveryURL == (url.hasSuffix("/") ? String(url.dropLast()) : url) {
                errors.append(.invalid("\(path).issuer.discoveryURL", quoted: discoveryURL, "discoveryURL must be different from URL"))
            }
            TokenIssuer.check(url: discoveryURL, "\(path).issuer.discoveryURL", [], &errors)
        }
        audiences = issuer["audiences"].stringList
        TokenIssuer.check(audiences: audiences, policy: issuer["audienceMatchPolicy"].string ?? "", "\(path).issuer", &errors)
        authorities = issuer["certificateAuthority"].string.flatMap { $0.isEmpty ? nil : Array($0.utf8) }
        if let authorities, (try? CertificatePool(pem: authorities)) == nil {
            errors.append(.invalid("\(path).issuer.certificateAuthority", quoted: "<omitted>", "data does not contain any valid RSA or ECDSA certificates"))
        }
        let mappings = node["claimMappings"]
        let field = "\(path).claimMappings"
        username = TokenIssuer.mapping(mappings["username"], "\(field).username", isRequired: true, hasPrefix: true, [.string], &errors)
        groups = TokenIssuer.mapping(mappings["groups"], "\(field).groups", isRequired: false, hasPrefix: true, [.string, .list(.string)], &errors)
        uid = TokenIssuer.mapping(mappings["uid"], "\(field).uid", isRequired: false, hasPrefix: false, [.string], &errors)
        extra = TokenIssuer.extra(mappings["extra"], "\(field).extra", &errors)
        (required, claimRules) = TokenIssuer.claimRules(node["claimValidationRules"], "\(path).claimValidationRules", &errors)
        userRules = TokenIssuer.userRules(node["userValidationRules"], "\(path).userValidationRules", &errors)
        if let expression = username.expression, expression.uses(claim: "email"),
            !([expression] + extra.map(\.value) + claimRules.map(\.expression)).contains(where: { $0.uses(claim: "email_verified") })
        {
            errors.append(
                .invalid(
                    "\(field).username.expression", quoted: expression.text,
                    "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression"
                ))
        }
    }

    private static func check(url: String, _ field: String, _ disallowed: [String], _ errors: inout [FieldError]) {
        if disallowed.contains(url) {
            errors.append(.invalid(field, quoted: url, "URL must not overlap with disallowed issuers: [\(disallowed.joined(separator: " "))]"))
        }
        if !url.hasPrefix("https://") { errors.append(.invalid(field, quoted: url, "URL scheme must be https")) }
        if let address = HTTPAddress(url), address.userInfo != nil { errors.append(.invalid(field, quoted: url, "URL must not contain a username or password")) }
        if url.contains("?") { errors.append(.invalid(field, quoted: url, "URL must not contain a query")) }
        if url.contains("#") { errors.append(.invalid(field, quoted: url, "URL must not contain a fragment")) }
    }

    private static func check(audiences: [String], policy: String, _ path: String, _ errors: inout [FieldError]) {
        if audiences.isEmpty { errors.append(.required("\(path).audiences", "at least one \(path).audiences is required")) }
        var seen: Set<String> = []
        for (index, audience) in audiences.enumerated() {
            if audience.isEmpty { errors.append(.required("\(path).audiences[\(index)]")) }
            if !seen.insert(audience).inserted { errors.append(.duplicate("\(path).audiences[\(index)]", FieldError.quoted(audience))) }
        }
        if audiences.count > 1, policy != "MatchAny" {
            errors.append(.invalid("\(path).audienceMatchPolicy", quoted: policy, "audienceMatchPolicy must be MatchAny for multiple audiences"))
        }
        if audiences.count == 1, !policy.isEmpty, policy != "MatchAny" {
            errors.append(.invalid("\(path).audienceMatchPolicy", quoted: policy, "audienceMatchPolicy must be empty or MatchAny for single audience"))
        }
    }

    private static func compiled(
        _ text: String, _ field: String, _ errors: inout [FieldError], _ make: (String) throws(ClaimExpression.Problem) -> ClaimExpression
    ) -> ClaimExpression? {
        do throws(ClaimExpression.Problem) { return try make(text) } catch {
            errors.append(.invalid(field, quoted: text, error.detail))
            return nil
        }
    }

    private static func mapping(
        _ node: Node, _ path: String, isRequired: Bool, hasPrefix: Bool, _ types: [CELType], _ errors: inout [FieldError]
    ) -> Mapping {
        var out = Mapping()
        out.claim = node["claim"].string ?? ""
        let text = node["expression"].string ?? ""
        switch (out.claim.isEmpty, text.isEmpty) {
        case (false, false): errors.append(.invalid(path, quoted: "", "claim and expression can't both be set"))
        case (true, true): if isRequired { errors.append(.required(path, "claim or expression is required")) }
        case (true, false):
            if hasPrefix, let prefix = node["prefix"].string {
                errors.append(.invalid("\(path).prefix", quoted: prefix, "may not be specified when expression is set"))
            }
            out.expression = compiled(text, "\(path).expression", &errors) { text throws(ClaimExpression.Problem) in
                try ClaimExpression(claims: text, returning: types)
            }
        case (false, true):
            if hasPrefix {
                if let prefix = node["prefix"].string { out.prefix = prefix } else {
                    errors.append(.required("\(path).prefix", "prefix is required when claim is set. It can be set to an empty string to disable prefixing"))
                }
            }
        }
        return out
    }

    private static func extra(_ node: Node, _ path: String, _ errors: inout [FieldError]) -> [(key: String, value: ClaimExpression)] {
        var out: [(key: String, value: ClaimExpression)] = []
        for (index, item) in node.list.enumerated() {
            let field = "\(path)[\(index)]"
            let key = item["key"].string ?? ""
            errors += FieldError.domainPrefixedPath(key, at: "\(field).key")
            if key != key.lowercased() { errors.append(.invalid("\(field).key", quoted: key, "must be lowercase")) }
            let domain = key.prefix { $0 != "/" }
            if ["k8s.io", "kubernetes.io"].contains(where: { domain == $0 || domain.hasSuffix(".\($0)") }) {
                errors.append(.invalid("\(field).key", quoted: key, "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"))
            }
            if out.contains(where: { $0.key == key }) { errors.append(.duplicate("\(field).key", FieldError.quoted(key))) }
            guard let text = item["valueExpression"].string, !text.isEmpty else {
                errors.append(.required("\(field).valueExpression"))
                continue
            }
            let value = compiled(text, "\(field).valueExpression", &errors) { text throws(ClaimExpression.Problem) in
                try ClaimExpression(claims: text, returning: [.string, .list(.string)])
            }
            if let value { out.append((key, value)) }
        }
        return out
    }

    private static func claimRules(_ node: Node, _ path: String, _ errors: inout [FieldError]) -> ([(claim: String, value: String)], [Rule]) {
        var required: [(claim: String, value: String)] = []
        var rules: [Rule] = []
        for (index, item) in node.list.enumerated() {
            let field = "\(path)[\(index)]"
            let claim = item["claim"].string ?? ""
            let text = item["expression"].string ?? ""
            let message = item["message"].string ?? ""
            switch (claim.isEmpty, text.isEmpty) {
            case (false, false): errors.append(.invalid(field, quoted: claim, "claim and expression can't both be set"))
            case (true, true): errors.append(.required(field, "claim or expression is required"))
            case (false, true):
                if !message.isEmpty { errors.append(.invalid("\(field).message", quoted: message, "may not be specified when claim is set")) }
                if required.contains(where: { $0.claim == claim }) { errors.append(.duplicate("\(field).claim", FieldError.quoted(claim))) }
                required.append((claim, item["requiredValue"].string ?? ""))
            case (true, false):
                if let value = item["requiredValue"].string, !value.isEmpty {
                    errors.append(.invalid("\(field).requiredValue", quoted: value, "may not be specified when expression is set"))
                }
                if rules.contains(where: { $0.expression.text == text }) { errors.append(.duplicate("\(field).expression", FieldError.quoted(text))) }
                let expression = compiled(text, "\(field).expression", &errors) { text throws(ClaimExpression.Problem) in
                    try ClaimExpression(claims: text, returning: [.bool])
                }
                if let expression { rules.append(Rule(expression: expression, message: message)) }
            }
        }
        return (required, rules)
    }

    private static func userRules(_ node: Node, _ path: String, _ errors: inout [FieldError]) -> [Rule] {
        var rules: [Rule] = []
        for (index, item) in node.list.enumerated() {
            let field = "\(path)[\(index)].expression"
            let text = item["expression"].string ?? ""
            if text.isEmpty { errors.append(.required(field)) }
            if rules.contains(where: { $0.expression.text == text }) { errors.append(.duplicate(field, FieldError.quoted(text))) }
            guard !text.isEmpty else { continue }
            let expression = compiled(text, field, &errors) { text throws(ClaimExpression.Problem) in try ClaimExpression(user: text) }
            if let expression { rules.append(Rule(expression: expression, message: item["message"].string ?? "")) }
        }
        return rules
    }
}

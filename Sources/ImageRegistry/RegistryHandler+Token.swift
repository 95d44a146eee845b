import Core
import Transport
import Tree

extension RegistryHandler {
    /// `/token`: GET as Docker's clients ask (basic auth, scopes in the query), POST as OAuth2 clients do (a form).
    func token(_ exchange: HTTPExchange) async throws {
        let request = exchange.request
        var items = request.queryItems
        var login = request.headers["authorization"].flatMap(Access.basic)
        switch request.method {
        case "GET": break
        case "POST":
            items += QueryItem.parse(String(decoding: try await exchange.body(limit: 64 << 10), as: UTF8.self))
            func item(_ name: String) -> String? { items.last { $0.name == name }?.value }
            if login == nil, let user = item("username"), let password = item("password") { login = (user, password) }
            // Refresh tokens are not issued; clients then go on with the password.
            if item("grant_type") == "refresh_token" { throw RegistryError(.unauthorized, "refresh tokens are not supported") }
        default: throw RegistryError(.unsupported)
        }
        var credential: RegistryCredential?
        if let login {
            credential = directory.authenticate(user: login.user, token: login.token)
            guard credential != nil else { return refuseLogin(exchange) }
        }
        let scopes = items.filter { $0.name == "scope" }.flatMap { $0.value.split(separator: " ").map(String.init) }
        let service = items.last { $0.name == "service" }?.value ?? ""
        let token = access.issue(to: credential, scopes.prefix(64).compactMap(AccessRequest.init(scope:)), service: service)
        let answer: Node = [
            "token": .string(token), "access_token": .string(token), "expires_in": .int(Access.lifetime),
            "issued_at": .string(Timestamp.now().rfc3339),
        ]
        var headers = RegistryHandler.json
        headers["cache-control"] = "no-store"
        exchange.respond(status: 200, headers: headers, body: JSONWriter.write(answer))
    }

    /// No bearer challenge here: it would send the client in a circle.
    private func refuseLogin(_ exchange: HTTPExchange) {
        let error = RegistryError(.unauthorized, "incorrect username or password")
        var headers = RegistryHandler.json
        headers["www-authenticate"] = "Basic realm=\"jangada\""
        exchange.respond(status: 401, headers: headers, body: error.body)
    }
}

import Core
import ImageRegistry
import Transport
import Tree

/// Registries, who may enter them, and the other names they answer to.
extension ControlAPI {
    private var service: RegistryService { cluster.registry }

    func registries(_ exchange: HTTPExchange, _ path: [String]) async throws {
        let service = service
        switch (exchange.request.method, path.count) {
        case ("GET", 0):
            answer(exchange, ["items": .list(try await BlockingThreads.shared.run { service.registries.registries().map { service.node($0) } })])
        case ("POST", 0):
            let wanted = try await body(exchange)
            let name = try required(wanted, "name")
            let made = try await BlockingThreads.shared.run {
                service.node(try service.registries.create(name, isPublic: wanted["public"].bool ?? false))
            }
            answer(exchange, made, status: 201)
        case ("DELETE", 1):
            try await BlockingThreads.shared.run {
                try service.registries.delete(path[0])
                try service.repositories.removeRegistry(path[0])
            }
            answer(exchange, [:])
        case ("GET", 2) where path[1] == "repositories":
            guard service.registries.registry(path[0]) != nil else { throw ControlFailure(404, "registry \"\(path[0])\" not found") }
            let items = try await BlockingThreads.shared.run {
                service.repositories.listing(of: path[0]).map { entry -> Node in
                    ["repository": .string(entry.repository), "tags": Node(entry.tags)]
                }
            }
            answer(exchange, ["items": .list(items)])
        default: throw ControlFailure(405, "\(exchange.request.method) is not for \(exchange.request.path)")
        }
    }

    func credentials(_ exchange: HTTPExchange, _ path: [String]) async throws {
        let service = service
        switch (exchange.request.method, path.count) {
        case ("GET", 0):
            let registry = query(exchange, "registry")
            if let registry, service.registries.registry(registry) == nil { throw ControlFailure(404, "registry \"\(registry)\" not found") }
            answer(exchange, ["items": .list(service.registries.credentials(of: registry).map { RegistryService.node($0) })])
        case ("POST", 0):
            let wanted = try await body(exchange)
            let registry = try required(wanted, "registry")
            let scopes = try ControlAPI.scopes(wanted["scopes"].stringList)
            let made = try await BlockingThreads.shared.run {
                try service.registries.createCredential(registry: registry, user: wanted["user"].string, scopes: scopes)
            }
            answer(exchange, RegistryService.node(made.credential, token: made.token), status: 201)
        case ("POST", 2) where path[1] == "rotate":
            let made = try await BlockingThreads.shared.run { try service.registries.rotateCredential(path[0]) }
            answer(exchange, RegistryService.node(made.credential, token: made.token))
        case ("DELETE", 1):
            try await BlockingThreads.shared.run { try service.registries.deleteCredential(path[0]) }
            answer(exchange, [:])
        default: throw ControlFailure(405, "\(exchange.request.method) is not for \(exchange.request.path)")
        }
    }

    private static func scopes(_ names: [String]) throws -> Set<RegistryScope> {
        guard !names.isEmpty else { return Set(RegistryScope.allCases) }
        return Set(
            try names.map { name in
                guard let scope = RegistryScope(rawValue: name) else {
                    throw ControlFailure(400, "no such scope: \(name)", hint: "Scopes are pull, push and delete.")
                }
                return scope
            })
    }

    func aliases(_ exchange: HTTPExchange, _ path: [String]) async throws {
        let service = service
        switch (exchange.request.method, path.count) {
        case ("GET", 0): break
        case ("PUT", 1): try await BlockingThreads.shared.run { try service.setAlias(path[0], true) }
        case ("DELETE", 1): try await BlockingThreads.shared.run { try service.setAlias(path[0], false) }
        default: throw ControlFailure(405, "\(exchange.request.method) is not for \(exchange.request.path)")
        }
        let names = try await BlockingThreads.shared.run { try service.aliases() }
        answer(exchange, ["items": Node(names)])
    }
}

extension RegistryService {
    fileprivate func node(_ registry: NamedRegistry) -> Node {
        let usage = repositories.usage(of: registry.name)
        return [
            "name": .string(registry.name), "created": .string(registry.created.rfc3339), "public": .bool(registry.isPublic),
            "repositories": .int(Int64(usage.repositories)), "tags": .int(Int64(usage.tags)), "bytes": .int(usage.bytes),
            "address": .string("localhost:\(port)/\(registry.name)"),
        ]
    }

    fileprivate static func node(_ credential: RegistryCredential, token: String? = nil) -> Node {
        var node: Node = [
            "id": .string(credential.id), "registry": .string(credential.registry), "user": .string(credential.user),
            "scopes": Node(credential.scopes.map(\.rawValue).sorted()), "created": .string(credential.created.rfc3339),
        ]
        if let token { node["token"] = .string(token) }
        return node
    }
}

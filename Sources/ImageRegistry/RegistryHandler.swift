package import Core
import Logging
import OCI
import Synchronization
package import Transport
import Tree

/// The OCI distribution API v1.1 over the node's own content store. Private: what a caller may not see looks as if it were not there.
package final class RegistryHandler: HTTPHandler {
    let directory: RegistryDirectory
    let repositories: RepositoryStore
    let access: Access
    let uploads: Uploads
    let threads: BlockingThreads
    private let logger = Logger(label: "registry")

    package init(
        directory: RegistryDirectory, repositories: RepositoryStore, threads: BlockingThreads = .shared,
        clock: any TimeSource = SystemTime()
    ) {
        self.directory = directory
        self.repositories = repositories
        self.threads = threads
        access = Access(directory: directory, clock: clock)
        uploads = Uploads(content: repositories.content, clock: clock)
    }

    package func handle(_ exchange: HTTPExchange) async {
        do {
            guard let route = try Route(path: exchange.request.path) else {
                exchange.respond(status: 404, headers: RegistryHandler.text, body: Array("404 page not found\n".utf8))
                return
            }
            if route == .token { return try await token(exchange) }
            try authorize(exchange.request, route)
            try await serve(exchange, route)
        } catch let error as RegistryError {
            refuse(exchange, error)
        } catch let error as ImageError {
            refuse(exchange, RegistryHandler.mapped(error))
        } catch let error as SystemFailure where error.isDiskFull {
            refuse(exchange, .full)
        } catch TransportError.bodyTooLarge(let limit) {
            refuse(exchange, RegistryError(.sizeInvalid, "body is larger than \(limit) bytes"))
        } catch TransportError.closed {
            exchange.abort()
        } catch {
            logger.error("request failed", metadata: ["path": "\(exchange.request.path)", "error": "\(error)"])
            refuse(exchange, RegistryError(.unknown))
        }
    }

    private func serve(_ exchange: HTTPExchange, _ route: Route) async throws {
        let method = exchange.request.method
        switch (route, method) {
        case (.base, "GET"), (.base, "HEAD"): exchange.respond(status: 200, headers: RegistryHandler.json, body: Array("{}".utf8))
        case (.catalog, "GET"): try catalog(exchange)
        case (.tags(let name), "GET"): try tags(exchange, name)
        case (.referrers(let name, let digest), "GET"): try referrers(exchange, name, digest)
        case (.manifest(let name, let reference), "GET"), (.manifest(let name, let reference), "HEAD"):
            try await manifest(exchange, name, reference)
        case (.manifest(let name, let reference), "PUT"): try await putManifest(exchange, name, reference)
        case (.manifest(let name, let reference), "DELETE"): try await deleteManifest(exchange, name, reference)
        case (.blob(let name, let digest), "GET"), (.blob(let name, let digest), "HEAD"): try await blob(exchange, name, digest)
        case (.blob(let name, let digest), "DELETE"): try deleteBlob(exchange, name, digest)
        case (.uploads(let name), "POST"): try await startUpload(exchange, name)
        case (.upload(let name, let id), "PATCH"): try await patchUpload(exchange, name, id)
        case (.upload(let name, let id), "PUT"): try await finishUpload(exchange, name, id)
        case (.upload(let name, let id), "GET"): try uploadStatus(exchange, name, id)
        case (.upload(let name, let id), "DELETE"): try cancelUpload(exchange, name, id)
        default: throw RegistryError(.unsupported)
        }
    }

    // MARK: - Who may

    private func authorize(_ request: HTTPRequest, _ route: Route) throws {
        let caller = try access.caller(request.headers["authorization"])
        guard let name = route.repository else {
            // The base tells clients how to log in; anonymous callers learn it here.
            if case .anonymous = caller { throw RegistryError(.unauthorized) }
            if case .bearer(nil, _) = caller { throw RegistryError(.unauthorized) }
            return
        }
        let wanted = AccessRequest(name, route.actions(request.method))
        if access.check(caller, wanted) { return }
        // Proven by name and token, and still not allowed: another login would not help.
        if case .credential = caller { throw RegistryError(.denied, detail: detail(wanted)) }
        throw RegistryError(.unauthorized, detail: detail(wanted))
    }

    private func scope(_ request: HTTPRequest, _ route: Route) -> String? {
        route.repository.map { AccessRequest($0, route.actions(request.method)).scope }
    }

    private func detail(_ wanted: AccessRequest) -> Node {
        .list(
            wanted.actions.map(\.rawValue).sorted().map {
                ["Type": "repository", "Class": "", "Name": .string(wanted.repository), "Action": .string($0)]
            })
    }

    func refuse(_ exchange: HTTPExchange, _ error: RegistryError) {
        var headers = RegistryHandler.json
        if error.status == 401 { headers["www-authenticate"] = challenge(exchange.request) }
        if error.code == .rangeInvalid, let range = error.detail["range"].string { headers["range"] = range }
        exchange.respond(status: error.status, headers: headers, body: error.body)
    }

    private func challenge(_ request: HTTPRequest) -> String {
        let host = request.host ?? "localhost"
        var text = "Bearer realm=\"\(request.isTLS ? "https" : "http")://\(host)/token\",service=\"\(host)\""
        if let route = try? Route(path: request.path), let scope = scope(request, route) {
            text += ",scope=\"\(scope)\""
            // A token that lacks the scope is told so; containerd then says who refused.
            if request.headers["authorization"] != nil { text += ",error=\"insufficient_scope\"" }
        } else if request.headers["authorization"] != nil {
            text += ",error=\"invalid_token\""
        }
        return text
    }

    // MARK: - Common

    static let json: HTTPHeaders = ["content-type": "application/json; charset=utf-8", "docker-distribution-api-version": "registry/2.0"]
    static let text: HTTPHeaders = ["content-type": "text/plain; charset=utf-8"]
    static let plain: HTTPHeaders = ["docker-distribution-api-version": "registry/2.0"]

    static func digest(_ text: String) throws -> ContentDigest {
        do { return try ContentDigest(parsing: text) } catch {
            throw RegistryError(.digestInvalid, error.message, detail: ["digest": .string(text)])
        }
    }

    private static func mapped(_ error: ImageError) -> RegistryError {
        if let failure = error.failure, failure.isDiskFull { return .full }
        return switch error.kind {
        case .corrupt: RegistryError(.digestInvalid, detail: .string(error.message))
        case .invalid, .unsupported: RegistryError(.manifestInvalid, error.message)
        case .limit: RegistryError(.sizeInvalid, error.message)
        case .notFound: RegistryError(.blobUnknown)
        case .busy: RegistryError(.blobUploadInvalid, error.message)
        default: RegistryError(.unknown, error.message)
        }
    }
}

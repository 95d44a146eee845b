import Core
import ImageRegistry
import Logging
import OCI
package import Transport
import Tree

/// The commands of this program's own client, as HTTP on a unix socket that only root may open (0600). Requests and answers are
/// JSON; what takes long answers as a `ControlStream`. Paths in requests are the daemon's: both are on one machine, and both root.
package struct ControlAPI: HTTPHandler {
    let cluster: any ControlledCluster
    private let log = Logger(label: "control")
    static let bodyLimit = 4 << 20

    package init(_ cluster: any ControlledCluster) { self.cluster = cluster }

    /// A server for it on the cluster's own socket; the caller starts it and shuts it down.
    package static func server(_ cluster: any ControlledCluster) -> HTTPServer {
        HTTPServer(listeners: [.unix(path: cluster.directory.controlSocket, mode: 0o600)], handler: ControlAPI(cluster))
    }

    package func handle(_ exchange: HTTPExchange) async {
        let request = exchange.request
        do {
            let path = request.path.split(separator: "/").map { PercentEncoding.decode(String($0)) }
            guard path.first == "v1" else { throw ControlFailure(404, "no such path: \(request.path)") }
            try await route(exchange, Array(path.dropFirst()))
        } catch {
            let failure = ControlFailure(error)
            if failure.status >= 500 { log.warning("command failed", metadata: ["path": "\(request.path)", "error": "\(error)"]) }
            answer(exchange, ["error": failure.node], status: failure.status == 499 ? 500 : failure.status)
        }
    }

    private func route(_ exchange: HTTPExchange, _ path: [String]) async throws {
        switch (exchange.request.method, path.first, path.count) {
        case ("GET", "status", 1): answer(exchange, try await status())
        case ("POST", "ready", 1):
            await ControlStream.run(exchange) { stream in
                try await cluster.waitUntilReady { stream.progress($0) }
                return try await status()
            }
        case ("POST", "stop", 1):
            let wanted = try await body(exchange)
            await ControlStream.run(exchange) { stream in
                try await cluster.stop(keeping: wanted["keep"].bool ?? false, grace: .seconds(wanted["grace"].int ?? 0)) { stream.progress($0) }
                return [:]
            }
        case ("GET", "kubeconfig", 1):
            answer(exchange, try Kubeconfig(path: cluster.directory.adminKubeconfig).node)
        case (_, "registries", _): try await registries(exchange, Array(path.dropFirst()))
        case (_, "credentials", _): try await credentials(exchange, Array(path.dropFirst()))
        case (_, "aliases", _): try await aliases(exchange, Array(path.dropFirst()))
        case (_, "images", _): try await images(exchange, Array(path.dropFirst()))
        case (_, "emulated-nodes", _): try await emulatedNodes(exchange, Array(path.dropFirst()))
        case ("GET", "explain", 1): try await explain(exchange)
        case ("POST", "build", 1): try await build(exchange)
        default: throw ControlFailure(404, "no such path: \(exchange.request.path)")
        }
    }

    /// The cluster's own status, with what the registry and the image store hold.
    func status() async throws -> Node {
        var node = try await cluster.status()
        let service = cluster.registry
        node["registry"] = [
            "address": .string("localhost:\(service.port)"), "registries": .list(service.registries.registries().map { .string($0.name) }),
        ]
        let images = await BlockingThreads.shared.run { service.images.list() }
        node["images"] = ["count": .int(Int64(images.count)), "bytes": .int(images.reduce(0) { $0 + $1.size })]
        return node
    }

    // MARK: - Requests and answers

    func answer(_ exchange: HTTPExchange, _ node: Node, status: Int = 200) {
        exchange.respond(status: status, headers: ["content-type": "application/json"], body: JSONWriter.write(node))
    }

    func body(_ exchange: HTTPExchange) async throws -> Node {
        let bytes = try await exchange.body(limit: ControlAPI.bodyLimit)
        guard !bytes.isEmpty else { return .emptyMap }
        do { return try JSONReader.read(bytes) } catch { throw ControlFailure(400, "the request is no JSON: \(error)") }
    }

    func required(_ node: Node, _ key: String) throws -> String {
        guard let text = node[key].string, !text.isEmpty else { throw ControlFailure(400, "\"\(key)\" is missing") }
        return text
    }

    func query(_ exchange: HTTPExchange, _ name: String) -> String? {
        exchange.request.queryItems.first { $0.name == name }.map(\.value)
    }
}

import Core
import Machinery
import Schema
package import Store
import Synchronization
import Transport
import Tree

/// The servers behind APIServices: how they are reached, and what they said they serve.
package final class AggregatedAPIs: Sendable {
    /// What a server told of one of its group versions.
    struct Description: Sendable {
        /// Resources as the aggregated discovery document has them.
        var resources: [Node] = []
        /// Of the OpenAPI v3 document, with its hash.
        var openAPI: String?
        /// What of the OpenAPI v2 document is about this group version.
        var openAPIv2 = Node.null
    }

    private struct Trust: Hashable {
        let authorities: [UInt8]?
        let isInsecure: Bool
        let serverName: String
    }

    private struct State {
        var clients: [Trust: HTTPClient] = [:]
        var descriptions: [GroupVersion: Description] = [:]
        var generation = 0
    }

    let table: APIServiceTable
    private let resolver: ServiceResolver
    private let frontProxy: FrontProxy
    private let state = Mutex(State())

    package init(_ store: Store, frontProxy: FrontProxy) throws(StoreError) {
        table = try APIServiceTable(store)
        resolver = ServiceResolver(store)
        self.frontProxy = frontProxy
    }

    /// Changes whenever discovery or OpenAPI do.
    var generation: Int { table.generation &+ state.withLock { $0.generation } }

    func client(for entry: APIServiceTable.Entry) -> HTTPClient {
        let trust = Trust(authorities: entry.authorities, isInsecure: entry.isInsecure, serverName: "\(entry.service).\(entry.namespace).svc")
        return state.withLock { state in
            if let found = state.clients[trust] { return found }
            let made = HTTPClient(
                tls: ClientTLS(
                    roots: trust.authorities, insecure: trust.isInsecure, identity: frontProxy.identity, serverName: trust.serverName),
                connectTimeout: .seconds(10))
            state.clients[trust] = made
            return made
        }
    }

    func endpoint(of entry: APIServiceTable.Entry) throws(APIError) -> HTTPEndpoint {
        let address = try resolver.resolve(namespace: entry.namespace, name: entry.service, port: entry.port)
        return HTTPEndpoint(isTLS: true, host: address.host, port: address.port)
    }

    // MARK: - What they serve

    func description(_ groupVersion: GroupVersion) -> Description? { state.withLock { $0.descriptions[groupVersion] } }

    func set(_ description: Description?, for groupVersion: GroupVersion) {
        state.withLock { state in
            let old = state.descriptions[groupVersion]
            if old?.resources == description?.resources, old?.openAPI == description?.openAPI, old?.openAPIv2 == description?.openAPIv2 { return }
            state.descriptions[groupVersion] = description
            state.generation += 1
        }
    }

    /// The aggregator itself, who may see everything.
    static let aggregator = UserInfo(name: "system:kube-aggregator", groups: ["system:masters"])

    /// A GET as somebody of this process.
    func get(_ target: String, of entry: APIServiceTable.Entry, as user: UserInfo = aggregator, limit: Duration = .seconds(5)) async throws -> (status: Int, body: [UInt8]) {
        let endpoint = try endpoint(of: entry)
        var headers = FrontProxy.headers(user)
        headers.append("Accept", "application/json")
        let request = HTTPClientRequest("GET", endpoint, target, headers: headers, timeout: limit)
        let client = client(for: entry)
        return try await Deadline.within(limit) {
            let answer = try await client.send(request)
            return (answer.status, try await answer.body(limit: 32 << 20))
        }
    }
}

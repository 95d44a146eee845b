package import APIServer
import Client
import Core
import Logging
import Machinery
import Schema
package import Store
import Transport

/// The API server of one cluster with its store, put together and running.
package final class ControlPlane: Sendable {
    package struct Options: Sendable {
        package var location: Store.Location
        /// Host and port to listen on.
        package var host = "127.0.0.1"
        package var port = 6443
        package var serviceCIDR = "10.96.0.0/16"
        package init(location: Store.Location) { self.location = location }
    }

    package let store: Store
    package let catalog: ResourceCatalog
    package let writer: ObjectWriter
    /// Nodes add themselves, so that logs and sessions reach them.
    package let streams = NodeStreamsDirectory()
    private let posts: [String: any PostSubresource]
    private let server: HTTPServer
    private let log = Logger(label: "controlplane")

    package init(_ options: Options, pki: ClusterPKI) throws {
        store = try Store(options.location)
        catalog = ResourceCatalog(graph: Graph.builtIn)
        let conversion = BuiltInConversion()
        let tokens = ServiceAccountTokens(key: pki.serviceAccountKey, store: store)
        writer = ObjectWriter(
            store: store, admission: AdmissionChain([]), conversion: conversion, checks: ObjectChecks())
        posts = [
            "pods/binding": BindingAction(writer: writer), "pods/eviction": EvictionAction(writer: writer, catalog: catalog, store: store),
            "serviceaccounts/token": TokenAction(tokens: tokens, store: store),
        ]
        var subresources: [String: any SubresourceHandler] = posts.mapValues { PostHandler($0) }
        subresources["*/scale"] = ScaleSubresource()
        for (name, kind) in [("log", PodStreamHandler.Kind.log), ("exec", .exec), ("attach", .attach), ("portforward", .portForward)] {
            subresources["pods/\(name)"] = PodStreamHandler(kind, nodes: streams)
        }
        let authenticators = AuthenticatorChain([CertificateAuthenticator(pool: try CertificatePool(pem: pki.authority.identity.certificatePEM)), tokens])
        let health = HealthChecks(serviceAccountKey: tokens.publicKey)
        let api = APIServer(
            .init(
                store: store, catalog: catalog, writer: writer, authenticators: authenticators, authorizer: RBACAuthorizer(store: store),
                conversion: conversion, subresources: subresources, health: health))
        server = HTTPServer(
            listeners: [.tcp(host: options.host, port: options.port)], tls: try ServerTLS(identity: pki.server, requestClientCertificates: true), handler: api)
    }

    /// The API as one of this process's parts sees it.
    package func client(as name: String) -> InProcessClient {
        InProcessClient(
            store: store, catalog: catalog, writer: writer, posts: posts,
            user: UserInfo(name: name, groups: ["system:masters", "system:authenticated"]))
    }

    /// Listens, then makes what every cluster starts with. Returns the addresses.
    package func start() async throws -> [String] {
        let addresses = try await server.start()
        try await BootstrapObjects(client: client(as: "system:apiserver"), catalog: catalog).ensureAll()
        log.info("the api is ready", metadata: ["addresses": "\(addresses)"])
        return addresses
    }

    /// The port of the API.
    package var port: Int { server.port ?? 0 }

    package func stop() async {
        await server.shutdown()
        store.close()
    }
}

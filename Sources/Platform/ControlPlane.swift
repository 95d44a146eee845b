package import APIServer
import Client
import Controllers
import Core
import Logging
import Machinery
import Schema
package import Store
import Synchronization
import Transport

/// The API server of one cluster with its store, put together and running.
package final class ControlPlane: Sendable {
    package struct Options: Sendable {
        package var location: Store.Location
        /// Host and port to listen on.
        package var host = "127.0.0.1"
        package var port = 6443
        package var serviceCIDR = "10.96.0.0/16"
        /// Where pods and nodes reach the API: what the `kubernetes` service leads to. Port nil: the one listened on.
        /// More addresses to listen on, for pods: of links that are there when `start` is called.
        package var furtherHosts: [String] = []
        package var advertisedAddress = "127.0.0.1"
        package var advertisedPort: Int?
        /// What was chosen about the API server, and where files of its own are; nil for none.
        package var api = APIServerOptions()
        package var directory: StateDirectory?
        /// False leaves what upstream's kube-controller-manager does to somebody else.
        package var isControllerManager = true
        package init(location: Store.Location) { self.location = location }
    }

    package let store: Store
    package let catalog: ResourceCatalog
    package let writer: ObjectWriter
    /// Nodes add themselves, so that logs and sessions reach them.
    package let streams = NodeStreamsDirectory()
    private let posts: [String: any PostSubresource]
    private let podMetrics: MetricsResources
    private let customMetrics: CustomMetrics
    /// What signs certificates that are asked for through the API.
    let issuer: any CertificateIssuer
    private let services: ServiceAllocation
    private let tokens: ServiceAccountTokens
    private let webhooks: WebhookClient
    private let following: AuthenticationSetup
    private let audit: (log: AuditLog, webhook: AuditWebhook?)?
    private let aggregation: AggregatedAPIs
    private let authentication: ExtensionAuthentication.Trust
    private let background = Mutex<[Task<Void, Never>]>([])
    private let options: Options
    private let server: HTTPServer
    private let log = Logger(label: "controlplane")

    package init(_ options: Options, pki: ClusterPKI) throws {
        store = try Store(options.location)
        catalog = ResourceCatalog(graph: Graph.builtIn)
        let conversion = BuiltInConversion()
        tokens = ServiceAccountTokens(key: pki.serviceAccountKey, store: store)
        self.options = options
        audit = try options.directory.flatMap { try AuditSetup.make(options.api, $0) }
        guard let services = ServiceAllocation(cidr: options.serviceCIDR, store: store) else {
            throw APIError.badRequest("the range of service addresses \(options.serviceCIDR) is not an IPv4 prefix of 8 to 30 bits")
        }
        self.services = services
        let authorizer = RBACAuthorizer(store: store)
        webhooks = WebhookClient(ServiceResolver(store))
        let selection = try options.api.admission()
        issuer = ClusterIssuer(pki.authority, authorizer)
        writer = ObjectWriter(
            store: store,
            admission: .standard(store, authorizer, catalog: catalog, conversion: conversion, webhooks: webhooks, selection: selection), stages: ["services": services],
            charge: selection.includes("ResourceQuota") ? ResourceQuotaAdmission(store, catalog: catalog) : nil, conversion: conversion, checks: ObjectChecks())
        posts = [
            "pods/binding": BindingAction(writer: writer), "pods/eviction": EvictionAction(writer: writer, catalog: catalog, store: store),
            "serviceaccounts/token": TokenAction(tokens: tokens, store: store),
        ]
        var subresources: [String: any SubresourceHandler] = posts.mapValues { PostHandler($0) }
        subresources["*/scale"] = ScaleSubresource()
        for (name, kind) in [("log", PodStreamHandler.Kind.log), ("exec", .exec), ("attach", .attach), ("portforward", .portForward)] {
            subresources["pods/\(name)"] = PodStreamHandler(kind, nodes: streams)
        }
        let forwarder = Forwarder()
        for kind in [ProxySubresource.Kind.pods, .services, .nodes] {
            subresources["\(kind.rawValue)/proxy"] = ProxySubresource(kind, forwarder: forwarder, nodes: streams)
        }
        aggregation = try AggregatedAPIs(store, frontProxy: pki.frontProxy)
        authentication = .init(clientAuthority: pki.authority.identity.certificatePEM, frontProxy: pki.frontProxy)
        let introduced = RequestHeaderAuthenticator(pool: try CertificatePool(pem: pki.frontProxy.authority), allowedNames: [FrontProxy.commonName])
        following = try AuthenticationSetup(options.api, options.directory)
        let bearers: [any TokenAuthenticator] = (following.file.map { [$0] } ?? []) + [BootstrapTokenAuthenticator(store: store)]
        let certificates = CertificateAuthenticator(pool: try CertificatePool(pem: pki.authority.identity.certificatePEM))
        let authenticators = AuthenticatorChain([introduced, certificates, tokens] + bearers, configured: following.configured)
        let reviews = TokenReview(tokens, others: bearers + [following.configured])
        let usage = UsageSource(streams)
        podMetrics = MetricsResources(.pods, usage, store)
        customMetrics = CustomMetrics(store, catalog)
        let metrics = RequestMetrics(store)
        let flowControl = FlowControl(store)
        let health = HealthChecks(serviceAccountKey: tokens.publicKey) { [audit] in metrics.text() + flowControl.metrics() + (audit?.log.metrics() ?? "") }
        health.add("log") { true }
        // Upstream's name for what keeps the objects; a store that cannot be read is gone with its process.
        health.add("etcd") { [store] in store.currentRevision >= 0 }
        let api = APIServer(
            .init(
                store: store, catalog: catalog, writer: writer, authenticators: authenticators, authorizer: authorizer,
                conversion: conversion, subresources: subresources,
                virtuals: ControlPlane.virtuals(store, catalog, authorizer, reviews, posts["pods/binding"], usage), health: health, aggregation: aggregation,
                metrics: metrics, flowControl: flowControl, audit: audit?.log, embedded: [customMetrics]))
        server = HTTPServer(
            listeners: ([options.host] + options.furtherHosts).map { .tcp(host: $0, port: options.port) }, tls: try ServerTLS(identity: pki.server, requestClientCertificates: true), handler: api)
    }

    /// The resources that are answered without the store.
    private static func virtuals(
        _ store: Store, _ catalog: ResourceCatalog, _ authorizer: RBACAuthorizer, _ reviews: TokenReview, _ binding: (any PostSubresource)?,
        _ usage: UsageSource
    ) -> [String: any VirtualResource] {
        var out: [String: any VirtualResource] = [
            "authorization.k8s.io/selfsubjectaccessreviews": AccessReviews(authorizer, .own),
            "authorization.k8s.io/subjectaccessreviews": AccessReviews(authorizer, .named),
            "authorization.k8s.io/localsubjectaccessreviews": AccessReviews(authorizer, .local),
            "authorization.k8s.io/selfsubjectrulesreviews": RulesReview(authorizer), "authentication.k8s.io/selfsubjectreviews": SelfReview(),
            "authentication.k8s.io/tokenreviews": reviews, "componentstatuses": ComponentStatuses(store),
            "metrics.k8s.io/nodes": MetricsResources(.nodes, usage, store), "metrics.k8s.io/pods": MetricsResources(.pods, usage, store),
        ]
        if let binding { out["bindings"] = NamespaceBindings(binding, catalog: catalog) }
        return out
    }

    /// The API as one of this process's parts sees it.
    package func client(as name: String) -> InProcessClient {
        InProcessClient(
            store: store, catalog: catalog, writer: writer, posts: posts,
            user: UserInfo(name: name, groups: ["system:masters", "system:authenticated"]))
    }

    /// What autoscalers ask of the API.
    var scaling: any ScalingSource {
        AutoscalingAPI(
            catalog: catalog, client: client(as: "system:kube-controller-manager"), aggregation: aggregation, customMetrics: customMetrics,
            metrics: { [podMetrics, catalog] namespace in
                guard let resource = catalog.resource(.init(group: "metrics.k8s.io", version: "v1beta1", resource: "pods")) else { return [] }
                return try await podMetrics.list(resource, namespace: namespace)
            })
    }

    /// Listens, then makes what every cluster starts with. Returns the addresses.
    package func start() async throws -> [String] {
        let custom = CustomResources(store: store, catalog: catalog, client: client(as: "system:apiextensions"), webhooks: webhooks)
        custom.load()
        if let webhook = audit?.webhook { Task { await webhook.run() } }
        background.withLock { $0.append(Task { [following] in await following.run() }) }
        let addresses = try await server.start()
        try await BootstrapObjects(client: client(as: "system:apiserver"), catalog: catalog).ensureAll()
        try await ExtensionAuthentication(client: client(as: "system:apiserver"), authentication).ensure()
        try await LegacyTokenTracking(client: client(as: "system:apiserver")).ensure()
        try await ClusterService(
            client: client(as: "system:apiserver"), address: options.advertisedAddress, port: options.advertisedPort ?? port,
            serviceAddress: services.firstAddress, cidr: services.cidr
        ).ensure()
        let services = APIServiceController(store: store, catalog: catalog, client: client(as: "system:kube-aggregator"), apis: aggregation)
        let checks = PolicyTypeChecks(catalog: catalog, client: client(as: "system:kube-controller-manager"))
        let schemas = FlowSchemaConditions(catalog: catalog, writer: writer, client: client(as: "system:apiserver"))
        background.withLock { $0 += [Task { await custom.run() }, Task { await services.run() }, Task { await schemas.run() }] }
        let (tracking, uses) = (LegacyTokenTracking(client: client(as: "system:apiserver")), tokens.uses)
        background.withLock { $0.append(Task { await tracking.note(uses) }) }
        if options.isControllerManager {
            let kept = AccountTokenSecrets(
                client: client(as: "system:kube-controller-manager"), tokens: tokens, authority: authentication.clientAuthority)
            background.withLock { $0 += [Task { await checks.run() }, Task { await kept.run() }] }
        }
        log.info("the api is ready", metadata: ["addresses": "\(addresses)"])
        return addresses
    }

    /// The port of the API.
    package var port: Int { server.port ?? 0 }

    package func stop() async {
        for task in background.withLock({ $0 }) { task.cancel() }
        await server.shutdown()
        await audit?.log.close()
        store.close()
    }
}

package import Client
import Core
import Logging
import Machinery
import Schema
package import Store
import Synchronization
import Tree

/// Keeps APIServices true: one for each group version of this server, and of the others whether they answer.
package final class APIServiceController: Sendable {
    private static let services = GroupVersionResource(group: "apiregistration.k8s.io", version: "v1", resource: "apiservices")
    private static let managed = "kube-aggregator.kubernetes.io/automanaged"
    private static let recheck = Duration.seconds(30)

    private let store: Store
    private let catalog: ResourceCatalog
    private let client: any ClusterClient
    private let availability: APIServiceAvailability
    private let bell = Mutex(OneShot())
    private let log = Logger(label: "apiservices")

    package init(store: Store, catalog: ResourceCatalog, client: any ClusterClient, apis: AggregatedAPIs) {
        self.store = store
        self.catalog = catalog
        self.client = client
        availability = APIServiceAvailability(store: store, apis: apis)
    }

    /// Works until cancelled.
    package func run() async {
        catalog.observe { [weak self] in self?.ring() }
        let sink = ServiceEvents(availability.apis.table) { [weak self] in self?.ring() }
        var subscriptions: [WatchSubscription] = []
        for collection in [APIServiceTable.collection, "services", "discovery.k8s.io/endpointslices"] {
            if let subscription = try? store.watch(WatchInterest(collection), sink: sink) {
                sink.attach(subscription, collection)
                subscriptions.append(subscription)
            }
        }
        defer { for subscription in subscriptions { subscription.cancel() } }
        var wait = Duration.milliseconds(100)
        while !Task.isCancelled {
            let shot = OneShot()
            bell.withLock { $0 = shot }
            let isGood = await settle()
            wait = isGood ? APIServiceController.recheck : min(wait * 2, APIServiceController.recheck)
            // Without other servers only changes matter.
            let isIdle = isGood && availability.apis.table.entries.isEmpty
            if await shot.fired(within: isIdle ? .seconds(86400) : wait) { wait = .milliseconds(100) }
        }
    }

    private func ring() { bell.withLock { $0 }.fire() }

    private func settle() async -> Bool {
        do {
            try await register()
            var isGood = true
            for entry in availability.apis.table.entries where try await !check(entry) { isGood = false }
            return isGood
        } catch {
            log.warning("api services could not be settled", metadata: ["error": "\(error)"])
            return false
        }
    }

    // MARK: - This server's own

    private func register() async throws {
        var wanted: [String: (groupVersion: GroupVersion, isCustom: Bool)] = [:]
        for served in catalog.all {
            let groupVersion = GroupVersion(group: served.group, version: served.resource.version)
            guard served.isCustom || APIServicePriorities.of(groupVersion) != nil else { continue }
            wanted["\(groupVersion.version).\(groupVersion.group)"] = (groupVersion, served.isCustom)
        }
        for record in try store.list(APIServiceTable.collection).records {
            let node = try record.node()
            if let entry = wanted.removeValue(forKey: node.name) {
                guard node.labels[APIServiceController.managed] != nil else { continue }
                try await report(node)
                _ = entry
            } else if node.labels[APIServiceController.managed] != nil {
                try await ignoringRaces { _ = try await client.delete(APIServiceController.services, ObjectKey("", node.name), DeleteOptions(uid: node.uid)) }
            }
        }
        for (name, entry) in wanted.sorted(by: { $0.key < $1.key }) {
            let priority = APIServicePriorities.of(entry.groupVersion) ?? (1000, 100)
            let object: Node = [
                "kind": "APIService", "apiVersion": "apiregistration.k8s.io/v1",
                "metadata": ["name": .string(name), "labels": [APIServiceController.managed: entry.isCustom ? "true" : "onstart"]],
                "spec": [
                    "group": .string(entry.groupVersion.group), "version": .string(entry.groupVersion.version),
                    "groupPriorityMinimum": .int(entry.isCustom ? 1000 : priority.group), "versionPriority": .int(entry.isCustom ? 100 : priority.version),
                ],
            ]
            try await ignoringRaces { try await report(try await client.create(APIServiceController.services, namespace: "", object)) }
        }
    }

    private func report(_ node: Node) async throws {
        try await set(node, status: "True", reason: "Local", message: "Local APIServices are always available")
    }

    // MARK: - Others

    private func check(_ entry: APIServiceTable.Entry) async throws -> Bool {
        let outcome = await availability.check(entry)
        guard let record = store.get(Key(APIServiceTable.collection, name: entry.name)) else { return true }
        try await set(try record.node(), status: outcome.isAvailable ? "True" : "False", reason: outcome.reason, message: outcome.message)
        return outcome.isAvailable
    }

    private func set(_ node: Node, status: String, reason: String, message: String) async throws {
        var conditions = node["status"]["conditions"].list
        let index = conditions.firstIndex { $0["type"].string == "Available" }
        let before = index.map { conditions[$0] } ?? .null
        if before["status"].string == status, before["reason"].string == reason, before["message"].string == message { return }
        let time = before["status"].string == status ? before["lastTransitionTime"] : .string(Timestamp.now().rfc3339)
        let made: Node = [
            "type": "Available", "status": .string(status), "lastTransitionTime": time, "reason": .string(reason), "message": .string(message),
        ]
        if let index { conditions[index] = made } else { conditions.append(made) }
        var next = node
        next["status"]["conditions"] = .list(conditions)
        let object = next
        try await ignoringRaces { _ = try await client.update(APIServiceController.services, object, subresource: "status") }
    }

    /// Another write came between: its event rings again.
    private func ignoringRaces(_ body: () async throws -> Void) async throws {
        do { try await body() } catch let error as APIError where error.code == 404 || error.code == 409 { return }
    }
}

/// Rings when something changes that the availability of a server may depend on.
private final class ServiceEvents: WatchSink {
    private let table: APIServiceTable
    private let ring: @Sendable () -> Void
    private let subscriptions = Mutex<[String: WatchSubscription]>([:])

    init(_ table: APIServiceTable, ring: @escaping @Sendable () -> Void) {
        self.table = table
        self.ring = ring
    }

    func attach(_ subscription: WatchSubscription, _ collection: String) { subscriptions.withLock { $0[collection] = subscription } }

    func deliver(_ batch: WatchBatch) {
        var counts: [String: Int] = [:]
        let entries = table.entries
        var matters = false
        for event in batch.events {
            let key = event.record.key
            counts[key.resource, default: 0] += 1
            switch key.resource {
            case "services": matters = matters || entries.contains { $0.namespace == key.namespace && $0.service == key.name }
            case APIServiceTable.collection: matters = true
            default:
                guard entries.contains(where: { $0.namespace == key.namespace }) else { continue }
                let service = ObjectHeader(event.record.header).label("kubernetes.io/service-name")
                matters = matters || entries.contains { $0.namespace == key.namespace && $0.service == service }
            }
        }
        let known = subscriptions.withLock { $0 }
        for (collection, count) in counts { known[collection]?.consumed(count) }
        if matters { ring() }
    }

    func ended(_ reason: WatchEnd) { ring() }
}

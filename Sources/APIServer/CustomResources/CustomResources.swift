package import Client
import Core
import Kinds
import Logging
import Machinery
import Schema
package import Store
import Synchronization
import Tree

/// Serves what CustomResourceDefinitions define: each change of a definition replaces its resources in the catalog, and its status
/// tells whether they are served. A deleted definition takes its objects along before it goes.
package final class CustomResources: Sendable {
    package static let finalizer = CustomResourceDefinitionStrategy.finalizer
    static let collection = "apiextensions.k8s.io/customresourcedefinitions"
    private static let definitions = GroupVersionResource(group: "apiextensions.k8s.io", version: "v1", resource: "customresourcedefinitions")

    private let store: Store
    private let catalog: ResourceCatalog
    private let client: any ClusterClient
    private let webhooks: WebhookClient
    /// What the catalog has of each definition, by its name: the uid and the generation that it was made from.
    private let registered = Mutex<[String: Registration]>([:])
    /// The definitions whose instances are being deleted, by uid.
    private let cleaning = Mutex<Set<String>>([])
    private let log = Logger(label: "customresources")

    private struct Registration: Equatable {
        let uid: String
        let generation: Int64?

        init(_ definition: Node) {
            uid = definition.uid
            generation = definition["metadata"]["generation"].int
        }
    }

    package init(store: Store, catalog: ResourceCatalog, client: any ClusterClient, webhooks: WebhookClient) {
        self.webhooks = webhooks
        self.store = store
        self.catalog = catalog
        self.client = client
    }

    /// Serves what is established already; before the first request.
    package func load() {
        for record in (try? store.list(CustomResources.collection).records) ?? [] {
            guard let definition = try? record.node(), CustomResources.isTrue(definition, "Established") else { continue }
            try? register(definition)
        }
    }

    /// Follows the definitions until cancelled.
    package func run() async {
        await withDiscardingTaskGroup { group in await follow(&group) }
    }

    private func follow(_ group: inout DiscardingTaskGroup) async {
        while !Task.isCancelled {
            do {
                let start = try await settleAll(&group)
                for try await event in client.watch(CustomResources.definitions, ListOptions(), from: start) {
                    switch event {
                    case .added(let definition), .modified(let definition): await settle(definition, &group)
                    case .deleted(let definition): unregister(definition)
                    default: continue
                    }
                }
            } catch {
                if Task.isCancelled { return }
                log.warning("the definitions could not be followed", metadata: ["error": "\(error)"])
                try? await Task.sleep(for: .milliseconds(200))
            }
        }
    }

    /// What there is now; the list is gone when the following begins.
    private func settleAll(_ group: inout DiscardingTaskGroup) async throws -> Int64 {
        let list = try await client.list(CustomResources.definitions, ListOptions())
        for definition in list.items { await settle(definition, &group) }
        return list.resourceVersion
    }

    // MARK: - One definition

    /// Instances may hold on to themselves as long as they like: nobody else waits for that.
    private func startCleanUp(_ definition: Node, _ group: inout DiscardingTaskGroup) {
        let uid = definition.uid
        guard cleaning.withLock({ $0.insert(uid).inserted }) else { return }
        group.addTask { [self] in
            while !Task.isCancelled {
                do {
                    try await cleanUp(definition)
                    break
                } catch let error as APIError where error.code == 404 {
                    break
                } catch {
                    if !Task.isCancelled { log.warning("a definition could not be cleaned up", metadata: ["definition": "\(definition.name)", "error": "\(error)"]) }
                    try? await Task.sleep(for: .milliseconds(500))
                }
            }
            _ = cleaning.withLock { $0.remove(uid) }
        }
    }

    private func settle(_ definition: Node, _ group: inout DiscardingTaskGroup) async {
        do {
            if definition.isBeingDeleted { return startCleanUp(definition, &group) }
            let names = CustomResourceNaming(definition)
            if let conflict = names.conflict(with: catalog) {
                return try await report(definition) { status in
                    CustomResources.set(&status, "NamesAccepted", "False", conflict.reason, conflict.message)
                    if !CustomResources.isTrue(definition, "Established") {
                        CustomResources.set(&status, "Established", "False", "NotAccepted", "not all names are accepted")
                    }
                }
            }
            do { try register(definition) } catch {
                return try await report(definition) { status in
                    CustomResources.set(&status, "NonStructuralSchema", "True", "Violations", "\(error)")
                }
            }
            try await report(definition) { status in
                CustomResources.set(&status, "NamesAccepted", "True", "NoConflicts", "no conflicts found")
                CustomResources.set(&status, "Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
                status["acceptedNames"] = names.accepted
            }
        } catch let error as APIError where error.code == 404 || error.code == 409 {
            // It changed meanwhile: the next event brings it again.
            return
        } catch {
            log.warning("a definition could not be settled", metadata: ["definition": "\(definition.name)", "error": "\(error)"])
        }
    }

    private func report(_ definition: Node, _ edit: (inout Node) -> Void) async throws {
        var current = try await client.get(CustomResources.definitions, ObjectKey("", definition.name))
        var status = current["status"]
        edit(&status)
        let storage = current["spec"]["versions"].list.first { $0["storage"].bool == true }?["name"].string ?? ""
        var stored = status["storedVersions"].stringList
        if !storage.isEmpty, !stored.contains(storage) { stored.append(storage) }
        status["storedVersions"] = Node(stored)
        guard status != current["status"] else { return }
        current["status"] = status
        _ = try await client.update(CustomResources.definitions, current, subresource: "status")
    }

    static func isTrue(_ definition: Node, _ type: String) -> Bool {
        definition["status"]["conditions"].list.contains { $0["type"].string == type && $0["status"].string == "True" }
    }

    private static func set(_ status: inout Node, _ type: String, _ value: String, _ reason: String, _ message: String) {
        var conditions = status["conditions"].list
        let before = conditions.first { $0["type"].string == type }
        if before?["status"].string == value, before?["reason"].string == reason, before?["message"].string == message { return }
        let time = before?["status"].string == value ? before?["lastTransitionTime"] ?? .null : .string(Timestamp.now().rfc3339)
        let made: Node = [
            "type": .string(type), "status": .string(value), "lastTransitionTime": time, "reason": .string(reason), "message": .string(message),
        ]
        if let index = conditions.firstIndex(where: { $0["type"].string == type }) { conditions[index] = made } else { conditions.append(made) }
        status["conditions"] = .list(conditions)
    }

    // MARK: - The catalog

    /// A change of the status alone, as each definition has two soon after its creation, leaves the resources as they are.
    private func register(_ definition: Node) throws(SchemaError) {
        let registration = Registration(definition)
        if registration.generation != nil, registered.withLock({ $0[definition.name] == registration }) { return }
        try replace(definition)
        registered.withLock { $0[definition.name] = registration }
    }

    private func replace(_ definition: Node) throws(SchemaError) {
        let spec = definition["spec"]
        let group = spec["group"].string ?? ""
        let plural = spec["names"]["plural"].string ?? ""
        let storage = spec["versions"].list.first { $0["storage"].bool == true }?["name"].string ?? ""
        let conversion = spec["conversion"]
        let converter = conversion["strategy"].string == "Webhook" ? WebhookConverter(conversion["webhook"], client: webhooks) : nil
        let stored = try Graph(customResourceDefinition: definition, version: storage, isDescribed: false)
        let schema = stored.resources.first.map { CustomVersion(canonical: Canonical(stored, .custom), message: $0.message) }
        var served: [ServedResource] = []
        for version in spec["versions"].list where version["served"].bool == true {
            let isStored = version["name"].string == storage
            let name = version["name"].string ?? ""
            let graph = isStored ? stored : try Graph(customResourceDefinition: definition, version: name, isDescribed: false)
            let definition = StoredDefinition(store, name: definition.name, version: name)
            guard let resource = graph.resources.first else { continue }
            let fields = resource.selectableFields.map { path in
                let name = path.hasPrefix(".") ? String(path.dropFirst()) : path
                return SelectableField(name)
            }
            converter?.learn("\(group)/\(name)", CustomVersion(canonical: Canonical(graph, .custom), message: resource.message))
            served.append(
                ServedResource(
                    resource, canonical: Canonical(graph, .custom), collection: "\(group)/\(plural)", storageAPIVersion: "\(group)/\(storage)",
                    selectableFields: fields, isCustom: true, converter: converter,
                    rules: CustomRules(version["schema"]["openAPIV3Schema"]) { definition.schema }, definition: definition,
                    storageSchema: isStored ? nil : schema, deprecation: Self.deprecation(version, spec)))
        }
        catalog.replaceCustom(plural: plural, group: group, with: served)
    }

    /// Names the version to use instead, the newest that stays.
    private static func deprecation(_ version: Node, _ spec: Node) -> String? {
        guard version["deprecated"].bool == true else { return nil }
        if let words = version["deprecationWarning"].string { return words }
        let (group, kind, name) = (spec["group"].string ?? "", spec["names"]["kind"].string ?? "", version["name"].string ?? "")
        let newer = spec["versions"].list.filter { $0["served"].bool == true && $0["deprecated"].bool != true }.compactMap { $0["name"].string }
            .filter { VersionPriority($0) < VersionPriority(name) }.min { VersionPriority($0) < VersionPriority($1) }
        return "\(group)/\(name) \(kind) is deprecated" + (newer.map { "; use \(group)/\($0) \(kind)" } ?? "")
    }

    private func unregister(_ definition: Node) {
        registered.withLock { $0[definition.name] = nil }
        catalog.replaceCustom(plural: definition["spec"]["names"]["plural"].string ?? "", group: definition["spec"]["group"].string ?? "", with: [])
    }

    // MARK: - The end

    /// Deletes the objects; when the last is gone, so are the resource and the definition.
    private func cleanUp(_ definition: Node) async throws {
        guard definition.finalizers.contains(CustomResources.finalizer) else { return }
        let group = definition["spec"]["group"].string ?? ""
        let plural = definition["spec"]["names"]["plural"].string ?? ""
        let collection = "\(group)/\(plural)"
        let versions = catalog.all.filter { $0.isCustom && $0.collection == collection }
        // As they are stored: nobody has to be asked to convert them.
        if let served = versions.first(where: \.isStorageVersion) ?? versions.first {
            try await report(definition) { status in
                CustomResources.set(&status, "Terminating", "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
            }
            while true {
                let list = try await client.list(served.gvr, ListOptions())
                for object in list.items where !object.isBeingDeleted {
                    do { _ = try await client.delete(served.gvr, ObjectKey(object.namespace, object.name), DeleteOptions()) } catch let error as APIError where error.code == 404 {}
                }
                // Finalizers of their own may hold objects: the last one's deletion ends this.
                let now = try await client.list(served.gvr, ListOptions())
                var left = Set(now.items.map(\.uid))
                if left.isEmpty { break }
                for try await event in client.watch(served.gvr, ListOptions(), from: now.resourceVersion) {
                    if case .deleted(let object) = event { left.remove(object.uid) }
                    if left.isEmpty { break }
                }
                try Task.checkCancellation()
            }
        }
        unregister(definition)
        let current = try await client.get(CustomResources.definitions, ObjectKey("", definition.name))
        let rest = current.finalizers.filter { $0 != CustomResources.finalizer }
        let patch: Node = ["metadata": ["finalizers": Node(rest), "uid": .string(definition.uid)]]
        _ = try await client.patch(CustomResources.definitions, ObjectKey("", definition.name), .merge, patch, subresource: nil)
    }
}

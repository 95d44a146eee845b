package import Client
import Core
import Machinery
import Schema
import Tree

/// Tells in the status of each FlowSchema whether the priority level that it names exists, in the name that upstream's server
/// has for it. Works until cancelled.
package struct FlowSchemaConditions: Sendable {
    private static let schemas = GroupVersionResource(group: "flowcontrol.apiserver.k8s.io", version: "v1", resource: "flowschemas")
    private static let levels = GroupVersionResource(group: "flowcontrol.apiserver.k8s.io", version: "v1", resource: "prioritylevelconfigurations")
    private static let manager = "api-priority-and-fairness-config-consumer-v1"

    private let catalog: ResourceCatalog
    private let writer: ObjectWriter
    private let client: any ClusterClient

    package init(catalog: ResourceCatalog, writer: ObjectWriter, client: any ClusterClient) {
        self.catalog = catalog
        self.writer = writer
        self.client = client
    }

    package func run() async {
        await withDiscardingTaskGroup { group in
            for resource in [FlowSchemaConditions.schemas, FlowSchemaConditions.levels] { group.addTask { await follow(resource) } }
        }
    }

    private func follow(_ resource: GroupVersionResource) async {
        while !Task.isCancelled {
            do {
                let list = try await client.list(resource, ListOptions())
                try await settleAll()
                for try await event in client.watch(resource, ListOptions(), from: list.resourceVersion) {
                    switch event {
                    case .added(let object), .modified(let object):
                        // A schema matters alone; a level to all that name it.
                        if resource == FlowSchemaConditions.schemas { try await settle(object, try await names()) } else { try await settleAll() }
                    case .deleted where resource == FlowSchemaConditions.levels: try await settleAll()
                    default: continue
                    }
                }
            } catch {
                if Task.isCancelled { return }
                try? await Task.sleep(for: .milliseconds(200))
            }
        }
    }

    private func names() async throws -> Set<String> {
        Set(try await client.list(FlowSchemaConditions.levels, ListOptions()).items.map(\.name))
    }

    private func settleAll() async throws {
        let names = try await names()
        for schema in try await client.list(FlowSchemaConditions.schemas, ListOptions()).items { try await settle(schema, names) }
    }

    private func settle(_ schema: Node, _ names: Set<String>) async throws {
        guard !schema.isBeingDeleted, let resource = catalog.resource(FlowSchemaConditions.schemas) else { return }
        let level = schema["spec"]["priorityLevelConfiguration"]["name"].string ?? ""
        let isThere = names.contains(level)
        let head = "This FlowSchema references the PriorityLevelConfiguration object named \(FieldError.quoted(level))"
        var wanted: Node = ["type": "Dangling", "status": isThere ? "False" : "True"]
        wanted["reason"] = isThere ? "Found" : "NotFound"
        wanted["message"] = .string(isThere ? "\(head) and it exists" : "\(head) but there is no such object")
        let before = schema["status"]["conditions"].list.first { $0["type"].string == "Dangling" } ?? .null
        guard ["status", "reason", "message"].contains(where: { before[$0] != wanted[$0] }) else { return }
        wanted["lastTransitionTime"] = .string(Timestamp.now().rfc3339)
        try await apply(["conditions": [wanted]], to: schema.name, resource)
    }

    private func apply(_ status: Node, to name: String, _ resource: ServedResource) async throws {
        let configuration: Node = [
            "apiVersion": .string(resource.resource.gvk.apiVersion), "kind": .string(resource.kind), "metadata": ["name": .string(name)], "status": status,
        ]
        var options = WriteOptions()
        options.fieldManager = FlowSchemaConditions.manager
        options.force = true
        var context = WriteContext(user: UserInfo(name: "system:apiserver", groups: ["system:masters", "system:authenticated"]), options: options)
        context.isApply = true
        let verb = try ApplyVerb(configuration, resource, subresource: "status", namespace: "", name: name, writer, context)
        do throws(APIError) {
            _ = try await writer.update(resource, namespace: "", name: name, subresource: "status", context) { (current) async throws(APIError) in
                try await verb.change(current)
            }
        } catch {
            // Gone meanwhile, or changed: that change comes as an event.
            guard error.code == 404 || error.code == 409 else { throw error }
        }
    }
}

package import Client
import Logging
import Machinery
import Schema
import Tree

/// Tells in the status of each ValidatingAdmissionPolicy what its expressions get wrong about the kinds that it matches.
package final class PolicyTypeChecks: Sendable {
    private static let policies = GroupVersionResource(group: "admissionregistration.k8s.io", version: "v1", resource: "validatingadmissionpolicies")
    private static let most = 10
    private let catalog: ResourceCatalog
    private let client: any ClusterClient
    private let log = Logger(label: "policies")

    package init(catalog: ResourceCatalog, client: any ClusterClient) {
        self.catalog = catalog
        self.client = client
    }

    /// Follows the policies until cancelled.
    package func run() async { await client.follow(PolicyTypeChecks.policies) { await settle($0) } }

    private func settle(_ policy: Node) async {
        let generation = policy["metadata"]["generation"].int ?? 0
        guard generation > policy["status"]["observedGeneration"].int ?? 0 else { return }
        var checking = Node.emptyMap
        let warnings = warnings(policy["spec"])
        if !warnings.isEmpty { checking["expressionWarnings"] = .list(warnings) }
        var changed = policy
        changed["status"]["observedGeneration"] = .int(generation)
        changed["status"]["typeChecking"] = checking
        do { _ = try await client.update(PolicyTypeChecks.policies, changed, subresource: "status") } catch let error as APIError where error.code == 404 || error.code == 409 {
            // It changed meanwhile: the next event brings it again.
            return
        } catch {
            log.warning("a policy's status could not be written", metadata: ["policy": "\(policy.name)", "error": "\(error)"])
        }
    }

    /// `ExpressionWarning`s of a policy's checks, by the kinds that its rules name.
    func warnings(_ spec: Node) -> [Node] {
        let kinds = kinds(spec)
        if kinds.isEmpty { return [] }
        let params = paramSchema(spec["paramKind"])
        let compiled = kinds.map { kind in
            (kind.gvk, PolicyPrograms(spec, types: .init(object: GraphSchema(kind.graph, kind.message), params: params)))
        }
        var out: [Node] = []
        for index in spec["validations"].list.indices {
            func tell(_ field: String, _ read: (PolicyPrograms.Check) -> PolicyExpression?) {
                let lines = compiled.compactMap { gvk, programs in read(programs.checks[index])?.problem.map { "\(PolicyTypeChecks.name(gvk)): \($0)\n" } }
                if !lines.isEmpty { out.append(["fieldRef": .string("spec.validations[\(index)].\(field)"), "warning": .string(lines.joined(separator: "\n"))]) }
            }
            tell("expression") { $0.expression }
            tell("messageExpression") { $0.message }
        }
        return out
    }

    private static func name(_ gvk: GroupVersionKind) -> String { "\(gvk.group.isEmpty ? "/\(gvk.version)" : gvk.apiVersion), Kind=\(gvk.kind)" }

    private func paramSchema(_ node: Node) -> GraphSchema? {
        guard let version = node["apiVersion"].string, let kind = node["kind"].string else { return nil }
        let parts = version.split(separator: "/", maxSplits: 1).map(String.init)
        let gvk = GroupVersionKind(group: parts.count == 2 ? parts[0] : "", version: parts.last ?? "", kind: kind)
        return catalog.resource(of: gvk).map { GraphSchema($0.graph, $0.resource.message) }
    }

    /// The kinds of resources that rules name without wildcards, at most ten.
    private func kinds(_ spec: Node) -> [(gvk: GroupVersionKind, graph: Graph, message: MessageID)] {
        var found: [GroupVersionKind: ServedResource] = [:]
        for rule in spec["matchConstraints"]["resourceRules"].list {
            let groups = rule["apiGroups"].stringList
            let versions = rule["apiVersions"].stringList
            let resources = rule["resources"].stringList
            guard ![groups, versions, resources].contains(where: { $0.contains { $0.contains("*") } }) else { continue }
            for group in groups {
                for version in versions {
                    for resource in resources where !resource.contains("/") {
                        guard found.count < PolicyTypeChecks.most,
                            let served = catalog.resource(GroupVersionResource(group: group, version: version, resource: resource))
                        else { continue }
                        found[served.resource.gvk] = served
                    }
                }
            }
        }
        return found.sorted { ($0.key.group, $0.key.version, $0.key.kind) < ($1.key.group, $1.key.version, $1.key.kind) }
            .map { ($0.key, $0.value.graph, $0.value.resource.message) }
    }
}

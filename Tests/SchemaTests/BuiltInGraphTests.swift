import Testing
import Tree

@testable import Schema

@Suite struct BuiltInGraphTests {
    let graph = Graph.builtIn

    func field(_ name: String, of message: String) throws -> Field {
        let id = try #require(graph.message(named: message))
        return try #require(graph.field(name, in: id))
    }
    func rules(_ message: String, _ name: String) throws -> Rules { graph.rules(of: try field(name, of: message)) }

    @Test func theBuiltInTextHasNothingToComplainAbout() {
        let findings = SchemaLint.findings(graph)
        #expect(findings.isEmpty, "\(findings.map(\.description).joined(separator: "\n"))")
    }

    @Test func everyFieldIsFoundByNameAndByTag() {
        for index in graph.messages.indices {
            let id = MessageID(index)
            for place in graph.messages[index].fields { #expect(graph.fieldIndex(graph.fields[place].name, in: id) == place) }
            for field in graph.wire(of: id) { #expect(graph.wireField(tag: Int(field.tag), in: id)?.name == field.name) }
        }
    }

    @Test func servicePortsMergeByOneKeyAndApplyByTwo() throws {
        let ports = try rules("core/v1.ServiceSpec", "ports")
        #expect(ports.patchMergeKey == "port" && ports.listMapKeys == ["port", "protocol"])
    }

    @Test func volumeSourcesAreInlineInJSONAndNestedInProtobuf() throws {
        let volume = try #require(graph.message(named: "core/v1.Volume"))
        #expect(graph.field("emptyDir", in: volume)?.flags.contains(.promoted) == true)
        #expect(graph.wire(of: volume).map(\.tag) == [1, 2])
        #expect(graph.wireField(tag: 2, in: volume)?.isInline == true)
    }

    @Test func kindsLeadToTheirMessages() throws {
        let pod = try #require(graph.message(of: .init(group: "", version: "v1", kind: "Pod")))
        #expect(graph[pod].name == "core/v1.Pod")
        #expect(graph.field("apiVersion", in: pod)?.tag == 0)
        #expect(graph.field("status", in: pod)?.flags.contains(.status) == true)
        #expect(graph.message(of: .init(group: "", version: "v1", kind: "PodList")) != nil)
        let options = graph.message(of: .init(group: "policy", version: "v1", kind: "DeleteOptions"))
        #expect(options == graph.message(named: "meta/v1.DeleteOptions") && options != nil)
        #expect(graph.message(of: .init(group: "policy", version: "v7", kind: "DeleteOptions")) == nil)
        #expect(graph.message(of: .init(group: "meta.k8s.io", version: "v1", kind: "Table")) != nil)
        #expect(graph.message(of: .init(group: "", version: "v1", kind: "Status")) != nil)
    }

    @Test func resourcesAreThoseOfDiscovery() throws {
        let pods = try #require(graph.resource(.init(group: "", version: "v1", resource: "pods")))
        #expect(pods.shortNames == ["po"] && pods.categories == ["all"] && pods.isNamespaced && pods.singular == "pod")
        #expect(pods.subresource("eviction")?.gvk == .init(group: "policy", version: "v1", kind: "Eviction"))
        #expect(pods.subresource("exec")?.gvk == .init(group: "", version: "v1", kind: "PodExecOptions"))
        #expect(pods.subresource("exec")?.verbs == ["create", "get"])
        #expect(pods.columns.map(\.name).prefix(5) == ["Name", "Ready", "Status", "Restarts", "Age"])
        #expect(pods.columns.first { $0.name == "IP" }?.priority == 1)
        let scale = graph.resource(.init(group: "apps", version: "v1", resource: "deployments"))?.subresource("scale")
        #expect(scale?.gvk == .init(group: "autoscaling", version: "v1", kind: "Scale"))
        #expect(graph.resource(.init(group: "", version: "v1", resource: "endpoints"))?.singular == "endpoints")
        #expect(graph.groups.map(\.name).prefix(3) == ["", "apiregistration.k8s.io", "apps"])
        #expect(graph.groups.first { $0.name == "autoscaling" }?.versions == ["v2", "v1"])
        // Upstream's own, and metrics.k8s.io, which there an add-on serves.
        #expect(graph.groups.count == 21 + 1 && graph.resources.count == 68 + 2)
    }

    @Test func constantDefaultsAreInTheTable() throws {
        #expect(try rules("core/v1.PodSpec", "restartPolicy").defaultValue == "Always")
        #expect(try rules("core/v1.PodSpec", "terminationGracePeriodSeconds").defaultValue == 30)
        #expect(try rules("core/v1.PodSpec", "securityContext").defaultValue == Node.emptyMap)
        #expect(try rules("core/v1.ContainerPort", "protocol").defaultValue == "TCP")
        #expect(try rules("storage/v1.CSIDriverSpec", "volumeLifecycleModes").defaultValue == ["Persistent"])
        let pod = try #require(graph.message(named: "core/v1.Pod"))
        #expect(graph[graph[pod].rulesID].pathDefaults == [.init(path: ["spec", "enableServiceLinks"], value: true)])
        #expect(graph[pod].flags.contains(.defaults))
        let role = try #require(graph.message(named: "rbac/v1.ClusterRole"))
        #expect(!graph[role].flags.contains(.defaults))
    }

    @Test func presenceIsGosOwn() throws {
        func presence(_ message: String, _ field: String) throws -> Presence {
            try self.field(field, of: message).presence
        }
        #expect(try presence("meta/v1.ObjectMeta", "creationTimestamp") == .omitZero)
        #expect(try presence("meta/v1.ObjectMeta", "deletionTimestamp") == .pointer)
        #expect(try presence("apps/v1.DeploymentSpec", "selector") == .pointerOrNull)
        #expect(try presence("apps/v1.DeploymentSpec", "strategy") == .always)
        #expect(try presence("apps/v1.DeploymentStatus", "replicas") == .omitEmpty)
        #expect(try presence("apps/v1.ReplicaSetStatus", "replicas") == .always)
        #expect(try presence("rbac/v1.ClusterRole", "rules") == .always)
        guard case .map(let extra) = try field("extra", of: "authentication/v1.UserInfo").shape else { throw SchemaError(place: "extra", message: "no map") }
        #expect(graph[extra].flags == .wrapped)
    }
}

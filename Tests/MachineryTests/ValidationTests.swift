import Machinery
import Schema
import Testing
import Tree

struct ValidationTests {
    private func message(_ group: String, _ kind: String) throws -> MessageID {
        try #require(Graph.builtIn.message(of: GroupVersionKind(group: group, version: "v1", kind: kind)))
    }

    private func errors(_ yaml: String, _ group: String, _ kind: String) throws -> [String] {
        let id = try message(group, kind)
        let object = try Canonical(.builtIn).normalize(Node(yaml: yaml), as: id)
        return Validation.errors(object, as: id, in: .builtIn, .builtIn).map(\.description)
    }

    @Test func requiredNamesAndEnumerationsAreChecked() throws {
        let found = try errors("{spec: {containers: [{image: x, imagePullPolicy: Sometimes}, {name: b}], restartPolicy: Always}}", "", "Pod")
        #expect(found.contains("spec.containers[0].name: Required value"))
        #expect(found.contains { $0.hasPrefix("spec.containers[0].imagePullPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", ") })
        #expect(try errors("{metadata: {name: a}, spec: {containers: [{name: b}]}, status: {phase: Odd}}", "", "Pod").isEmpty)
    }

    @Test func everyBootstrapLikeObjectPasses() throws {
        #expect(try errors("{metadata: {name: a}, spec: {ports: [{port: 80, protocol: TCP}], type: ClusterIP}}", "", "Service").isEmpty)
        #expect(try errors("{roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: x}, subjects: [{kind: User, name: u, apiGroup: rbac.authorization.k8s.io}]}", "rbac.authorization.k8s.io", "RoleBinding").isEmpty)
        #expect(try errors("{spec: {holderIdentity: x}}", "coordination.k8s.io", "Lease").isEmpty)
    }

    @Test func metadataIsCheckedInUpstreamsWords() {
        let meta: Node = ["name": "A", "namespace": "a.b", "labels": ["-": "x"], "finalizers": ["orphan", "foregroundDeletion"], "ownerReferences": [["apiVersion": "", "kind": "K", "name": "n", "uid": ""]]]
        let found = ObjectMeta.errors(meta, isNamespaced: true, name: .dnsSubdomain).map(\.description)
        #expect(found.contains { $0.hasPrefix("metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain") })
        #expect(found.contains("metadata.namespace: Invalid value: \"a.b\": must not contain dots"))
        #expect(found.contains { $0.hasPrefix("metadata.labels: Invalid value: \"-\": name part must consist of") })
        #expect(found.contains("metadata.ownerReferences.apiVersion: Invalid value: \"\": version must not be empty"))
        #expect(found.contains("metadata.ownerReferences.uid: Invalid value: \"\": must not be empty"))
        #expect(found.contains { $0.contains("finalizer orphan and foregroundDeletion cannot be both set") })
        #expect(ObjectMeta.errors(["name": "a"], isNamespaced: false, name: .dnsSubdomain).isEmpty)
        #expect(ObjectMeta.errors([:], isNamespaced: false, name: .dnsSubdomain).map(\.description) == ["metadata.name: Required value: name or generateName is required"])
        #expect(ObjectMeta.errors(["name": "a", "namespace": "b"], isNamespaced: false, name: .dnsSubdomain).map(\.description) == ["metadata.namespace: Forbidden: not allowed on this type"])
    }

    @Test func identityDoesNotChange() {
        let old: Node = ["name": "a", "uid": "1", "resourceVersion": "5", "generation": 2, "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]]
        var new = old
        #expect(ObjectMeta.updateErrors(new, old: old).isEmpty)
        new["uid"] = "2"
        new["generation"] = 1
        new["finalizers"] = ["x/y", "new/one"]
        new["resourceVersion"] = .null
        #expect(ObjectMeta.updateErrors(new, old: old).map(\.description) == [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"new/one\"}",
            "metadata.resourceVersion: Invalid value: \"\": must be specified for an update",
            "metadata.generation: Invalid value: 1: must not be decremented",
            "metadata.uid: Invalid value: \"2\": field is immutable",
        ])
    }

    @Test func constantDefaultsAreFilledInWhereTheirObjectIs() throws {
        let graph = Graph.builtIn
        let defaulting = Defaulting(graph)
        let id = try message("apps", "Deployment")
        var object: Node = ["spec": ["template": ["spec": ["containers": [["name": "a", "ports": [["containerPort": 80]]]]]]]]
        defaulting.apply(to: &object, as: id)
        #expect(object["spec"]["replicas"].int == 1)
        #expect(object["spec"]["template"]["spec"]["containers"][0]["ports"][0]["protocol"].string == "TCP")
        #expect(!object["spec"]["template"]["spec"]["containers"][0].has("livenessProbe"))
        let once = object
        defaulting.apply(to: &object, as: id)
        #expect(object == once)
        var zero: Node = ["spec": ["replicas": 0]]
        defaulting.apply(to: &zero, as: id)
        #expect(zero["spec"]["replicas"].int == 0)
    }

    @Test(arguments: [
        ("ipv4", "1.2.3.4", true), ("ipv4", "1.2.3.256", false), ("ipv4", "01.2.3.4", false), ("ipv6", "::1", true), ("ipv6", "fe80::1:2", true),
        ("ipv6", "1:2:3:4:5:6:7:8", true), ("ipv6", "1:2:3:4:5:6:7", false), ("ipv6", "::ffff:1.2.3.4", true), ("ipv6", "1::2::3", false), ("ipv6", "g::", false),
        ("cidr", "10.0.0.0/8", true), ("cidr", "10.0.0.0/33", false), ("cidr", "fd00::/64", true), ("date-time", "2026-01-01T00:00:00Z", true),
        ("date-time", "2026-01-01", false), ("date", "2026-02-29", false), ("uuid", "0b0e6a2e-1111-4444-8888-abcdefabcdef", true), ("unknown", "x", true),
    ]) func stringFormats(_ format: String, _ text: String, _ fits: Bool) {
        #expect(StringFormat.accepts(format, text) == fits)
    }
}

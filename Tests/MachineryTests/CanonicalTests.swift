import Machinery
import Schema
import Testing
import Tree

struct CanonicalTests {
    private static let canonical = Canonical(.builtIn)
    private func decode(_ yaml: String, _ group: String, _ kind: String) throws -> Canonical.Decoded {
        let id = try #require(Graph.builtIn.message(of: GroupVersionKind(group: group, version: "v1", kind: kind)))
        return try CanonicalTests.canonical.decode(Node(yaml: yaml), as: id)
    }

    private func failure(_ yaml: String, _ group: String = "apps", _ kind: String = "Deployment") -> String {
        do {
            _ = try decode(yaml, group, kind)
            return "no error"
        } catch {
            return "\(error)"
        }
    }

    @Test func aDeploymentLooksAsUpstreamWouldWriteIt() throws {
        let yaml = """
            spec:
              template:
                spec:
                  containers:
                  - resources: {limits: {memory: 1024Mi, cpu: 0.5}, requests: {}}
                    name: web
                    image: ""
                    ports: []
                    env: [{value: "", name: A}]
              replicas: 0
              paused: false
              selector: {matchLabels: {b: "1", a: "2"}}
            metadata: {name: web, labels: {}, creationTimestamp: null, annotations: {z: "1", b: "2"}}
            apiVersion: apps/v1
            kind: Deployment
            status: {}
            """
        let result = try decode(yaml, "apps", "Deployment")
        #expect(result.unknown.isEmpty)
        #expect(
            result.node.jsonText
                == #"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","annotations":{"b":"2","z":"1"}},"spec":{"replicas":0,"selector":{"matchLabels":{"a":"2","b":"1"}},"template":{"metadata":{},"spec":{"containers":[{"name":"web","env":[{"name":"A"}],"resources":{"limits":{"cpu":"500m","memory":"1Gi"}}}]}},"strategy":{}},"status":{}}"#
        )
    }

    @Test func canonicalisingTwiceChangesNothing() throws {
        let once = try decode("{metadata: {name: a}, spec: {containers: [{name: x, livenessProbe: {httpGet: {port: 80}}}], volumes: [{name: v}]}}", "", "Pod").node
        let id = try #require(Graph.builtIn.message(of: GroupVersionKind(group: "", version: "v1", kind: "Pod")))
        #expect(try CanonicalTests.canonical.normalize(once, as: id).jsonText == once.jsonText)
    }

    @Test func unknownFieldsArePrunedAndTold() throws {
        let result = try decode("{spec: {foo: 1, template: {spec: {containers: [{name: a}, {name: b, bar: 2}]}}}, baz: {}}", "apps", "Deployment")
        #expect(result.unknown.map(\.description).sorted() == ["baz", "spec.foo", "spec.template.spec.containers[1].bar"])
        #expect(!result.node["spec"].has("foo"))
    }

    @Test(arguments: [
        ("{spec: {replicas: x}}", "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ("{spec: {replicas: 1.5}}", "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ("{spec: {replicas: 3000000000}}", "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ("{metadata: {labels: {a: 1}}}", "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"),
        ("{metadata: {labels: [a]}}", "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels of type map[string]string"),
        ("{spec: {template: {spec: {containers: {}}}}}", "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container"),
        ("{spec: 7}", "json: cannot unmarshal number into Go struct field Deployment.spec of type v1.DeploymentSpec"),
        ("{spec: {paused: 'true'}}", "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.paused of type bool"),
        ("{spec: {template: {spec: {containers: [{resources: {limits: {cpu: 1x}}}]}}}}", "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        ("{metadata: {creationTimestamp: x}}", "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\""),
    ]) func wrongTypesAreRefusedInGosWords(_ yaml: String, _ expected: String) {
        #expect(failure(yaml) == expected)
    }

    @Test func bytesMustBeBase64() {
        #expect(failure("{data: {a: '!'}}", "", "Secret") == "illegal base64 data at input byte 0")
        #expect(failure("{data: {a: 'aGk='}}", "", "Secret") == "no error")
    }

    @Test func timesAndIntOrStringsAreCanonical() throws {
        let lease = try decode("{spec: {renewTime: '2026-01-02T03:04:05.1+01:00'}}", "coordination.k8s.io", "Lease").node
        #expect(lease["spec"]["renewTime"].string == "2026-01-02T02:04:05.100000Z")
        let service = try decode("{spec: {ports: [{port: 80, targetPort: http}, {port: 81, targetPort: 8080}, {port: 82}]}}", "", "Service").node
        #expect(service["spec"]["ports"][0]["targetPort"].string == "http")
        #expect(service["spec"]["ports"][1]["targetPort"].int == 8080)
    }

    @Test func everyKindHasACanonicalEmptyForm() throws {
        let graph = Graph.builtIn
        for resource in graph.resources {
            let once = try CanonicalTests.canonical.normalize([:], as: resource.message)
            #expect(try CanonicalTests.canonical.normalize(once, as: resource.message) == once, "\(resource.gvk)")
        }
    }

    @Test func emptyListsAndMapsAreRememberedBesideTheForm() throws {
        let decoded = try decode("{spec: {template: {metadata: {labels: {}}, spec: {containers: [{name: a, env: []}]}}}}", "apps", "Deployment")
        #expect(decoded.empties.map(\.place.description) == ["spec.template.metadata.labels", "spec.template.spec.containers[0].env"])
        #expect(!decoded.node["spec"]["template"]["metadata"].has("labels"))
        let whole = decoded.node.having(decoded.empties)
        #expect(whole["spec"]["template"]["metadata"]["labels"] == [:])
        #expect(whole["spec"]["template"]["spec"]["containers"][0]["env"] == [])
        #expect(try CanonicalTests.canonical.normalize(whole, as: #require(Graph.builtIn.message(named: "apps/v1.Deployment"))) == decoded.node)
    }
}

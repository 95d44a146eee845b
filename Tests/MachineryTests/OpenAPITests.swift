import Machinery
import Schema
import Testing
import Tree

struct OpenAPITests {
    private func messages(_ node: Node) -> Set<String> {
        switch node {
        case .map(let fields):
            fields.reduce(into: Set()) { found, entry in
                if entry.key == "$ref", let text = entry.value.string { found.insert(text) } else { found.formUnion(messages(entry.value)) }
            }
        case .list(let items): items.reduce(into: Set()) { $0.formUnion(messages($1)) }
        default: []
        }
    }

    private func v3(_ group: String, _ version: String) -> Node {
        OpenAPIEmitter(.builtIn).v3(group.isEmpty ? "api/\(version)" : "apis/\(group)/\(version)", Graph.builtIn.resources)
    }

    @Test func protobufCarriesTheSameDefinitions() throws {
        let pods = Graph.builtIn.resources.filter { $0.name == "pods" && $0.group.isEmpty }
        let bytes = OpenAPIEmitter(.builtIn).v2Protobuf(pods)
        let expected = OpenAPIEmitter(.builtIn).v2(pods)
        var names: [String] = []
        var paths: [String] = []
        try bytes.withUnsafeBytes { buffer in
            var document = WireReader(buffer)
            while let (number, type) = try document.nextField() {
                guard number == 8 || number == 9 else {
                    try document.skip(type)
                    continue
                }
                var list = try document.message()
                while try list.nextField() != nil {
                    var named = try list.message()
                    _ = try named.nextField()
                    let name = try named.string()
                    if number == 9 { names.append(name) } else { paths.append(name) }
                }
            }
        }
        #expect(names == expected["definitions"].fields.map(\.key))
        #expect(paths == expected["paths"].fields.map(\.key))
        #expect(!paths.isEmpty)
    }

    @Test func versionThreeDescribesDeploymentsAsUpstreamDoes() {
        let document = v3("apps", "v1")
        let schemas = document["components"]["schemas"]
        let spec = schemas["io.k8s.api.apps.v1.DeploymentSpec"]
        #expect(spec["required"] == ["selector", "template"])
        #expect(spec["properties"]["replicas"]["format"].string == "int32")
        #expect(spec["properties"]["strategy"]["x-kubernetes-patch-strategy"].string == "retainKeys")
        #expect(spec["properties"]["strategy"]["default"] == [:])
        #expect(schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"]["x-kubernetes-list-map-keys"] == ["containerPort", "protocol"])
        #expect(schemas["io.k8s.api.core.v1.Container"]["properties"]["ports"]["x-kubernetes-patch-merge-key"].string == "containerPort")
        #expect(schemas["io.k8s.apimachinery.pkg.api.resource.Quantity"]["oneOf"] == [["type": "string"], ["type": "number"]])
        #expect(schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"] == [["group": "apps", "kind": "Deployment", "version": "v1"]])
        // What kubectl apply looks for.
        let patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
        #expect(patch["x-kubernetes-group-version-kind"]["kind"].string == "Deployment")
        #expect(patch["requestBody"]["content"].has("application/strategic-merge-patch+json"))
        #expect(patch["parameters"].list.contains { $0["name"].string == "fieldValidation" })
    }

    @Test func everyReferenceLeadsSomewhere() {
        for group in Graph.builtIn.groups {
            for version in group.versions {
                let document = v3(group.name, version)
                for reference in messages(document) {
                    #expect(document["components"]["schemas"].has(String(reference.dropFirst("#/components/schemas/".count))), "\(group.name)/\(version): \(reference)")
                }
            }
        }
        let document = OpenAPIEmitter(.builtIn).v2(Graph.builtIn.resources)
        for reference in messages(document) {
            let parts = reference.split(separator: "/", maxSplits: 2).map(String.init)
            #expect(parts.count == 3 && document[parts[1]].has(parts[2]), "\(reference)")
        }
    }

    @Test func whatManyPathsTakeIsWrittenOnce() {
        let document = OpenAPIEmitter(.builtIn).v2(Graph.builtIn.resources)
        // The text of this one is upstream's too, and so is its hash.
        #expect(document["parameters"].has("body-2Y1dVQaQ"))
        let pods = document["paths"]["/api/v1/namespaces/{namespace}/pods"]
        #expect(pods["parameters"].list.count == 2)
        #expect(pods["delete"]["parameters"][0]["$ref"].string == "#/parameters/body-2Y1dVQaQ")
        #expect(pods["post"]["parameters"].list.contains { $0["name"].string == "fieldValidation" })
    }

    @Test func discoveryHasDocumentsToo() {
        let names = OpenAPIEmitter.v3Documents(Graph.builtIn.resources)
        for name in ["api", "apis", "apis/apps", "version", "openid/v1/jwks"] {
            #expect(names.contains(name))
            #expect(!OpenAPIEmitter(.builtIn).v3(name, Graph.builtIn.resources)["paths"].fields.isEmpty)
        }
    }

    @Test func operationsHaveNamesOfTheirOwn() {
        let document = OpenAPIEmitter(.builtIn).v2(Graph.builtIn.resources)
        var seen: Set<String> = []
        for (path, item) in document["paths"].fields {
            for (method, operation) in item.fields where method != "parameters" {
                let id = operation["operationId"].string ?? ""
                #expect(seen.insert(id).inserted, "\(path) \(method): \(id)")
            }
        }
        #expect(seen.contains("readCoreV1NamespacedPod"))
        #expect(seen.contains("listRbacAuthorizationV1ClusterRole"))
        #expect(seen.contains("replaceAppsV1NamespacedDeploymentStatus"))
        #expect(seen.contains("listCoreV1PodForAllNamespaces"))
        #expect(seen.contains("watchAppsV1DeploymentListForAllNamespaces"))
        #expect(seen.contains("connectCoreV1GetNamespacedPodProxyWithPath"))
        #expect(seen.contains("getRbacAuthorizationAPIGroup"))
    }
}

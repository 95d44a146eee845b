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

    @Test func versionThreeDescribesDeploymentsAsUpstreamDoes() {
        let document = OpenAPI.documentV3(.builtIn, group: "apps", version: "v1", gitVersion: "v1.36.0")
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
                let document = OpenAPI.documentV3(.builtIn, group: group.name, version: version, gitVersion: "v1.36.0")
                for reference in messages(document) {
                    #expect(document["components"]["schemas"].has(String(reference.dropFirst("#/components/schemas/".count))), "\(group.name)/\(version): \(reference)")
                }
            }
        }
        let document = OpenAPI.documentV2([.builtIn], gitVersion: "v1.36.0")
        for reference in messages(document) { #expect(document["definitions"].has(String(reference.dropFirst("#/definitions/".count))), "\(reference)") }
    }

    @Test func operationsHaveNamesOfTheirOwn() {
        let document = OpenAPI.documentV2([.builtIn], gitVersion: "v1.36.0")
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
    }
}

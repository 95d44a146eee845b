import APIServer
import Client
import Core
import Machinery
import Schema
import Testing
import Transport
import Tree

/// custom.metrics.k8s.io of pods that tell their metrics over HTTP, and of another server that takes the group.
@Suite struct CustomMetricsTests {
    /// Tells by the path, as many pods behind one port do.
    private struct Pods: HTTPHandler {
        func handle(_ exchange: HTTPExchange) async {
            let body: String
            switch exchange.request.path {
            case "/metrics": body = "# TYPE inference_latency gauge\ninference_latency{model=\"a\"} 0.25\ninference_latency{model=\"b\"} 0.5\n"
            case "/second": body = "inference_latency{model=\"a\"} 1.25\nqueue_length 7\n"
            default: return exchange.respond(status: 404)
            }
            exchange.respond(status: 200, headers: ["content-type": "text/plain"], body: Array(body.utf8))
        }
    }

    private static let pods = GroupVersionResource(group: "", version: "v1", resource: "pods")

    private func pod(_ name: String, _ app: String, _ annotations: Node, on fixture: ServerFixture) async throws {
        let object: Node = [
            "apiVersion": "v1", "kind": "Pod",
            "metadata": ["name": .string(name), "namespace": "default", "labels": ["app": .string(app)], "annotations": annotations],
            "spec": ["containers": [["name": "c", "image": "i"]]],
        ]
        var made = try await fixture.inside.create(Self.pods, namespace: "default", object)
        made["status"]["podIP"] = "127.0.0.1"
        made["status"]["podIPs"] = [["ip": "127.0.0.1"]]
        _ = try await fixture.inside.update(Self.pods, made, subresource: "status")
    }

    private func serve(_ body: (ServerFixture) async throws -> Void) async throws {
        let fixture = try await ServerFixture(customMetrics: true)
        let server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: Pods())
        _ = try await server.start()
        let account = GroupVersionResource(group: "", version: "v1", resource: "serviceaccounts")
        _ = try await fixture.inside.create(account, namespace: "default", ["apiVersion": "v1", "kind": "ServiceAccount", "metadata": ["name": "default"]])
        let port = Node.string("\(server.port ?? 0)")
        try await pod("first", "model", ["prometheus.io/scrape": "true", "prometheus.io/port": port], on: fixture)
        try await pod("second", "model", ["prometheus.io/scrape": "true", "prometheus.io/port": port, "prometheus.io/path": "/second"], on: fixture)
        try await pod("silent", "model", ["prometheus.io/port": port], on: fixture)
        try await body(fixture)
        await server.shutdown(grace: .zero)
        await fixture.stop()
    }

    private static let base = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default"

    @Test func podsAreAskedByNameAndBySelector() async throws {
        try await serve { fixture in
            let (code, one) = try await fixture.send("GET", Self.base + "/pods/first/inference_latency")
            #expect(code == 200)
            #expect(one["kind"].string == "MetricValueList" && one["apiVersion"].string == "custom.metrics.k8s.io/v1beta2")
            let item = one["items"][0]
            #expect(item["value"].string == "750m")
            #expect(item["describedObject"] == ["kind": "Pod", "namespace": "default", "name": "first", "apiVersion": "v1"])
            #expect(item["metric"]["name"].string == "inference_latency")
            let all = try await fixture.send("GET", Self.base + "/pods/*/inference_latency?labelSelector=app%3Dmodel").1
            #expect(all["items"].list.map { $0["describedObject"]["name"].string } == ["first", "second"])
            #expect(all["items"].list.map { $0["value"].string } == ["750m", "1250m"])
            let some = try await fixture.send("GET", Self.base + "/pods/*/inference_latency?metricLabelSelector=model%3Db").1
            #expect(some["items"].list.map { $0["value"].string } == ["500m"])
            #expect(some["items"][0]["metric"]["selector"]["matchLabels"]["model"].string == "b")
            let older = try await fixture.send("GET", "/apis/custom.metrics.k8s.io/v1beta1/namespaces/default/pods/second/queue_length").1
            #expect(older["items"][0]["metricName"].string == "queue_length" && older["items"][0]["value"].string == "7")
        }
    }

    @Test func thingsWithPodsHaveTheSumOfTheirs() async throws {
        try await serve { fixture in
            let service: Node = [
                "apiVersion": "v1", "kind": "Service", "metadata": ["name": "model"], "spec": ["selector": ["app": "model"], "ports": [["port": 80]]],
            ]
            #expect(try await fixture.send("POST", "/api/v1/namespaces/default/services", service.jsonText).0 == 201)
            let sum = try await fixture.send("GET", Self.base + "/services/model/inference_latency").1
            #expect(sum["items"].list.map { $0["value"].string } == ["2"])
            #expect(sum["items"][0]["describedObject"]["kind"].string == "Service")
            let whole = try await fixture.send("GET", Self.base + "/metrics/inference_latency").1
            #expect(whole["items"].list.map { $0["value"].string } == ["2"])
            #expect(whole["items"][0]["describedObject"] == ["kind": "Namespace", "name": "default", "apiVersion": "v1"])
        }
    }

    @Test func whatNobodyTellsIsNotFound() async throws {
        try await serve { fixture in
            let (code, status) = try await fixture.send("GET", Self.base + "/pods/*/unheard_of")
            #expect(code == 404)
            #expect(status["message"].string == "the server could not find the metric unheard_of for pods")
            #expect(try await fixture.send("GET", Self.base + "/pods/first/queue_length").1["message"].string == "the server could not find the metric queue_length for pods first")
            #expect(try await fixture.send("GET", Self.base + "/pods/nobody/queue_length").1["message"].string == "pods \"nobody\" not found")
            #expect(try await fixture.send("POST", Self.base + "/pods/first/queue_length", "{}").0 == 405)
        }
    }

    @Test func discoveryListsTheMetricsThatAreTold() async throws {
        try await serve { fixture in
            let list = try await fixture.send("GET", "/apis/custom.metrics.k8s.io/v1beta2").1
            #expect(list["resources"].list.contains { $0["name"].string == "pods/inference_latency" && $0["namespaced"].bool == true })
            #expect(list["resources"].list.contains { $0["name"].string == "namespaces/queue_length" && $0["namespaced"].bool == false })
            let whole = try await fixture.send("GET", "/apis", accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList").1
            let group = whole["items"].list.first { $0["metadata"]["name"].string == "custom.metrics.k8s.io" }
            #expect(group?["versions"].list.map { $0["version"].string } == ["v1beta2", "v1beta1"])
            let pods = group?["versions"][0]["resources"].list.first { $0["resource"].string == "pods" }
            #expect(pods?["verbs"].list == [])
            #expect(pods?["subresources"].list.map { $0["subresource"].string } == ["inference_latency", "queue_length"])
        }
    }

    @Test func anotherServersAPIServiceTakesTheGroup() async throws {
        try await serve { fixture in
            let backend = WebhookBackend { path, _ in
                if path == "/apis/custom.metrics.k8s.io/v1beta1" { return ["kind": "APIResourceList", "apiVersion": "v1", "resources": []] }
                return ["kind": "MetricValueList", "items": [["describedObject": ["name": "first"], "metricName": "m", "value": "9"]]]
            }
            let version = GroupVersion(group: "custom.metrics.k8s.io", version: "v1beta1")
            try await backend.serve { port, authority in
                let service: Node = [
                    "apiVersion": "v1", "kind": "Service", "metadata": ["name": "webhook"],
                    "spec": ["type": "ExternalName", "externalName": "127.0.0.1", "ports": [["port": .int(Int64(port))]]],
                ]
                #expect(try await fixture.send("POST", "/api/v1/namespaces/default/services", service.jsonText).0 == 201)
                let object: Node = [
                    "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": ["name": "v1beta1.custom.metrics.k8s.io"],
                    "spec": [
                        "group": "custom.metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100, "caBundle": .string(authority),
                        "service": ["namespace": "default", "name": "webhook", "port": .int(Int64(port))],
                    ],
                ]
                #expect(try await fixture.send("POST", "/apis/apiregistration.k8s.io/v1/apiservices", object.jsonText).0 == 201)
                _ = try await fixture.answer("/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.custom.metrics.k8s.io") {
                    $1["status"]["conditions"][0]["status"].string == "True"
                }
                #expect(try fixture.aggregated.preferredVersion(of: "custom.metrics.k8s.io", known: ["v1beta2", "v1beta1"]) == "v1beta1")
                let answer = try await fixture.aggregated.metrics(version, "namespaces/default/pods/*/m?labelSelector=a%3Db", "pods.custom.metrics.k8s.io *")
                #expect(answer["items"][0]["value"].string == "9")
                #expect(backend.paths.contains("/apis/custom.metrics.k8s.io/v1beta1/namespaces/default/pods/*/m"))
                #expect(try await fixture.send("GET", "/apis/custom.metrics.k8s.io").1["versions"].list.map { $0["version"].string } == ["v1beta1"])
                #expect(try await fixture.send("GET", Self.base + "/pods/first/inference_latency").0 == 404)
            }
            #expect(try fixture.aggregated.preferredVersion(of: "external.metrics.k8s.io", known: ["v1beta1"]) == nil)
        }
    }
}

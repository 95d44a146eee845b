import Core
import Platform
import Transport
import Tree

/// The demo's requests made by this program itself, with the administrator's certificate: for machines without kubectl.
struct AdminClient: DemoClient {
    private let http: HTTPClient
    private let endpoint: HTTPEndpoint
    var name: String { "API" }

    init(_ config: Kubeconfig) throws {
        let cluster = config.node["clusters"][0]["cluster"]
        let user = config.node["users"][0]["user"]
        guard let address = HTTPAddress(cluster["server"].string ?? ""), let roots = AdminClient.bytes(cluster["certificate-authority-data"]),
            let certificate = AdminClient.bytes(user["client-certificate-data"]), let key = AdminClient.bytes(user["client-key-data"])
        else { throw CommandFailure("the administrator's kubeconfig is incomplete") }
        endpoint = address.endpoint
        http = HTTPClient(tls: ClientTLS(roots: roots, identity: TLSIdentity(certificatePEM: certificate, keyPEM: key)))
    }

    private static func bytes(_ node: Node) -> [UInt8]? { node.string.flatMap(Base64.decode) }

    // MARK: - Requests

    func apply(_ objects: [Node]) async throws {
        for object in objects {
            let collection = AdminClient.collection(object["kind"].string ?? "")
            let name = object["metadata"]["name"].string ?? ""
            if try await send("GET", "\(collection)/\(name)", allowing: 404) == nil {
                try await send("POST", collection, object)
            } else {
                try await send("PATCH", "\(collection)/\(name)", object, type: "application/merge-patch+json")
            }
        }
    }

    func createPullSecret(_ name: String, server: String, user: String, password: String) async throws {
        let auth = Base64.encode(Array("\(user):\(password)".utf8))
        let login: Node = ["username": .string(user), "password": .string(password), "auth": .string(auth)]
        let config: Node = ["auths": .map(Fields([(server, login)]))]
        try await send("POST", AdminClient.collection("Secret"), [
            "apiVersion": "v1", "kind": "Secret", "metadata": ["name": .string(name)], "type": "kubernetes.io/dockerconfigjson",
            "data": [".dockerconfigjson": .string(Base64.encode(JSONWriter.write(config)))],
        ])
    }

    func list(_ resource: String, selector: String) async throws -> [Node] {
        let group = ["deployments", "replicasets"].contains(resource) ? "/apis/apps/v1" : "/api/v1"
        let query = selector.isEmpty ? "" : "?labelSelector=\(selector.urlEscaped)"
        return try await send("GET", "\(group)/namespaces/\(DemoNames.namespace)/\(resource)\(query)")?["items"].list ?? []
    }

    func scale(_ deployment: String, to replicas: Int) async throws {
        try await patch(deployment, ["spec": ["replicas": .int(Int64(replicas))]])
    }

    func rollout(_ deployment: String) async throws {
        let deadline = ContinuousClock.now + .seconds(DemoNames.rolloutSeconds)
        while true {
            let object = try await send("GET", "\(AdminClient.collection("Deployment"))/\(deployment)") ?? .null
            let status = object["status"]
            let wanted = object["spec"]["replicas"].int ?? 1
            let isSeen = (status["observedGeneration"].int ?? 0) >= (object["metadata"]["generation"].int ?? 1)
            if isSeen, status["updatedReplicas"].int ?? 0 == wanted, status["replicas"].int ?? 0 == wanted, status["availableReplicas"].int ?? 0 == wanted {
                return
            }
            guard ContinuousClock.now < deadline else { throw CommandFailure("\(deployment) is not rolled out after \(DemoNames.rolloutSeconds) s") }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    func undo(_ deployment: String) async throws {
        func revision(_ object: Node) -> Int { object["metadata"]["annotations"]["deployment.kubernetes.io/revision"].string.flatMap { Int($0) } ?? 0 }
        let sets = try await list("replicasets", selector: "app=\(deployment)").sorted { revision($0) > revision($1) }
        guard sets.count > 1 else { throw CommandFailure("\(deployment) has no earlier revision") }
        var template = sets[1]["spec"]["template"]
        template["metadata"]["labels"].remove("pod-template-hash")
        try await patch(deployment, ["spec": ["template": template]])
    }

    func deletePods(selector: String) async throws {
        try await send("DELETE", "/api/v1/namespaces/\(DemoNames.namespace)/pods?labelSelector=\(selector.urlEscaped)")
    }

    func deleteNamespace() async throws {
        let path = "/api/v1/namespaces/\(DemoNames.namespace)"
        guard try await send("DELETE", path, allowing: 404) != nil else { return }
        let deadline = ContinuousClock.now + .seconds(DemoNames.rolloutSeconds)
        while try await send("GET", path, allowing: 404) != nil {
            guard ContinuousClock.now < deadline else { throw CommandFailure("namespace \(DemoNames.namespace) does not go away") }
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    // MARK: -

    private func patch(_ deployment: String, _ change: Node) async throws {
        try await send("PATCH", "\(AdminClient.collection("Deployment"))/\(deployment)", change, type: "application/strategic-merge-patch+json")
    }

    private static func collection(_ kind: String) -> String {
        let inNamespace = "/namespaces/\(DemoNames.namespace)"
        return switch kind {
        case "Namespace": "/api/v1/namespaces"
        case "Deployment": "/apis/apps/v1\(inNamespace)/deployments"
        case "Service": "/api/v1\(inNamespace)/services"
        case "ConfigMap": "/api/v1\(inNamespace)/configmaps"
        default: "/api/v1\(inNamespace)/secrets"
        }
    }

    /// The answer; nil where it is the status that is allowed.
    @discardableResult
    private func send(_ method: String, _ path: String, _ body: Node? = nil, type: String = "application/json", allowing: Int? = nil) async throws -> Node? {
        let response = try await http.send(
            HTTPClientRequest(
                method, endpoint, path, headers: ["content-type": type, "accept": "application/json"],
                body: body.map { .bytes(JSONWriter.write($0)) } ?? .none))
        let answer = try JSONReader.read(try await response.body())
        if response.status == allowing { return nil }
        guard response.isSuccess else { throw CommandFailure("\(method) \(path): \(answer["message"].string ?? "status \(response.status)")") }
        return answer
    }
}

import Core
import Machinery
import Testing
import Transport
import Tree

@Suite struct PodSecurityTests {
    private static func pod(_ name: String, _ spec: Node = [:], container: Node = [:]) -> String {
        var own: Node = ["name": "c", "image": "i"]
        for (key, value) in container.fields { own[key] = value }
        var whole: Node = ["containers": [own], "automountServiceAccountToken": false]
        for (key, value) in spec.fields { whole[key] = value }
        let node: Node = ["apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string(name)], "spec": whole]
        return node.jsonText
    }

    private static func label(_ fixture: ServerFixture, _ labels: [String: String]) async throws -> (Int, Node) {
        let patch: Node = ["metadata": ["labels": Node(Dictionary(uniqueKeysWithValues: labels.map { ("pod-security.kubernetes.io/\($0.key)", $0.value) }))]]
        return try await fixture.send("PATCH", "/api/v1/namespaces/default", patch.jsonText, type: "application/merge-patch+json")
    }

    private static func prepared() async throws -> ServerFixture {
        let fixture = try await ServerFixture()
        let account: Node = ["apiVersion": "v1", "kind": "ServiceAccount", "metadata": ["name": "default"]]
        _ = try await fixture.send("POST", "/api/v1/namespaces/default/serviceaccounts", account.jsonText)
        return fixture
    }

    @Test func restrictedNamesEverythingThatIsMissing() async throws {
        let fixture = try await Self.prepared()
        #expect(try await Self.label(fixture, ["enforce": "restricted"]).0 == 200)
        let (code, refusal) = try await fixture.send("POST", "/api/v1/namespaces/default/pods", Self.pod("p", ["hostNetwork": true]))
        #expect(code == 403)
        #expect(
            refusal["message"].string
                == "pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": host namespaces (hostNetwork=true), allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
        )
        let good: Node = [
            "securityContext": ["allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]], "runAsNonRoot": true, "seccompProfile": ["type": "RuntimeDefault"]],
        ]
        let (made, answer) = try await fixture.send("POST", "/api/v1/namespaces/default/pods", Self.pod("q", container: good))
        #expect(made == 201, "\(answer.jsonText)")
        await fixture.stop()
    }

    static let cases: [(Node, Node, String)] = [
        (["securityContext": ["privileged": true]], [:], "privileged (container \"c\" must not set securityContext.privileged=true)"),
        (["ports": [["containerPort": 80, "hostPort": 8080]]], [:], "hostPort (container \"c\" uses hostPort 8080)"),
        ([:], ["volumes": [["name": "v", "hostPath": ["path": "/"]]]], "hostPath volumes (volume \"v\")"),
        (["securityContext": ["capabilities": ["add": ["NET_ADMIN"]]]], [:], "non-default capabilities (container \"c\" must not include \"NET_ADMIN\" in securityContext.capabilities.add)"),
        ([:], ["securityContext": ["sysctls": [["name": "kernel.msgmax", "value": "1"]]]], "forbidden sysctls (kernel.msgmax)"),
        ([:], ["securityContext": ["seccompProfile": ["type": "Unconfined"]]], "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")"),
    ]

    @Test(arguments: PodSecurityTests.cases)
    func baselineRefusesWhatReachesTheHost(container: Node, spec: Node, finding: String) async throws {
        let fixture = try await Self.prepared()
        #expect(try await Self.label(fixture, ["enforce": "baseline", "enforce-version": "v1.30"]).0 == 200)
        let (code, refusal) = try await fixture.send("POST", "/api/v1/namespaces/default/pods", Self.pod("p", spec, container: container))
        #expect(code == 403)
        #expect(refusal["message"].string == "pods \"p\" is forbidden: violates PodSecurity \"baseline:v1.30\": \(finding)")
        await fixture.stop()
    }

    @Test func labelsAreCheckedAndPodsThatAreThereAreWarnedOf() async throws {
        let fixture = try await Self.prepared()
        let (code, refusal) = try await Self.label(fixture, ["enforce": "strict"])
        #expect(code == 422)
        #expect(
            refusal["message"].string
                == "Namespace \"default\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted"
        )
        #expect(try await fixture.send("POST", "/api/v1/namespaces/default/pods", Self.pod("p", ["hostPID": true])).0 == 201)
        let patch: Node = ["metadata": ["labels": ["pod-security.kubernetes.io/enforce": "baseline"]]]
        let request = HTTPClientRequest(
            "PATCH", HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: fixture.server.port ?? 0), "/api/v1/namespaces/default",
            headers: ["content-type": "application/merge-patch+json"], body: .bytes(Array(patch.jsonText.utf8)))
        let answer = try await fixture.client.send(request)
        _ = try await answer.body()
        #expect(
            answer.headers.values("warning") == [
                "299 - \"existing pods in namespace \\\"default\\\" violate the new PodSecurity enforce level \\\"baseline:latest\\\"\"",
                "299 - \"p: host namespaces\"",
            ])
        await fixture.stop()
    }
}

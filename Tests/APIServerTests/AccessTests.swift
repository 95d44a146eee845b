@testable import APIServer
import Core
import Machinery
import Schema
import Store
import Testing
import Transport
import Tree

/// Who may what beside roles, and whose turn it is.
@Suite struct AccessTests {
    private static let kubelet = UserInfo(name: "system:node:n1", groups: ["system:nodes", "system:authenticated"])

    @Test func aKubeletReadsWhatItsPodsReferToAndNothingElse() async throws {
        let fixture = try await ServerFixture()
        let pod: Node = [
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "p"],
            "spec": [
                "nodeName": "n1", "automountServiceAccountToken": false, "containers": [["name": "c", "image": "i"]],
                "volumes": [["name": "v", "secret": ["secretName": "mine"]]],
            ],
        ]
        let account: Node = ["apiVersion": "v1", "kind": "ServiceAccount", "metadata": ["name": "default"]]
        _ = try await fixture.send("POST", "/api/v1/namespaces/default/serviceaccounts", account.jsonText)
        let (code, answer) = try await fixture.send("POST", "/api/v1/namespaces/default/pods", pod.jsonText)
        #expect(code == 201, "\(answer.jsonText)")
        let authorizer = RBACAuthorizer(store: fixture.store)
        func may(_ verb: String, _ resource: String, _ name: String, group: String = "", namespace: String = "default", subresource: String = "") -> Bool {
            authorizer.allows(
                Attributes(user: Self.kubelet, verb: verb, group: group, resource: resource, subresource: subresource, namespace: namespace, name: name))
        }
        #expect(may("get", "secrets", "mine"))
        #expect(!may("get", "secrets", "other"))
        #expect(!may("list", "secrets", ""))
        #expect(!may("update", "secrets", "mine"))
        #expect(may("create", "serviceaccounts", "default", subresource: "token"))
        #expect(!may("create", "serviceaccounts", "other", subresource: "token"))
        #expect(may("update", "leases", "n1", group: "coordination.k8s.io", namespace: "kube-node-lease"))
        #expect(!may("update", "leases", "n2", group: "coordination.k8s.io", namespace: "kube-node-lease"))
        #expect(may("patch", "nodes", "n1", namespace: "", subresource: "status"))
        #expect(!may("delete", "nodes", "n1", namespace: ""))
        await fixture.stop()
    }

    @Test func aKubeletWritesOnlyItsOwnNode() async throws {
        let fixture = try await ServerFixture()
        let catalog = ResourceCatalog(graph: Graph.builtIn)
        let nodes = try #require(catalog.resource(.init(group: "", version: "v1", resource: "nodes")))
        func attempt(_ name: String, _ labels: [String: String]) async -> String? {
            let object: Node = ["apiVersion": "v1", "kind": "Node", "metadata": ["name": .string(name), "labels": Node(labels)]]
            var request = AdmissionRequest(
                operation: .create, resource: nodes, subresource: "", namespace: "", name: name, object: object, old: .null, user: Self.kubelet,
                isDryRun: false, warn: { _ in })
            do throws(APIError) { try await NodeRestriction(fixture.store).admit(&request) } catch { return error.message }
            return nil
        }
        #expect(await attempt("n1", ["kubernetes.io/hostname": "n1", "mine": "1"]) == nil)
        #expect(await attempt("n2", [:]) == "nodes \"n2\" is forbidden: node \"n1\" is not allowed to modify node \"n2\"")
        #expect(
            await attempt("n1", ["node-role.kubernetes.io/master": ""])
                == "nodes \"n1\" is forbidden: is not allowed to modify labels: node-role.kubernetes.io/master")
        await fixture.stop()
    }

    @Test func flowsOfALevelTakeTurnsAndWhatIsTooMuchIsRefused() async throws {
        let fixture = try await ServerFixture()
        let level: Node = [
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration", "metadata": ["name": "small"],
            "spec": [
                "type": "Limited",
                "limited": [
                    "nominalConcurrencyShares": 1, "limitResponse": ["type": "Queue", "queuing": ["queues": 64, "handSize": 1, "queueLengthLimit": 1]],
                ],
            ],
        ]
        let schema: Node = [
            "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": ["name": "people"],
            "spec": [
                "matchingPrecedence": 1000, "priorityLevelConfiguration": ["name": "small"], "distinguisherMethod": ["type": "ByUser"],
                "rules": [
                    [
                        "subjects": [["kind": "Group", "group": ["name": "people"]]],
                        "resourceRules": [["verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true]],
                    ],
                ],
            ],
        ]
        #expect(try await fixture.send("POST", "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations", level.jsonText).0 == 201)
        let (code, answer) = try await fixture.send("POST", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", schema.jsonText)
        #expect(code == 201, "\(answer.jsonText)")
        let control = FlowControl(fixture.store, seats: 1)
        let info = RequestInfo(method: "GET", path: "/api/v1/pods") { _ in nil }
        func match(_ name: String) throws -> FlowSchemas.Match { try #require(control.match(UserInfo(name: name, groups: ["people"]), info)) }
        let first = try match("greedy")
        #expect(first.schema == "people")
        #expect(control.match(UserInfo(name: "x", groups: ["strangers"]), info) == nil)
        let seat = try #require(await control.enter(first, info))
        let greedy = Task { await control.enter(try match("greedy"), info) }
        while control.waiting("small") < 1 { await Task.yield() }
        #expect(await control.enter(first, info) == nil, "one of the flow waits already")
        let modest = Task { await control.enter(try match("modest"), info) }
        while control.waiting("small") < 2 { await Task.yield() }
        control.leave(seat)
        // There is one seat: each gets it when the one before gives it back.
        let served = try await withThrowingTaskGroup(of: Bool.self) { group in
            for task in [greedy, modest] {
                group.addTask {
                    guard let seat = try await task.value else { return false }
                    control.leave(seat)
                    return true
                }
            }
            return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(served == 2)
        let dump = try #require(control.dump("dump_priority_levels", withDetails: false))
        #expect(dump.contains("\nsmall,") && dump.split(separator: "\n").first?.hasPrefix("PriorityLevelName, ActiveQueues, IsIdle, ") == true, "\(dump)")
        #expect(control.metrics().contains("apiserver_flowcontrol_rejected_requests_total{priority_level=\"small\",reason=\"queue-full\"} 1"))
        await fixture.stop()
    }

    @Test func aBootstrapTokenIsItsSecret() async throws {
        let fixture = try await ServerFixture()
        let secret: Node = [
            "apiVersion": "v1", "kind": "Secret", "metadata": ["name": "bootstrap-token-abcdef"], "type": "bootstrap.kubernetes.io/token",
            "stringData": [
                "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
                "auth-extra-groups": "system:bootstrappers:workers,other",
            ],
        ]
        #expect(try await fixture.send("POST", "/api/v1/namespaces/kube-system/secrets", secret.jsonText).0 == 201)
        let tokens = BootstrapTokenAuthenticator(store: fixture.store)
        #expect(tokens.user(of: "abcdef.0123456789abcdef") == UserInfo(name: "system:bootstrap:abcdef", groups: ["system:bootstrappers", "system:bootstrappers:workers"]))
        #expect(tokens.user(of: "abcdef.0123456789abcdee") == nil)
        #expect(tokens.user(of: "nothing") == nil)
        await fixture.stop()
    }
}

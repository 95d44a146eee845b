import APIServer
import Client
import Core
import Machinery
import Scheduler
import Schema
import Store
import Testing
import Tree

@testable import Controllers

/// The controllers over the real API in this process, with a store in memory. A node agent is played by the test.
@Suite(.timeLimit(.minutes(10))) struct LiveTests {
    private static let deployment: Node = [
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "web", "namespace": "default"],
        "spec": [
            "replicas": 3, "selector": ["matchLabels": ["app": "web"]],
            "template": ["metadata": ["labels": ["app": "web"]], "spec": ["containers": [["name": "c", "image": "i1"]]]],
        ],
    ]

    @Test func deploymentGetsPodsWithNodesAndServiceGetsEndpoints() async throws {
        try await LiveCluster.run { cluster in
            try await cluster.addNode("n1")
            _ = try await cluster.client.create(
                .services, namespace: "default",
                [
                    "apiVersion": "v1", "kind": "Service", "metadata": ["name": "web", "namespace": "default"],
                    "spec": ["selector": ["app": "web"], "ports": [["port": 80]], "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"]],
                ])
            _ = try await cluster.client.create(.deployments, namespace: "default", LiveTests.deployment)
            try await cluster.until("three available") {
                cluster.view.get(.deployments, ObjectKey("default", "web"))?["status"]["availableReplicas"].int == 3
            }
            try await cluster.until("three endpoints") {
                cluster.view.read { $0[.endpointSlices].objects.values.map { $0["endpoints"].list.count }.reduce(0, +) } == 3
            }
            let condition = cluster.view.get(.deployments, ObjectKey("default", "web"))?["status"].condition("Available")
            #expect(condition?["status"].string == "True")
            let sets = cluster.view.read { Array($0[.replicaSets].objects.values) }
            #expect(sets.count == 1)
            #expect(sets.first?.annotations["deployment.kubernetes.io/revision"] == "1")
        }
    }

    @Test func rollingUpdateEndsWithOneSetThatHasAllPods() async throws {
        try await LiveCluster.run { cluster in
            try await cluster.addNode("n1")
            _ = try await cluster.client.create(.deployments, namespace: "default", LiveTests.deployment)
            let key = ObjectKey("default", "web")
            try await cluster.until("first rollout") { cluster.view.get(.deployments, key)?["status"]["availableReplicas"].int == 3 }
            _ = try await cluster.client.patch(
                .deployments, key, .strategic, ["spec": ["template": ["spec": ["containers": [["name": "c", "image": "i2"]]]]]], subresource: nil)
            try await cluster.until("second rollout") {
                let status = cluster.view.get(.deployments, key)?["status"]
                let progress = status?.condition("Progressing")?["reason"].string
                return status?["updatedReplicas"].int == 3 && status?["replicas"].int == 3 && status?["availableReplicas"].int == 3
                    && status?["observedGeneration"].int == 2 && progress == "NewReplicaSetAvailable"
            }
            #expect(cluster.view.get(.deployments, key)?.annotations["deployment.kubernetes.io/revision"] == "2")
        }
    }

    @Test func refusedPodsAreToldInConditionsAndAnEvent() async throws {
        try await LiveCluster.run { cluster in
            var deployment = LiveTests.deployment
            deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "forbidden"
            _ = try await cluster.client.create(.deployments, namespace: "default", deployment)
            let key = ObjectKey("default", "web")
            try await cluster.until("failure told") {
                cluster.view.get(.deployments, key)?["status"].condition("ReplicaFailure")?["reason"].string == "FailedCreate"
            }
            let message = cluster.view.get(.deployments, key)?["status"].condition("ReplicaFailure")?["message"].string ?? ""
            #expect(message.contains("is forbidden: exceeded quota"))
            for _ in 0..<20_000 {
                let events = try await cluster.client.list(.events, ListOptions(namespace: "default")).items
                if events.contains(where: { $0["reason"].string == "FailedCreate" && $0["message"].string?.hasPrefix("Error creating: pods ") == true }) { return }
                try await Task.sleep(for: .milliseconds(10))
            }
            Issue.record("no event FailedCreate")
        }
    }

    @Test func deletedDeploymentTakesItsSetsAndPodsWithIt() async throws {
        try await LiveCluster.run { cluster in
            try await cluster.addNode("n1")
            _ = try await cluster.client.create(.deployments, namespace: "default", LiveTests.deployment)
            try await cluster.until("pods") { cluster.view.read { $0[.pods].count } == 3 }
            _ = try await cluster.client.delete(.deployments, ObjectKey("default", "web"), DeleteOptions(propagation: .foreground))
            try await cluster.until("all gone") {
                cluster.view.read { $0[.pods].count + $0[.replicaSets].count + $0[.deployments].count } == 0
            }
        }
    }

    @Test func orphanedSetStaysAndItsPodsToo() async throws {
        try await LiveCluster.run { cluster in
            _ = try await cluster.client.create(.deployments, namespace: "default", LiveTests.deployment)
            try await cluster.until("pods") { cluster.view.read { $0[.pods].count } == 3 }
            _ = try await cluster.client.delete(.deployments, ObjectKey("default", "web"), DeleteOptions(propagation: .orphan))
            try await cluster.until("deployment gone") { cluster.view.read { $0[.deployments].count } == 0 }
            let sets = cluster.view.read { Array($0[.replicaSets].objects.values) }
            #expect(sets.count == 1)
            #expect(sets.allSatisfy { $0.owners.isEmpty })
            #expect(cluster.view.read { $0[.pods].count } == 3)
        }
    }

    @Test func namespaceGetsItsDefaultsAndIsEmptiedBeforeItGoes() async throws {
        try await LiveCluster.run { cluster in
            _ = try await cluster.client.create(.namespaces, namespace: "", ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "team"]])
            try await cluster.until("defaults") {
                cluster.view.get(.serviceAccounts, ObjectKey("team", "default")) != nil && cluster.view.get(.configMaps, ObjectKey("team", "kube-root-ca.crt")) != nil
            }
            var deployment = LiveTests.deployment
            deployment["metadata"]["namespace"] = "team"
            _ = try await cluster.client.create(.deployments, namespace: "team", deployment)
            try await cluster.until("pods") { cluster.view.read { $0[.pods].count } == 3 }
            _ = try await cluster.client.delete(.namespaces, ObjectKey("", "team"), DeleteOptions())
            try await cluster.until("namespace gone") { cluster.view.get(.namespaces, ObjectKey("", "team")) == nil }
            // The default namespace keeps its ConfigMap.
            try await cluster.until("nothing left") { cluster.view.read { $0[.pods].count + $0[.configMaps].count } == 1 }
        }
    }

    @Test func aThousandPodsAreBound() async throws {
        try await LiveCluster.run { cluster in
            for index in 0..<100 { try await cluster.addNode("n\(index)") }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<1000 {
                    group.addTask {
                        _ = try await cluster.client.create(
                            .pods, namespace: "default",
                            [
                                "apiVersion": "v1", "kind": "Pod", "metadata": ["name": .string("p\(index)"), "namespace": "default"],
                                "spec": ["containers": [["name": "c", "image": "i", "resources": ["requests": ["cpu": "100m"]]]]],
                            ])
                    }
                }
                try await group.waitForAll()
            }
            try await cluster.until("all bound") { cluster.view.read { $0[.pods].objects.values.allSatisfy { !$0["spec"]["nodeName"].isEmpty } } }
        }
    }
}

/// The controllers of other workloads, live.
@Suite(.timeLimit(.minutes(10))) struct LiveWorkloadTests {
    private static func template(_ extra: Node = .emptyMap) -> Node {
        var template: Node = ["metadata": ["labels": ["app": "w"]], "spec": ["containers": [["name": "c", "image": "i"]]]]
        for (key, value) in extra.fields { template["spec"][key] = value }
        return template
    }

    @Test func daemonSetHasAPodOnEveryNode() async throws {
        try await LiveCluster.run { cluster in
            for name in ["n1", "n2", "n3"] { try await cluster.addNode(name) }
            _ = try await cluster.client.create(
                .daemonSets, namespace: "default",
                [
                    "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": ["name": "d", "namespace": "default"],
                    "spec": ["selector": ["matchLabels": ["app": "w"]], "template": LiveWorkloadTests.template()],
                ])
            try await cluster.until("all ready") { cluster.view.get(.daemonSets, ObjectKey("default", "d"))?["status"]["numberAvailable"].int == 3 }
            let places = cluster.view.read { Set($0[.pods].objects.values.compactMap { $0["spec"]["nodeName"].string }) }
            #expect(places == ["n1", "n2", "n3"])
            _ = try await cluster.client.patch(
                .daemonSets, ObjectKey("default", "d"), .strategic, ["spec": ["template": ["spec": ["containers": [["name": "c", "image": "i2"]]]]]],
                subresource: nil)
            try await cluster.until("all updated") {
                let status = cluster.view.get(.daemonSets, ObjectKey("default", "d"))?["status"]
                return status?["updatedNumberScheduled"].int == 3 && status?["numberAvailable"].int == 3 && status?["observedGeneration"].int == 2
            }
        }
    }

    @Test func statefulSetGrowsInOrderAndTakesAnUpdate() async throws {
        try await LiveCluster.run { cluster in
            try await cluster.addNode("n1")
            let key = ObjectKey("default", "s")
            _ = try await cluster.client.create(
                .statefulSets, namespace: "default",
                [
                    "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": ["name": "s", "namespace": "default"],
                    "spec": ["replicas": 3, "serviceName": "s", "selector": ["matchLabels": ["app": "w"]], "template": LiveWorkloadTests.template()],
                ])
            try await cluster.until("three ready") { cluster.view.get(.statefulSets, key)?["status"]["readyReplicas"].int == 3 }
            let names = cluster.view.read { $0[.pods].objects.values.sorted { $0.revision < $1.revision }.map(\.name) }
            #expect(Set(names) == ["s-0", "s-1", "s-2"])
            _ = try await cluster.client.patch(
                .statefulSets, key, .strategic, ["spec": ["template": ["spec": ["containers": [["name": "c", "image": "i2"]]]]]], subresource: nil)
            try await cluster.until("updated") {
                guard let status = cluster.view.get(.statefulSets, key)?["status"] else { return false }
                return status["updatedReplicas"].int == 3 && status["readyReplicas"].int == 3 && status["currentRevision"] == status["updateRevision"]
                    && status["observedGeneration"].int == 2
            }
            #expect(cluster.view.read { $0[.pods].objects.values.allSatisfy { $0["spec"]["containers"][0]["image"].string == "i2" } })
        }
    }

    @Test func jobCompletesWhenItsPodsHaveSucceeded() async throws {
        try await LiveCluster.run { cluster in
            try await cluster.addNode("n1")
            let key = ObjectKey("default", "j")
            _ = try await cluster.client.create(
                .jobs, namespace: "default",
                [
                    "apiVersion": "batch/v1", "kind": "Job", "metadata": ["name": "j", "namespace": "default"],
                    "spec": [
                        "completions": 3, "parallelism": 2,
                        "template": LiveWorkloadTests.template(["restartPolicy": "Never"]),
                    ],
                ])
            for _ in 0..<20_000 {
                for pod in cluster.view.read({ Array($0[.pods].objects.values) }) where pod["status"]["phase"].string == "Running" {
                    var ended = pod
                    ended["status"]["phase"] = "Succeeded"
                    ended["status"]["conditions"] = [["type": "Ready", "status": "False"]]
                    _ = try? await cluster.client.update(.pods, ended, subresource: "status")
                }
                if cluster.view.get(.jobs, key)?["status"].condition("Complete") != nil { break }
                try await Task.sleep(for: .milliseconds(10))
            }
            let status = try #require(cluster.view.get(.jobs, key)?["status"])
            #expect(status["succeeded"].int == 3)
            #expect(status.condition("Complete")?["reason"].string == "CompletionsReached")
            #expect(cluster.view.read { $0[.pods].objects.values.allSatisfy { $0.finalizers.isEmpty } })
        }
    }
}

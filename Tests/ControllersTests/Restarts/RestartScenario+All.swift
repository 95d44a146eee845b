import APIServer
import Client
import Core
import Kinds
import Machinery
import Schema
import Tree

@testable import Controllers

extension RestartScenario {
    static let all: [String: RestartScenario] = [
        "Deployment": deployment, "StatefulSet": statefulSet, "DaemonSet": daemonSet, "Job": job, "CronJob": cronJob, "foreground deletion": foreground,
        "orphaning": orphaning, "namespace": namespace, "quota and budget": quota, "autoscaler": autoscaler,
        "silent node": silentNode, "ephemeral volume": ephemeral,
    ]

    // MARK: - Words to tell scenarios in

    private static let always: @Sendable (ClusterView) -> Bool = { _ in true }

    private static func template(_ image: String = "i1", _ play: String? = nil, _ extra: Node = .emptyMap) -> Node {
        var out: Node = ["metadata": ["labels": ["app": "w"]], "spec": ["containers": [["name": "c", "image": .string(image)]]]]
        if let play { out["metadata"]["annotations"]["play"] = .string(play) }
        for (key, value) in extra.fields { out["spec"][key] = value }
        return out
    }

    private static func make(_ apiVersion: String, _ kind: String, _ name: String, namespace: String = "default", _ spec: Node) -> Node {
        ["apiVersion": .string(apiVersion), "kind": .string(kind), "metadata": ["name": .string(name), "namespace": .string(namespace)], "spec": spec]
    }

    private static func create(_ resource: GroupVersionResource, _ object: Node) -> @Sendable (any ClusterClient) async throws -> Void {
        { client in _ = try await client.create(resource, namespace: object.namespace, object) }
    }

    private static func status(_ view: ClusterView, _ resource: GroupVersionResource, _ name: String, _ namespace: String = "default") -> Node {
        view.get(resource, ObjectKey(namespace, name))?["status"] ?? .null
    }

    private static let image: Node = ["spec": ["template": ["spec": ["containers": [["name": "c", "image": "i2"]]]]]]

    private static func isRolledOut(_ view: ClusterView, _ generation: Int64, _ replicas: Int64) -> Bool {
        let status = RestartScenario.status(view, .deployments, "web")
        return status["observedGeneration"].int == generation && status["updatedReplicas"].int == replicas && status["availableReplicas"].int == replicas
            && status["replicas"].int == replicas && status.condition("Progressing")?["reason"].string == "NewReplicaSetAvailable"
    }

    private static func web(_ replicas: Int64 = 2, namespace: String = "default") -> Node {
        make("apps/v1", "Deployment", "web", namespace: namespace, ["replicas": .int(replicas), "selector": ["matchLabels": ["app": "w"]], "template": template()])
    }

    // MARK: - Workloads

    private static let deployment = RestartScenario(
        steps: [
            Step(when: always) { client in
                _ = try await client.create(
                    .services, namespace: "default", make("v1", "Service", "web", ["selector": ["app": "w"], "ports": [["port": 80]], "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"]]))
                _ = try await client.create(.deployments, namespace: "default", web())
            },
            Step(when: { isRolledOut($0, 1, 2) }) { client in
                _ = try await client.patch(.deployments, ObjectKey("default", "web"), .strategic, image, subresource: nil)
            },
        ],
        isOver: { view in
            isRolledOut(view, 2, 2)
                && view.read { $0[.endpointSlices].objects.values.flatMap { $0["endpoints"].list }.filter { $0["conditions"]["ready"].bool == true }.count } == 2
        })

    private static let statefulSet = RestartScenario(
        steps: [
            Step(when: always) { client in
                for index in 0..<2 {
                    let volume: Node = [
                        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": ["generateName": "pv-", "name": .string("pv-\(index)")],
                        "spec": [
                            "capacity": ["storage": "1Gi"], "accessModes": ["ReadWriteOnce"], "storageClassName": "manual", "hostPath": ["path": "/tmp/none"],
                            "persistentVolumeReclaimPolicy": "Retain",
                        ],
                    ]
                    _ = try await client.create(.persistentVolumes, namespace: "", volume)
                }
                let claim: Node = [
                    "metadata": ["name": "data"],
                    "spec": ["accessModes": ["ReadWriteOnce"], "storageClassName": "manual", "resources": ["requests": ["storage": "1Gi"]]],
                ]
                _ = try await client.create(
                    .statefulSets, namespace: "default",
                    make(
                        "apps/v1", "StatefulSet", "s",
                        [
                            "replicas": 2, "serviceName": "s", "selector": ["matchLabels": ["app": "w"]], "template": template(), "volumeClaimTemplates": [claim],
                            "persistentVolumeClaimRetentionPolicy": ["whenScaled": "Delete", "whenDeleted": "Retain"],
                        ]))
            },
            Step(when: { status($0, .statefulSets, "s")["availableReplicas"].int == 2 }) { client in
                _ = try await client.patch(.statefulSets, ObjectKey("default", "s"), .strategic, image, subresource: nil)
            },
            Step(when: { view in
                let status = RestartScenario.status(view, .statefulSets, "s")
                return status["observedGeneration"].int == 2 && status["updatedReplicas"].int == 2 && status["availableReplicas"].int == 2
                    && status["currentRevision"] == status["updateRevision"]
            }) { client in
                _ = try await client.patch(.statefulSets, ObjectKey("default", "s"), .merge, ["spec": ["replicas": 1]], subresource: nil)
            },
        ],
        isOver: { view in
            let status = RestartScenario.status(view, .statefulSets, "s")
            return status["observedGeneration"].int == 3 && status["replicas"].int == 1 && status["availableReplicas"].int == 1
                && view.read { $0[.persistentVolumeClaims].count } == 1
                && view.read { $0[.persistentVolumes].objects.values.contains { $0["status"]["phase"].string == "Released" } }
        })

    private static let daemonSet = RestartScenario(
        nodes: 3,
        steps: [
            Step(when: always, act: create(.daemonSets, make("apps/v1", "DaemonSet", "d", ["selector": ["matchLabels": ["app": "w"]], "template": template()]))),
            Step(when: { status($0, .daemonSets, "d")["numberAvailable"].int == 3 }) { client in
                _ = try await client.patch(.daemonSets, ObjectKey("default", "d"), .strategic, image, subresource: nil)
            },
        ],
        isOver: { view in
            let status = RestartScenario.status(view, .daemonSets, "d")
            return status["observedGeneration"].int == 2 && status["updatedNumberScheduled"].int == 3 && status["numberAvailable"].int == 3
                && status["currentNumberScheduled"].int == 3
        })

    private static let job = RestartScenario(
        steps: [
            Step(
                when: always,
                act: create(
                    .jobs,
                    make(
                        "batch/v1", "Job", "j",
                        [
                            "completions": 3, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 2,
                            "template": template("i1", "stumble", ["restartPolicy": "Never"]),
                        ])))
        ],
        isOver: { status($0, .jobs, "j").condition("Complete")?["status"].string == "True" })

    private static let cronJob = RestartScenario(
        steps: [
            Step(
                when: always,
                act: create(
                    .cronJobs,
                    make(
                        "batch/v1", "CronJob", "c",
                        [
                            "schedule": "* * * * *", "successfulJobsHistoryLimit": 1, "concurrencyPolicy": "Forbid",
                            "jobTemplate": ["spec": ["template": template("i1", "succeed", ["restartPolicy": "Never"])]],
                        ]))),
            // The second job cleans the first one away; then nothing more is to begin.
            Step(when: { view in view.read { $0[.jobs].count == 2 } }) { client in
                _ = try await client.patch(.cronJobs, ObjectKey("default", "c"), .merge, ["spec": ["suspend": true]], subresource: nil)
            },
        ],
        isOver: { view in
            view.read { state in
                let jobs = state[.jobs].objects.values
                return jobs.count == 1 && jobs.allSatisfy { JobRun.isFinished($0) } && state[.cronJobs].objects.values.allSatisfy { $0["status"]["active"].list.isEmpty }
                    && state[.pods].count == 1
            }
        })

    // MARK: - Deletion

    private static let foreground = RestartScenario(
        steps: [
            Step(when: always, act: create(.deployments, web())),
            Step(when: { isRolledOut($0, 1, 2) }) { client in
                try await client.delete(.deployments, ObjectKey("default", "web"), DeleteOptions(propagation: .foreground))
            },
        ],
        isOver: { view in view.read { $0[.pods].count + $0[.replicaSets].count + $0[.deployments].count } == 0 })

    private static let orphaning = RestartScenario(
        steps: [
            Step(when: always, act: create(.deployments, web())),
            Step(when: { isRolledOut($0, 1, 2) }) { client in
                try await client.delete(.deployments, ObjectKey("default", "web"), DeleteOptions(propagation: .orphan))
            },
        ],
        isOver: { view in
            view.read { $0[.deployments].count == 0 && $0[.replicaSets].objects.values.allSatisfy { $0.owners.isEmpty } && $0[.pods].count == 2 }
        })

    private static let namespace = RestartScenario(
        steps: [
            Step(when: always) { client in
                _ = try await client.create(.namespaces, namespace: "", ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "team"]])
            },
            Step(when: { $0.get(.serviceAccounts, ObjectKey("team", "default")) != nil }, act: create(.deployments, web(namespace: "team"))),
            Step(when: { status($0, .deployments, "web", "team")["availableReplicas"].int == 2 }) { client in
                try await client.delete(.namespaces, ObjectKey("", "team"), DeleteOptions())
            },
        ],
        isOver: { view in
            view.get(.namespaces, ObjectKey("", "team")) == nil && view.read { $0[.pods].count == 0 && $0[.configMaps].count == 1 && $0[.serviceAccounts].count == 1 }
        })

    // MARK: - Nodes and volumes

    /// One of two nodes falls silent; its pod is evicted when the time that it tolerates is over, and replaced on the other.
    private static let silentNode = RestartScenario(
        nodes: 2, nodeGrace: .seconds(40),
        steps: [
            Step(when: always) { client in
                // The other one is heard for ever.
                _ = try await client.create(
                    .leases, namespace: "kube-node-lease",
                    [
                        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": ["name": "n1", "namespace": "kube-node-lease"],
                        "spec": ["holderIdentity": "n1", "renewTime": "2999-01-01T00:00:00.000000Z"],
                    ])
                let tolerations: Node = [
                    ["key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300],
                    ["key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300],
                ]
                let apart: Node = [
                    "podAntiAffinity": [
                        "preferredDuringSchedulingIgnoredDuringExecution": [
                            ["weight": 100, "podAffinityTerm": ["labelSelector": ["matchLabels": ["app": "w"]], "topologyKey": "kubernetes.io/hostname"]]
                        ]
                    ]
                ]
                var deployment = web()
                deployment["spec"]["template"] = template("i1", nil, ["tolerations": tolerations, "affinity": apart])
                _ = try await client.create(.deployments, namespace: "default", deployment)
            }
        ],
        isOver: { view in
            let status = RestartScenario.status(view, .deployments, "web")
            return status["availableReplicas"].int == 2 && status["replicas"].int == 2
                && view.read { state in
                    state[.pods].count == 2 && state[.pods].objects.values.allSatisfy { $0["spec"]["nodeName"].string == "n1" && PodView($0).isReady }
                        && state[.nodes].objects.values.contains { $0.name == "n0" && $0["spec"]["taints"].list.count == 2 }
                }
        })

    private static let ephemeral = RestartScenario(
        steps: [
            Step(when: always) { client in
                _ = try await client.create(
                    .persistentVolumes, namespace: "",
                    [
                        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": ["name": "pv-0"],
                        "spec": [
                            "capacity": ["storage": "1Gi"], "accessModes": ["ReadWriteOnce"], "storageClassName": "manual", "hostPath": ["path": "/tmp/none"],
                            "persistentVolumeReclaimPolicy": "Retain",
                        ],
                    ])
                var spec = template()["spec"]
                spec["volumes"] = [
                    [
                        "name": "scratch",
                        "ephemeral": [
                            "volumeClaimTemplate": [
                                "spec": ["accessModes": ["ReadWriteOnce"], "storageClassName": "manual", "resources": ["requests": ["storage": "1Gi"]]]
                            ]
                        ],
                    ]
                ]
                _ = try await client.create(.pods, namespace: "default", make("v1", "Pod", "p", spec))
            },
            Step(when: { view in view.get(.pods, ObjectKey("default", "p")).map { PodView($0).isReady } == true }) { client in
                try await client.delete(.pods, ObjectKey("default", "p"), DeleteOptions())
            },
        ],
        isOver: { view in
            view.read { state in
                state[.pods].count == 0 && state[.persistentVolumeClaims].count == 0
                    && state[.persistentVolumes].objects.values.allSatisfy { $0["status"]["phase"].string == "Released" }
            }
        })

    // MARK: - Counting

    private static let quota = RestartScenario(
        steps: [
            Step(when: always) { client in
                _ = try await client.create(.resourceQuotas, namespace: "default", make("v1", "ResourceQuota", "q", ["hard": ["pods": "3", "count/replicasets.apps": "2"]]))
                _ = try await client.create(
                    .podDisruptionBudgets, namespace: "default", make("policy/v1", "PodDisruptionBudget", "b", ["minAvailable": "50%", "selector": ["matchLabels": ["app": "w"]]]))
            },
            Step(when: { !status($0, .resourceQuotas, "q")["used"].isNull }, act: create(.deployments, web(3))),
            Step(when: { isRolledOut($0, 1, 3) && status($0, .podDisruptionBudgets, "b")["currentHealthy"].int == 3 }) { client in
                _ = try await client.patch(.deployments, ObjectKey("default", "web"), .merge, ["spec": ["replicas": 1]], subresource: nil)
            },
        ],
        isOver: { view in
            isRolledOut(view, 2, 1) && status(view, .resourceQuotas, "q")["used"]["pods"].string == "1" && status(view, .podDisruptionBudgets, "b")["currentHealthy"].int == 1
                && status(view, .podDisruptionBudgets, "b")["expectedPods"].int == 1
        })

    /// Up under load; back down when it is over and the window has passed.
    private static let autoscaler = RestartScenario(
        scaling: { LoadFromAnnotation(client: $0) },
        steps: [
            Step(when: always) { client in
                var deployment = web()
                deployment["spec"]["template"]["spec"]["containers"][0]["resources"] = ["requests": ["cpu": "100m"]]
                deployment["metadata"]["annotations"]["load"] = "100"
                _ = try await client.create(.deployments, namespace: "default", deployment)
                _ = try await client.create(
                    .horizontalPodAutoscalers, namespace: "default",
                    make(
                        "autoscaling/v2", "HorizontalPodAutoscaler", "h",
                        [
                            "minReplicas": 2, "maxReplicas": 4, "scaleTargetRef": ["apiVersion": "apps/v1", "kind": "Deployment", "name": "web"],
                            "metrics": [["type": "Resource", "resource": ["name": "cpu", "target": ["type": "Utilization", "averageUtilization": 50]]]],
                        ]))
            },
            Step(when: { status($0, .horizontalPodAutoscalers, "h")["currentReplicas"].int == 4 && status($0, .deployments, "web")["availableReplicas"].int == 4 }) { client in
                _ = try await client.patch(.deployments, ObjectKey("default", "web"), .merge, ["metadata": ["annotations": ["load": "10"]]], subresource: nil)
            },
        ],
        isOver: { view in
            let status = RestartScenario.status(view, .horizontalPodAutoscalers, "h")
            return status["currentReplicas"].int == 2 && status["desiredReplicas"].int == 2 && status.condition("AbleToScale")?["reason"].string == "ReadyForNewScale"
                && RestartScenario.status(view, .deployments, "web")["availableReplicas"].int == 2 && RestartScenario.status(view, .deployments, "web")["replicas"].int == 2
        })
}

/// Every pod uses as many thousandths of a processor as the Deployment's annotation says.
private struct LoadFromAnnotation: ScalingSource {
    let client: any ClusterClient
    private let key = ObjectKey("default", "web")

    init(client: any ClusterClient) { self.client = client }

    func scale(apiVersion: String, kind: String, namespace: String, name: String) async throws -> Node {
        let object = try await client.get(.deployments, ObjectKey(namespace, name))
        return [
            "spec": ["replicas": object["spec"]["replicas"]],
            "status": ["replicas": .int(object["status"]["replicas"].int ?? 0), "selector": .string(LabelSelector(object: object["spec"]["selector"]).description)],
        ]
    }

    func setReplicas(_ replicas: Int64, apiVersion: String, kind: String, namespace: String, name: String) async throws {
        _ = try await client.patch(.deployments, ObjectKey(namespace, name), .merge, ["spec": ["replicas": .int(replicas)]], subresource: nil)
    }

    func podMetrics(namespace: String) async throws -> [Node] {
        let load = try await client.get(.deployments, key).annotations["load"] ?? "0"
        return try await client.list(.pods, ListOptions(namespace: namespace)).items.map { pod in
            [
                "metadata": ["name": .string(pod.name), "labels": pod["metadata"]["labels"]],
                "containers": [["name": "c", "usage": ["cpu": .string("\(load)m")]]],
            ]
        }
    }

    func podsMetric(_ name: String, namespace: String, pods: LabelSelector, metric: Node) async throws -> [Node] { [] }
    func objectMetric(_ name: String, namespace: String, object: Node, metric: Node) async throws -> Node { .null }
    func externalMetric(_ name: String, namespace: String, metric: Node) async throws -> [Node] { [] }
}

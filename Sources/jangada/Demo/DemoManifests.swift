import Tree

/// The story's objects.
struct DemoManifests: Sendable {
    /// `localhost:5000/meu-registry`.
    let prefix: String

    static let namespace: Node = ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(DemoNames.namespace)]]

    func image(_ name: String, _ version: String) -> String { "\(prefix)/\(name):\(version)" }

    func deployment(version: String, replicas: Int?) -> Node {
        let labels: Node = ["app": .string(DemoNames.api)]
        var object: Node = [
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": ["name": .string(DemoNames.api), "namespace": .string(DemoNames.namespace), "labels": labels],
            "spec": [
                "selector": ["matchLabels": labels],
                "strategy": ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": 1, "maxUnavailable": 0]],
                "template": [
                    "metadata": ["labels": labels],
                    "spec": [
                        "imagePullSecrets": [["name": .string(DemoNames.secret)]],
                        "terminationGracePeriodSeconds": 15,
                        "containers": [
                            [
                                "name": "app", "image": .string(image(DemoNames.api, version)), "ports": [["name": "http", "containerPort": 8080]],
                                "readinessProbe": ["httpGet": ["path": "/readyz", "port": "http"], "periodSeconds": 1],
                                "livenessProbe": ["httpGet": ["path": "/healthz", "port": "http"], "periodSeconds": 5],
                                "resources": [
                                    "requests": ["cpu": "20m", "memory": "16Mi"], "limits": ["memory": "64Mi"],
                                ],
                            ]
                        ],
                    ],
                ],
            ],
        ]
        if let replicas { object["spec"]["replicas"] = .int(Int64(replicas)) }
        return object
    }

    func worker(version: String) -> [Node] {
        let labels: Node = ["app": .string(DemoNames.worker)]
        let meta: Node = ["name": .string(DemoNames.worker), "namespace": .string(DemoNames.namespace), "labels": labels]
        return [
            ["apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": ["worker.conf": "INTERVAL_MS=500\nQUEUE=promo\n"]],
            [
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
                "spec": [
                    "replicas": 1, "selector": ["matchLabels": labels],
                    "template": [
                        "metadata": ["labels": labels],
                        "spec": [
                            "imagePullSecrets": [["name": .string(DemoNames.secret)]],
                            "containers": [
                                [
                                    "name": "worker", "image": .string(image(DemoNames.worker, version)),
                                    "volumeMounts": [["name": "config", "mountPath": "/config"]],
                                    "resources": ["requests": ["cpu": "10m", "memory": "16Mi"]],
                                ]
                            ],
                            "volumes": [["name": "config", "configMap": ["name": .string(DemoNames.worker)]]],
                        ],
                    ],
                ],
            ],
        ]
    }

    static let service: Node = [
        "apiVersion": "v1", "kind": "Service", "metadata": ["name": .string(DemoNames.api), "namespace": .string(DemoNames.namespace)],
        "spec": [
            "type": "LoadBalancer", "selector": ["app": .string(DemoNames.api)],
            "ports": [["name": "http", "port": 80, "targetPort": "http"]],
        ],
    ]
}

import Kinds
import Machinery
import Testing
import Tree

struct KindRulesTests {
    private static let template = "template: {metadata: {labels: {app: a}}, spec: {containers: [{name: a, image: i}]}}"

    private static func yaml(_ apiVersion: String, _ kind: String, _ rest: String, name: String = "x") -> String {
        "apiVersion: \(apiVersion)\nkind: \(kind)\nmetadata: {name: \(name), namespace: default}\n\(rest)\n"
    }

    @Test(arguments: [
        (yaml("apps/v1", "Deployment", "spec: {selector: {matchLabels: {app: a}}, \(template)}"), []),
        (
            yaml("apps/v1", "Deployment", "spec: {selector: {matchLabels: {app: b}}, \(template)}"),
            ["spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`"]
        ),
        (
            yaml("apps/v1", "Deployment", "spec: {\(template)}"),
            [
                "spec.selector: Required value",
                "spec.template.metadata.labels: Invalid value: {\"app\":\"a\"}: `selector` does not match template `labels`",
            ]
        ),
        (
            yaml("apps/v1", "Deployment", "spec: {replicas: -1, selector: {matchLabels: {app: a}}, \(template)}"),
            ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
        ),
        (
            yaml("apps/v1", "Deployment", "spec: {strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}, selector: {matchLabels: {app: a}}, \(template)}"),
            ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"]
        ),
        (
            yaml("apps/v1", "ReplicaSet", "spec: {selector: {matchLabels: {app: a}}, template: {metadata: {labels: {app: a}}, spec: {restartPolicy: Never, containers: [{name: a, image: i}]}}}"),
            ["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""]
        ),
        (yaml("apps/v1", "DaemonSet", "spec: {selector: {matchLabels: {app: a}}, \(template)}"), []),
        (
            yaml("apps/v1", "DaemonSet", "spec: {updateStrategy: {rollingUpdate: {maxSurge: 1}}, selector: {matchLabels: {app: a}}, \(template)}"),
            ["spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero"]
        ),
        (yaml("apps/v1", "StatefulSet", "spec: {serviceName: s, selector: {matchLabels: {app: a}}, \(template)}"), []),
        (yaml("v1", "ReplicationController", "spec: {\(template)}"), []),
        (
            yaml("batch/v1", "Job", "spec: {\(template)}"),
            ["spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\""]
        ),
        (yaml("batch/v1", "Job", "spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: i}]}}}"), []),
        (
            yaml("batch/v1", "Job", "spec: {completionMode: Indexed, parallelism: 2, template: {spec: {restartPolicy: Never, containers: [{name: a, image: i}]}}}"),
            ["spec.completions: Required value: when completion mode is Indexed"]
        ),
        (
            yaml("batch/v1", "CronJob", "spec: {schedule: '* * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: i}]}}}}}"),
            ["spec.schedule: Invalid value: \"* * *\": expected exactly 5 fields, found 3: [* * *]"]
        ),
        (
            yaml("batch/v1", "CronJob", "spec: {schedule: '61 * * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: i}]}}}}}"),
            ["spec.schedule: Invalid value: \"61 * * * *\": end of range (61) above maximum (59): 61"]
        ),
        (yaml("v1", "Service", "spec: {clusterIP: 10.0.0.1, ports: [{port: 80}]}"), []),
        (yaml("v1", "Service", "spec: {}"), ["spec.ports: Required value"]),
        (
            yaml("v1", "Service", "spec: {ports: [{port: 80, name: a}, {port: 80, name: a, protocol: UDP}]}"), ["spec.ports[1].name: Duplicate value: \"a\""]
        ),
        (
            yaml("v1", "Service", "spec: {ports: [{port: 80, nodePort: 30000}]}"),
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"]
        ),
        (yaml("v1", "Service", "spec: {type: ExternalName}"), ["spec.externalName: Required value"]),
        (
            yaml("v1", "ConfigMap", "data: {'a b': x}"),
            [
                "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
            ]
        ),
        (yaml("v1", "Secret", "type: kubernetes.io/tls\nstringData: {tls.crt: x}"), ["data[tls.key]: Required value"]),
        (
            yaml("v1", "PersistentVolumeClaim", "spec: {resources: {requests: {storage: 1Gi}}}"),
            ["spec.accessModes: Required value: at least 1 access mode is required"]
        ),
        (
            yaml("v1", "PersistentVolume", "spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}}"), ["spec: Required value: must specify a volume type"]
        ),
        (
            yaml("rbac.authorization.k8s.io/v1", "Role", "rules: [{verbs: [get], nonResourceURLs: [/x]}]"),
            ["rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs"]
        ),
        (
            yaml("rbac.authorization.k8s.io/v1", "RoleBinding", "roleRef: {kind: Role, name: r}\nsubjects: [{kind: Robot, name: u}]"),
            ["subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\""]
        ),
        (
            yaml("policy/v1", "PodDisruptionBudget", "spec: {minAvailable: 101%}"),
            ["spec.minAvailable: Invalid value: \"101%\": must not be greater than 100%"]
        ),
        (
            yaml("autoscaling/v2", "HorizontalPodAutoscaler", "spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}, minReplicas: 3, maxReplicas: 2}"),
            ["spec.maxReplicas: Invalid value: 2: must be greater than or equal to `minReplicas`"]
        ),
        (
            yaml("networking.k8s.io/v1", "NetworkPolicy", "spec: {podSelector: {}, ingress: [{from: [{}]}]}"),
            ["spec.ingress[0].from[0]: Required value: must specify a peer"]
        ),
        (
            yaml("networking.k8s.io/v1", "NetworkPolicy", "spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16, except: [10.1.0.0/24]}}]}]}"),
            ["spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: \"10.1.0.0/24\": must be a strict subset of `cidr`"]
        ),
        (yaml("networking.k8s.io/v1", "Ingress", "spec: {}"), ["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]),
        (
            yaml("coordination.k8s.io/v1", "Lease", "spec: {leaseDurationSeconds: 0}"),
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"]
        ),
        (
            yaml("scheduling.k8s.io/v1", "PriorityClass", "value: 1000000001"),
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
        ),
        (
            yaml("v1", "ResourceQuota", "spec: {hard: {pods: 1}, scopes: [BestEffort, NotBestEffort]}"),
            ["spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\"]: conflicting scopes"]
        ),
        (
            yaml("v1", "LimitRange", "spec: {limits: [{type: Container, min: {cpu: 2}, max: {cpu: 1}}]}"),
            [
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
                "spec.limits[0].defaultRequest[cpu]: Invalid value: \"1\": min value 2 is greater than default request value 1",
                "spec.limits[0].default[cpu]: Invalid value: \"2\": min value 2 is greater than default value 1",
            ]
        ),
        (
            yaml("v1", "Endpoints", "subsets: [{addresses: [{ip: 127.0.0.1}]}]"),
            ["subsets[0].addresses[0].ip: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)"]
        ),
        (
            yaml("discovery.k8s.io/v1", "EndpointSlice", "addressType: IPv4\nendpoints: [{addresses: []}]"),
            ["endpoints[0].addresses: Required value: must contain at least 1 address"]
        ),
    ])
    func whatIsWrongIsSaidInUpstreamsWords(object: String, errors: [String]) throws {
        let found = try Sample.errors(object)
        #expect(found == errors)
    }

    @Test func selectorsStayAsTheyAre() throws {
        let yaml = Self.yaml("apps/v1", "ReplicaSet", "spec: {selector: {matchLabels: {app: a}}, \(Self.template)}")
        #expect(
            try Sample.updateErrors(yaml) { $0["spec"]["selector"]["matchExpressions"] = [["key": "app", "operator": "Exists"]] } == [
                #"spec.selector: Invalid value: {"matchLabels":{"app":"a"},"matchExpressions":[{"key":"app","operator":"Exists"}]}: field is immutable"#
            ])
    }

    @Test func aJobSelectsItsPodsByItsIdentity() throws {
        let job = try Sample.created(Self.yaml("batch/v1", "Job", "spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: i}]}}}"))
        #expect(job["spec"]["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"].string == job.uid)
        #expect(job["spec"]["template"]["metadata"]["labels"]["job-name"] == "x")
        #expect(job["spec"]["completions"] == 1)
        #expect(job["spec"]["backoffLimit"] == 6)
    }

    @Test func aJobWithParallelismAloneIsAWorkQueue() throws {
        let job = try Sample.created(Self.yaml("batch/v1", "Job", "spec: {parallelism: 1, template: {spec: {restartPolicy: Never, containers: [{name: a, image: i}]}}}"))
        #expect(job["spec"]["completions"].isNull)
    }

    @Test func aServiceKeepsWhatWasAllocated() throws {
        let yaml = Self.yaml("v1", "Service", "spec: {type: NodePort, clusterIP: 10.0.0.1, ports: [{port: 80, nodePort: 30001}]}")
        let old = try Sample.created(yaml)
        var new = old
        for field in ["clusterIP", "clusterIPs"] { new["spec"].remove(field) }
        new["spec"]["ports"][0].remove("nodePort")
        try Sample.strategy(old).prepareUpdate(&new, old: old, subresource: "")
        #expect(new["spec"] == old["spec"])
        #expect(
            try Sample.updateErrors(yaml) { $0["spec"]["clusterIP"] = "10.0.0.2" } == [
                #"spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set"#
            ])
    }

    @Test func immutableConfigurationRefusesChanges() throws {
        let yaml = Self.yaml("v1", "ConfigMap", "immutable: true\ndata: {a: b}")
        #expect(try Sample.updateErrors(yaml) { $0["data"]["a"] = "c" } == ["data: Forbidden: field is immutable when `immutable` is set"])
    }

    @Test func stringDataBecomesData() throws {
        let secret = try Sample.object(Self.yaml("v1", "Secret", "stringData: {a: hello}"))
        #expect(secret["data"]["a"] == "aGVsbG8=")
        #expect(!secret.has("stringData"))
        #expect(secret["type"] == "Opaque")
    }

    @Test func defaultsOfOneKindOnlyAreSet() throws {
        let volume = try Sample.object(Self.yaml("v1", "PersistentVolume", "spec: {accessModes: [ReadWriteOnce]}"))
        #expect(volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain")
        #expect(volume["spec"]["volumeMode"] == "Filesystem")
    }

    @Test func aRoleCannotBeSwappedUnderABinding() throws {
        let yaml = Self.yaml("rbac.authorization.k8s.io/v1", "RoleBinding", "roleRef: {kind: Role, name: r}\nsubjects: [{kind: User, name: u}]")
        #expect(
            try Sample.updateErrors(yaml) { $0["roleRef"]["name"] = "s" } == [
                #"roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"Role","Name":"s"}: cannot change roleRef"#
            ])
    }
}

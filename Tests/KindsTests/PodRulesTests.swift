import Kinds
import Machinery
import Testing
import Tree

struct PodRulesTests {
    private func pod(_ spec: String) -> String {
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: default}\nspec: {\(spec)}\n"
    }

    @Test func aPlainPodIsDefaultedAndValid() throws {
        let pod = try Sample.created(pod("containers: [{name: a, image: nginx, resources: {limits: {cpu: 1, memory: 1Gi}}}], volumes: [{name: v}]"))
        #expect(try Sample.errors(self.pod("containers: [{name: a, image: nginx}]")) == [])
        #expect(pod["spec"]["containers"][0]["imagePullPolicy"] == "Always")
        #expect(pod["spec"]["containers"][0]["resources"]["requests"]["memory"] == "1Gi")
        #expect(pod["spec"]["volumes"][0]["emptyDir"] == .emptyMap)
        #expect(pod["spec"]["enableServiceLinks"] == true)
        #expect(pod["spec"]["restartPolicy"] == "Always")
        #expect(pod["status"] == ["phase": "Pending", "qosClass": "Guaranteed"])
    }

    @Test(arguments: [("nginx", "Always"), ("nginx:latest", "Always"), ("reg:5000/nginx", "Always"), ("nginx:1.2", "IfNotPresent"), ("reg:5000/a@sha256:00", "IfNotPresent")])
    func thePullPolicyFollowsTheTag(image: String, policy: String) throws {
        #expect(try Sample.object(pod("containers: [{name: a, image: '\(image)'}]"))["spec"]["containers"][0]["imagePullPolicy"].string == policy)
    }

    @Test(arguments: [
        ("containers: []", ["spec.containers: Required value"]),
        ("containers: [{name: a}]", ["spec.containers[0].image: Required value"]),
        ("containers: [{name: a, image: i}, {name: a, image: i}]", ["spec.containers[1].name: Duplicate value: \"a\""]),
        ("containers: [{name: a, image: i, volumeMounts: [{name: v, mountPath: /x}]}]", ["spec.containers[0].volumeMounts[0].name: Not found: \"v\""]),
        (
            "containers: [{name: a, image: i, ports: [{containerPort: 70000}]}]",
            ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"]
        ),
        (
            "containers: [{name: a, image: i, resources: {requests: {cpu: 2}, limits: {cpu: 1}}}]",
            ["spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1"]
        ),
        (
            "containers: [{name: a, image: i, livenessProbe: {periodSeconds: 3}}]",
            ["spec.containers[0].livenessProbe: Required value: must specify a handler type"]
        ),
        (
            "containers: [{name: a, image: i, env: [{name: E, value: x, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}]",
            ["spec.containers[0].env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty"]
        ),
        (
            "containers: [{name: a, image: i}], tolerations: [{operator: Equal, value: x}]",
            [
                "spec.tolerations[0].operator: Invalid value: \"Equal\": operator must be Exists when `key` is empty, which means \"match all values and all keys\""
            ]
        ),
        (
            "containers: [{name: a, image: i}], initContainers: [{name: b, image: i, lifecycle: {preStop: {exec: {command: [x]}}}}]",
            ["spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always"]
        ),
        (
            "containers: [{name: a, image: i}], volumes: [{name: v, emptyDir: {}, hostPath: {path: /x}}]",
            ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"]
        ),
        (
            "containers: [{name: a, image: i}], ephemeralContainers: [{name: e, image: i}]", ["spec.ephemeralContainers: Forbidden: cannot be set on create"]
        ),
        (
            "containers: [{name: a, image: i}], restartPolicy: Sometimes",
            ["spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\""]
        ),
        (
            "containers: [{name: a, image: i}], hostNetwork: true, dnsPolicy: None",
            ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"]
        ),
        (
            "containers: [{name: a, image: i}], topologySpreadConstraints: [{maxSkew: 0, topologyKey: z, whenUnsatisfiable: DoNotSchedule}]",
            ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"]
        ),
        ("containers: [{name: a, image: i, livenessProbe: {httpGet: {port: 80, httpHeaders: [{name: X, value: ''}]}}}]", []),
        ("containers: [{name: a, image: i, env: [{name: E, value: ''}]}]", []),
    ])
    func whatIsWrongIsSaidInUpstreamsWords(spec: String, errors: [String]) throws {
        let found = try Sample.errors(pod(spec))
        #expect(found == errors)
    }

    @Test func onlyAFewFieldsOfAPodMayChange() throws {
        let yaml = pod("containers: [{name: a, image: i}], tolerations: [{key: k, operator: Exists}]")
        #expect(try Sample.updateErrors(yaml) { $0["spec"]["containers"][0]["image"] = "j" } == [])
        #expect(try Sample.updateErrors(yaml) { $0["spec"]["activeDeadlineSeconds"] = 5 } == [])
        #expect(try Sample.updateErrors(yaml) { $0["spec"]["tolerations"].append(["key": "z", "operator": "Exists"]) } == [])
        let refused = try Sample.updateErrors(yaml) { $0["spec"]["hostname"] = "h" }
        #expect(
            refused.first?.hasPrefix("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,")
                == true)
        #expect(
            try Sample.updateErrors(yaml) { $0["spec"].remove("tolerations") }
                == ["spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds"])
        #expect(
            try Sample.updateErrors(yaml) { $0["spec"]["containers"].append(["name": "b", "image": "i"]) }
                == ["spec.containers: Forbidden: pod updates may not add or remove containers"])
    }

    @Test func ephemeralContainersCanOnlyBeAdded() throws {
        let yaml = pod("containers: [{name: a, image: i}]")
        #expect(
            try Sample.updateErrors(yaml, subresource: "ephemeralcontainers") {
                $0["spec"]["ephemeralContainers"] = [["name": "debug", "image": "busybox", "imagePullPolicy": "Always"]]
                $0["spec"]["hostname"] = "ignored"
            } == [])
    }

    @Test func gracePeriodIsZeroForPodsThatNeverRan() throws {
        var pod = try Sample.created(pod("containers: [{name: a, image: i}]"))
        let grace = try #require(try Sample.strategy(pod).traits.gracePeriod)
        #expect(grace(pod, nil) == 0)
        pod["spec"]["nodeName"] = "n"
        #expect(grace(pod, nil) == 30)
        pod["status"]["phase"] = "Failed"
        #expect(grace(pod, nil) == 0)
    }
}

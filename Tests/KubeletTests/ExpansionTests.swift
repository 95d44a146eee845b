import Machinery
import Testing
import Tree

@testable import Kubelet

@Suite struct ExpansionTests {
    @Test(arguments: [
        ("plain", "plain"), ("$(A)", "one"), ("x$(A)y", "xoney"), ("$(B)", "$(B)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("$(A", "$(A"), ("end$", "end$"),
        ("$$$(A)", "$one"), ("$(A)$(A)", "oneone"), ("$()", "$()"),
    ])
    func referencesAreReplacedWhereTheyAreKnown(text: String, expected: String) {
        #expect(Expansion.expand(text) { $0 == "A" ? "one" : nil } == expected)
    }

    @Test func servicesBecomeVariables() throws {
        let service = try Node(
            yaml: "metadata: {name: my-db, namespace: shop}\nspec: {clusterIP: 10.0.0.1, ports: [{name: sql-main, port: 5432, protocol: TCP}, {port: 53, protocol: UDP}]}")
        let variables = Dictionary(ServiceEnvironment.variables([service], namespace: "shop", links: true), uniquingKeysWith: { $1 })
        #expect(variables["MY_DB_SERVICE_HOST"] == "10.0.0.1")
        #expect(variables["MY_DB_SERVICE_PORT"] == "5432")
        #expect(variables["MY_DB_SERVICE_PORT_SQL_MAIN"] == "5432")
        #expect(variables["MY_DB_PORT"] == "tcp://10.0.0.1:5432")
        #expect(variables["MY_DB_PORT_53_UDP_PROTO"] == "udp")
        #expect(ServiceEnvironment.variables([service], namespace: "shop", links: false).isEmpty)
        #expect(ServiceEnvironment.variables([service], namespace: "other", links: true).isEmpty)
    }

    @Test(arguments: [
        ("containers: [{name: a}]", "BestEffort"),
        ("containers: [{name: a, resources: {requests: {cpu: 1}}}]", "Burstable"),
        ("containers: [{name: a, resources: {limits: {cpu: 1, memory: 1Gi}}}]", "Guaranteed"),
        ("containers: [{name: a, resources: {requests: {cpu: 500m}, limits: {cpu: 1, memory: 1Gi}}}]", "Burstable"),
        ("containers: [{name: a, resources: {limits: {cpu: 1, memory: 1Gi}}}, {name: b}]", "Burstable"),
        ("containers: [{name: a, resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 1000m, memory: 1024Mi}}}]", "Guaranteed"),
    ])
    func qualityComesFromRequestsAndLimits(spec: String, expected: String) throws {
        #expect(QualityOfService(try Node(yaml: spec)).rawValue == expected)
    }

    @Test func thePodTellsItsContainersOfItself() throws {
        let pod = PodView(
            try Node(
                yaml: """
                    metadata: {name: web, namespace: n, labels: {b: "2", a: 'q"x'}}
                    spec: {containers: [{name: app, resources: {limits: {cpu: 1500m, memory: 64Mi}}}]}
                    """))
        let downward = DownwardAPI(
            pod: pod, nodeName: "node-1", hostAddresses: ["1.1.1.1"], addresses: ["2.2.2.2", "::2"], allocatable: ["memory": Quantity(1 << 30)])
        #expect(downward.field("metadata.labels") == "a=\"q\\\"x\"\nb=\"2\"")
        #expect(downward.field("metadata.labels['b']") == "2")
        #expect(downward.field("status.podIPs") == "2.2.2.2,::2")
        #expect(downward.field("spec.nope") == nil)
        let app = pod.containers[0]
        #expect(downward.resource(["resource": "limits.cpu"], container: app) == "2")
        #expect(downward.resource(["resource": "limits.cpu", "divisor": "1m"], container: app) == "1500")
        #expect(downward.resource(["resource": "limits.memory", "divisor": "1Mi"], container: app) == "64")
        #expect(downward.resource(["resource": "limits.memory"], container: ["name": "none"]) == "1073741824")
    }

    @Test func resolversFollowThePolicy() throws {
        func conf(_ yaml: String) throws -> ResolvConf {
            let pod = PodView(try Node(yaml: "metadata: {name: w, namespace: shop}\nspec: \(yaml)"))
            return ResolvConf(pod, clusterDNS: ["10.96.0.10"], clusterDomain: "cluster.local", host: ResolvConf(parsing: "nameserver 9.9.9.9\nsearch home\n"))
        }
        #expect(try conf("{}").text == "search shop.svc.cluster.local svc.cluster.local cluster.local home\nnameserver 10.96.0.10\noptions ndots:5\n")
        #expect(try conf("{hostNetwork: true}").nameservers == ["9.9.9.9"])
        #expect(try conf("{dnsPolicy: Default}").searches == ["home"])
        let own = try conf("{dnsPolicy: None, dnsConfig: {nameservers: [8.8.8.8], searches: [x], options: [{name: ndots, value: '2'}, {name: edns0}]}}")
        #expect(own.text == "search x\nnameserver 8.8.8.8\noptions ndots:2 edns0\n")
        #expect(try conf("{dnsConfig: {options: [{name: ndots, value: '1'}]}}").options == ["ndots:1"])
    }

    @Test func probesNeedTheirThresholds() {
        var tally = ProbeTally(["failureThreshold": 3, "successThreshold": 2], initial: false)
        #expect([true, true, false, false, true, false, false, false, false].map { tally.add($0) } == [nil, true, nil, nil, nil, nil, nil, false, nil])
    }

    @Test func aStatusPatchNamesOnlyWhatDiffers() throws {
        let old = try Node(yaml: "{phase: Pending, podIPs: [{ip: 1.1.1.1}], conditions: [{type: Ready, status: 'False', reason: X}, {type: Mine, status: 'True'}]}")
        let new = try Node(yaml: "{phase: Running, podIPs: [{ip: 2.2.2.2}], conditions: [{type: Ready, status: 'True'}, {type: Mine, status: 'True'}]}")
        let patch = try #require(StatusPatch.make(uid: "u", old: old, new: new))
        #expect(patch["metadata"]["uid"].string == "u")
        #expect(patch["status"]["phase"].string == "Running")
        #expect(patch["status"]["conditions"].list.count == 1)
        #expect(patch["status"]["conditions"][0].has("reason"))
        #expect(patch["status"]["podIPs"].list.count == 2)
        #expect(StatusPatch.make(uid: "u", old: new, new: new) == nil)
    }

    @Test func nothingIsServingUntilTheAnswerIsWhole() {
        #expect(HealthCheckRPC.status([0, 0, 0, 0]) == nil)
        #expect(HealthCheckRPC.status([0, 0, 0, 0, 2, 8]) == nil)
        #expect(HealthCheckRPC.status([0, 0, 0, 0, 2, 8, 1]) == 1)
        #expect(HealthCheckRPC.status([0, 0, 0, 0, 0]) == 0)
    }
}

import Machinery
import Schema
import Testing
import Tree

struct TranscodeTests {
    private static let transcode = Transcode(Canonical(.builtIn))

    private static let objects: [(group: String, version: String, yaml: String)] = [
        ("", "v1", """
            kind: Pod
            apiVersion: v1
            metadata: {name: p, namespace: d, uid: u, creationTimestamp: '2026-01-01T00:00:00Z', labels: {a: b, c: ''}, deletionGracePeriodSeconds: 30, managedFields: [{manager: m, operation: Update, apiVersion: v1, time: '2026-01-01T00:00:00Z', fieldsType: FieldsV1, fieldsV1: {'f:spec': {}}}]}
            spec:
              volumes: [{name: a, emptyDir: {sizeLimit: 1Gi}}, {name: b, secret: {secretName: s, defaultMode: 420}}, {name: c}]
              containers:
              - {name: c, image: i, command: [a, ''], env: [{name: X, valueFrom: {fieldRef: {fieldPath: metadata.name}}}], resources: {limits: {cpu: 500m, memory: 64Mi}}, livenessProbe: {httpGet: {port: http, path: /}, periodSeconds: 10}, readinessProbe: {tcpSocket: {port: 80}}, securityContext: {runAsUser: 0, privileged: false}, stdin: true}
              nodeSelector: {x: z}
              terminationGracePeriodSeconds: 0
              tolerations: [{key: k, tolerationSeconds: -1}]
              hostNetwork: true
            status: {phase: Running, conditions: [{type: Ready, status: 'True', lastProbeTime: null, lastTransitionTime: '2026-01-01T00:00:00Z'}], startTime: '1969-12-31T23:59:58Z'}
            """),
        ("apps", "v1", "{kind: Deployment, apiVersion: apps/v1, metadata: {name: d}, spec: {replicas: 3, selector: {matchLabels: {a: b}}, strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: x}]}}}}"),
        ("", "v1", "{kind: Secret, apiVersion: v1, metadata: {name: s}, data: {a: aGVsbG8=, b: ''}, type: Opaque}"),
        ("", "v1", "{kind: ConfigMap, apiVersion: v1, metadata: {name: s}, data: {a: 'x é'}, binaryData: {b: /wA=}, immutable: false}"),
        ("coordination.k8s.io", "v1", "{kind: Lease, apiVersion: coordination.k8s.io/v1, metadata: {name: l}, spec: {holderIdentity: h, leaseDurationSeconds: 15, renewTime: '2026-01-02T03:04:05.123456Z'}}"),
        ("apiextensions.k8s.io", "v1", "{kind: CustomResourceDefinition, apiVersion: apiextensions.k8s.io/v1, metadata: {name: a.b}, spec: {group: b, names: {plural: a, kind: A}, scope: Namespaced, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, additionalProperties: false}, l: {items: {type: string}}, q: {type: number, minimum: 0.5, default: {a: [1, null]}, enum: [1, 'x']}}, required: [spec]}}}]}}"),
        ("rbac.authorization.k8s.io", "v1", "{kind: ClusterRole, apiVersion: rbac.authorization.k8s.io/v1, metadata: {name: r}, rules: [{verbs: [get], apiGroups: [''], resources: [pods]}], aggregationRule: {clusterRoleSelectors: [{matchLabels: {a: b}}]}}"),
        ("certificates.k8s.io", "v1", "{kind: CertificateSigningRequest, apiVersion: certificates.k8s.io/v1, metadata: {name: c}, spec: {request: aGk=, signerName: x/y, usages: [a], extra: {k: [v, w]}}}"),
    ]

    @Test(arguments: TranscodeTests.objects.indices) func jsonProtobufAndYAMLSayTheSame(_ index: Int) throws {
        let (group, version, yaml) = TranscodeTests.objects[index]
        let source = try Node(yaml: yaml)
        let gvk = GroupVersionKind(group: group, version: version, kind: source["kind"].string ?? "")
        let id = try #require(Graph.builtIn.message(of: gvk))
        let object = try TranscodeTests.transcode.roundTrip(source, as: id)
        #expect(object.fromProtobuf == object.canonical, "\(object.fromProtobuf.jsonText)\n\(object.canonical.jsonText)")
        #expect(object.fromProtobuf.jsonText == object.canonical.jsonText)
        #expect(try JSONReader.read(object.canonical.json) == object.canonical)
        #expect(try YAMLReader.read(YAMLWriter.write(object.canonical)) == object.canonical)
    }

    @Test func bytesAreThoseOfUpstreamsCodec() throws {
        let id = try #require(Graph.builtIn.message(of: GroupVersionKind(group: "", version: "v1", kind: "ConfigMap")))
        let object: Node = ["kind": "ConfigMap", "apiVersion": "v1", "metadata": ["name": "a"], "data": ["k": "v"]]
        // k8s\0, {1: {1: "v1", 2: "ConfigMap"}, 2: message, 3: "", 4: ""}; the message: metadata with every plain field, data.
        let meta: [UInt8] = [
            0x0A, 1, 0x61, 0x12, 0, 0x1A, 0, 0x22, 0, 0x2A, 0, 0x32, 0, 0x38, 0, 0x42, 0,
        ]
        let message: [UInt8] = [0x0A, UInt8(meta.count)] + meta + [0x12, 6, 0x0A, 1, 0x6B, 0x12, 1, 0x76]
        let type: [UInt8] = [0x0A, 2, 0x76, 0x31, 0x12, 9] + Array("ConfigMap".utf8)
        let expected = [0x6B, 0x38, 0x73, 0x00, 0x0A, UInt8(type.count)] + type + [0x12, UInt8(message.count)] + message + [0x1A, 0, 0x22, 0]
        #expect(TranscodeTests.transcode.encode(object, as: id) == expected)
    }

    @Test func everyTruncationIsRefusedOrHarmless() throws {
        let id = try #require(Graph.builtIn.message(of: GroupVersionKind(group: "", version: "v1", kind: "Pod")))
        let bytes = TranscodeTests.transcode.encode(try Node(yaml: TranscodeTests.objects[0].yaml), as: id)
        for length in 0..<bytes.count {
            let cut = Array(bytes[..<length])
            if let envelope = try? Transcode.open(cut) { _ = try? TranscodeTests.transcode.decode(envelope.raw, as: id) }
        }
        var noise = bytes
        for index in noise.indices.dropFirst(4) {
            noise[index] ^= 0xA5
            if let envelope = try? Transcode.open(noise) { _ = try? TranscodeTests.transcode.decode(envelope.raw, as: id) }
            noise[index] ^= 0xA5
        }
        #expect(throws: SyntaxError.self) { try Transcode.open(Array("{}".utf8)) }
    }
}

extension Transcode {
    fileprivate func roundTrip(_ source: Node, as id: MessageID) throws -> (canonical: Node, fromProtobuf: Node) {
        let canonical = try Canonical(.builtIn).normalize(source, as: id)
        let envelope = try Transcode.open(encode(canonical, as: id))
        return (canonical, try decode(envelope.raw, as: id, apiVersion: envelope.apiVersion, kind: envelope.kind))
    }
}

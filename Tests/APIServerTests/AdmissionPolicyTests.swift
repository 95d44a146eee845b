import Machinery
import Testing
import Tree

/// Policies written in expressions, enforced by a real API server.
@Suite(.serialized) struct AdmissionPolicyTests {
    private static let maps = "/api/v1/namespaces/default/configmaps"
    private static let group = "/apis/admissionregistration.k8s.io/v1/"

    private static func map(_ name: String, _ data: [String: String] = [:], labels: [String: String] = [:]) -> String {
        let node: Node = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(name), "labels": Node(labels)], "data": Node(data)]
        return node.jsonText
    }

    private static func rules(_ resources: [String], group: String = "", operations: [String] = ["CREATE", "UPDATE"]) -> Node {
        ["resourceRules": [["apiGroups": [.string(group)], "apiVersions": ["*"], "operations": Node(operations), "resources": Node(resources)]]]
    }

    private func post(_ fixture: ServerFixture, _ kind: String, _ name: String, _ spec: Node) async throws -> (Int, Node) {
        let object: Node = ["apiVersion": "admissionregistration.k8s.io/v1", "kind": .string(kind), "metadata": ["name": .string(name)], "spec": spec]
        let plural = kind.lowercased().hasSuffix("policy") ? kind.lowercased().dropLast() + "ies" : kind.lowercased() + "s"
        return try await fixture.send("POST", AdmissionPolicyTests.group + plural, object.jsonText)
    }

    /// A validating policy with a binding of its name.
    private func install(_ fixture: ServerFixture, _ name: String, _ spec: Node, binding: Node = [:], actions: [String] = ["Deny"]) async throws {
        var spec = spec
        if spec["matchConstraints"].isNull { spec["matchConstraints"] = AdmissionPolicyTests.rules(["configmaps"]) }
        let (code, answer) = try await post(fixture, "ValidatingAdmissionPolicy", name, spec)
        #expect(code == 201, "\(answer.jsonText)")
        var bound: Node = ["policyName": .string(name), "validationActions": Node(actions)]
        for (key, value) in binding.fields { bound[key] = value }
        let (second, reply) = try await post(fixture, "ValidatingAdmissionPolicyBinding", name, bound)
        #expect(second == 201, "\(reply.jsonText)")
    }

    @Test func aPolicyRefusesInItsWords() async throws {
        let fixture = try await ServerFixture()
        try await install(
            fixture, "limits",
            [
                "variables": [["name": "count", "expression": "has(object.data) ? object.data.size() : 0"]],
                "validations": [
                    ["expression": "variables.count <= 2", "messageExpression": "'has ' + string(variables.count) + ' entries'", "reason": "Forbidden"],
                    ["expression": "!object.metadata.name.startsWith('bad')", "message": "no bad names"],
                    ["expression": "request.operation != 'UPDATE' || object.data == oldObject.data"],
                ],
            ])
        #expect(try await fixture.send("POST", Self.maps, Self.map("good", ["a": "1"])).0 == 201)
        let (code, refusal) = try await fixture.send("POST", Self.maps, Self.map("many", ["a": "1", "b": "2", "c": "3"]))
        #expect(code == 403)
        #expect(refusal["reason"].string == "Forbidden")
        #expect(refusal["message"].string == "configmaps \"many\" is forbidden: ValidatingAdmissionPolicy 'limits' with binding 'limits' denied request: has 3 entries")
        let (second, named) = try await fixture.send("POST", Self.maps, Self.map("bad1"))
        #expect(second == 422)
        #expect(named["reason"].string == "Invalid")
        #expect(named["message"].string?.hasSuffix("denied request: no bad names") == true)
        let (third, changed) = try await fixture.send("PUT", Self.maps + "/good", Self.map("good", ["a": "2"]))
        #expect(third == 422)
        #expect(changed["message"].string?.hasSuffix("denied request: failed expression: request.operation != 'UPDATE' || object.data == oldObject.data") == true)
        #expect(changed["details"]["causes"][0]["message"].string?.hasPrefix("ValidatingAdmissionPolicy 'limits'") == true)
        await fixture.stop()
    }

    @Test func conditionsSelectorsAndExclusionsNarrowIt() async throws {
        let fixture = try await ServerFixture()
        var constraints = Self.rules(["configmaps"])
        constraints["objectSelector"] = ["matchLabels": ["checked": "yes"]]
        constraints["excludeResourceRules"] = [
            ["apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"], "resourceNames": ["exempt"]]
        ]
        try await install(
            fixture, "narrow",
            [
                "matchConstraints": constraints, "matchConditions": [["name": "not-free", "expression": "object.metadata.name != 'free'"]],
                "validations": [["expression": "false"]],
            ])
        #expect(try await fixture.send("POST", Self.maps, Self.map("unlabelled")).0 == 201)
        #expect(try await fixture.send("POST", Self.maps, Self.map("free", labels: ["checked": "yes"])).0 == 201)
        #expect(try await fixture.send("POST", Self.maps, Self.map("exempt", labels: ["checked": "yes"])).0 == 201)
        #expect(try await fixture.send("POST", Self.maps, Self.map("held", labels: ["checked": "yes"])).0 == 422)
        await fixture.stop()
    }

    @Test func parametersComeFromObjects() async throws {
        let fixture = try await ServerFixture()
        #expect(try await fixture.send("POST", Self.maps, Self.map("settings", ["max": "2"])).0 == 201)
        try await install(
            fixture, "with-params",
            ["paramKind": ["apiVersion": "v1", "kind": "ConfigMap"], "validations": [["expression": "!has(object.data) || object.data.size() <= int(params.data.max)"]]],
            binding: ["paramRef": ["name": "settings", "parameterNotFoundAction": "Deny"]])
        #expect(try await fixture.send("POST", Self.maps, Self.map("small", ["a": "1"])).0 == 201)
        #expect(try await fixture.send("POST", Self.maps, Self.map("large", ["a": "1", "b": "2", "c": "3"])).0 == 422)
        #expect(try await fixture.send("DELETE", Self.maps + "/settings").0 == 200)
        let (code, refusal) = try await fixture.send("POST", Self.maps, Self.map("any"))
        #expect(code == 422)
        #expect(refusal["message"].string?.hasSuffix("failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction") == true)
        await fixture.stop()
    }

    @Test func failuresFollowTheFailurePolicy() async throws {
        let fixture = try await ServerFixture()
        let checks: Node = [["expression": "object.data.missing == 'x'"]]
        try await install(fixture, "strict", ["validations": checks, "matchConditions": [["name": "a", "expression": "object.metadata.name == 'a'"]]])
        try await install(
            fixture, "lenient", ["validations": checks, "failurePolicy": "Ignore", "matchConditions": [["name": "b", "expression": "object.metadata.name == 'b'"]]])
        let (code, refusal) = try await fixture.send("POST", Self.maps, Self.map("a", ["k": "v"]))
        #expect(code == 422)
        #expect(refusal["message"].string?.hasSuffix("denied request: expression 'object.data.missing == 'x'' resulted in error: no such key: missing") == true)
        #expect(try await fixture.send("POST", Self.maps, Self.map("b", ["k": "v"])).0 == 201)
        await fixture.stop()
    }

    /// Specs as JSON: literals of this size are more than the compiler can tell the types of.
    @Test(arguments: [
        (
            #"{"validations":[{"expression":"object.x ="}]}"#,
            "spec.validations[0].expression: Invalid value: \"object.x =\": compilation failed: ERROR: <input>:1:"
        ), (#"{"validations":[{"expression":"'x'"}]}"#, "must evaluate to bool but got string"),
        (#"{"validations":[]}"#, "validations or auditAnnotations must contain at least one item"),
        (#"{"validations":[{"expression":"params.x"}]}"#, "undeclared reference to 'params'"),
        (#"{"validations":[{"expression":"variables.x"}],"variables":[{"name":"if","expression":"1"}]}"#, "must be a valid CEL identifier"),
        (#"{"validations":[{"expression":"true","message":"a\nb"}]}"#, "must not contain line breaks"),
        (#"{"validations":[{"expression":"true","reason":"Nope"}]}"#, "Unsupported value: \"Nope\""),
        (
            #"{"validations":[{"expression":"true"}],"matchConditions":[{"name":"a","expression":"1"}]}"#,
            "spec.matchConditions[0].expression: Invalid value: \"1\": must evaluate to bool but got int"
        ),
    ]) func definitionsAreRefused(_ text: String, _ expected: String) async throws {
        let fixture = try await ServerFixture()
        var spec = try JSONReader.read(Array(text.utf8))
        spec["matchConstraints"] = Self.rules(["configmaps"])
        let (code, answer) = try await post(fixture, "ValidatingAdmissionPolicy", "p", spec)
        #expect(code == 422)
        #expect(answer["message"].string?.contains(expected) == true, "\(answer["message"].string ?? "")")
        await fixture.stop()
    }

    private func mutate(_ fixture: ServerFixture, _ name: String, _ mutations: Node, condition: String? = nil) async throws {
        var spec: Node = ["matchConstraints": Self.rules(["configmaps"]), "mutations": mutations, "reinvocationPolicy": "Never"]
        if let condition { spec["matchConditions"] = [["name": "c", "expression": .string(condition)]] }
        let (code, answer) = try await post(fixture, "MutatingAdmissionPolicy", name, spec)
        #expect(code == 201, "\(answer.jsonText)")
        #expect(try await post(fixture, "MutatingAdmissionPolicyBinding", name, ["policyName": .string(name)]).0 == 201)
    }

    @Test func objectsAreMergedAndPatched() async throws {
        let fixture = try await ServerFixture()
        try await mutate(
            fixture, "labels",
            [
                [
                    "patchType": "ApplyConfiguration",
                    "applyConfiguration": ["expression": "Object{metadata: Object.metadata{labels: {'by': 'policy', 'name': string(object.metadata.name)}}}"],
                ],
                [
                    "patchType": "JSONPatch",
                    "jsonPatch": ["expression": "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'c'}]"],
                ],
                ["patchType": "JSONPatch", "jsonPatch": ["expression": "[JSONPatch{op: 'test', path: '/metadata/name', value: 'other'}, JSONPatch{op: 'add', path: '/data/x', value: 'y'}]"]],
            ], condition: "!object.metadata.name.startsWith('wrong')")
        let (code, made) = try await fixture.send("POST", Self.maps, Self.map("one", ["k": "v"], labels: ["own": "1"]))
        #expect(code == 201)
        #expect(made["metadata"]["labels"].stringMap == ["own": "1", "by": "policy", "name": "one", "a/b": "c"])
        #expect(made["data"].stringMap == ["k": "v"])
        try await mutate(
            fixture, "wrong", [["patchType": "ApplyConfiguration", "applyConfiguration": ["expression": "Object{metadata: Object.spec{labels: {'a': 'b'}}}"]]],
            condition: "object.metadata.name == 'wrong'")
        let (second, refusal) = try await fixture.send("POST", Self.maps, Self.map("wrong"))
        #expect(second == 403 || second == 422)
        #expect(refusal["message"].string?.hasPrefix("policy 'wrong' with binding 'wrong' denied request: type mismatch: unexpected type name \"Object.spec\"") == true)
        await fixture.stop()
    }

    @Test func rulesOfDefinitionsHold() async throws {
        let fixture = try await ServerFixture()
        let schema: Node = [
            "type": "object",
            "properties": [
                "spec": [
                    "type": "object", "x-kubernetes-validations": [["rule": "self.low <= self.high", "message": "low above high"]],
                    "properties": [
                        "low": ["type": "integer"], "high": ["type": "integer"],
                        "frozen": ["type": "string", "x-kubernetes-validations": [["rule": "self == oldSelf"]]],
                    ],
                ]
            ],
        ]
        let definition: Node = [
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": ["name": "ranges.example.com"],
            "spec": [
                "group": "example.com", "scope": "Namespaced", "names": ["plural": "ranges", "kind": "Range"],
                "versions": [["name": "v1", "served": true, "storage": true, "schema": ["openAPIV3Schema": schema]]],
            ],
        ]
        let (made, answer) = try await fixture.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition.jsonText)
        #expect(made == 201, "\(answer.jsonText)")
        let path = "/apis/example.com/v1/namespaces/default/ranges"
        _ = try await fixture.answer(path) { code, _ in code == 200 }
        func range(_ spec: Node, _ version: Node = .null) -> String {
            var out: Node = ["apiVersion": "example.com/v1", "kind": "Range", "metadata": ["name": "r"], "spec": spec]
            out["metadata"]["resourceVersion"] = version
            return out.jsonText
        }
        let (code, refusal) = try await fixture.send("POST", path, range(["low": 3, "high": 1]))
        #expect(code == 422)
        #expect(refusal["message"].string == "Range.example.com \"r\" is invalid: spec: Invalid value: low above high")
        let (second, object) = try await fixture.send("POST", path, range(["low": 1, "high": 3, "frozen": "a"]))
        #expect(second == 201)
        let (third, changed) = try await fixture.send("PUT", path + "/r", range(["low": 1, "high": 3, "frozen": "b"], object["metadata"]["resourceVersion"]))
        #expect(third == 422)
        #expect(changed["message"].string?.contains("spec.frozen: Invalid value: \"b\": failed rule: self == oldSelf") == true)
        await fixture.stop()
    }
}

import CEL
import Machinery
import Testing
import Tree

/// The rules of custom resources: what definitions are refused for, what objects are.
struct ExpressionRuleTests {
    private func schema(_ text: String) throws -> Node { try JSONReader.read(Array(text.utf8)) }

    @Test(arguments: [
        (#"{"rule":"self.z == 100"}"#, "undefined field 'z'"), (#"{"rule":"self = 42"}"#, "Syntax error"), (#"{"rule":"self.x"}"#, "cel expression must evaluate to a bool"),
        (#"{"rule":" "}"#, "rule is not specified"), (#"{"rule":"self.x > 0","messageExpression":"self.x"}"#, "messageExpression must evaluate to a string"),
        (#"{"rule":"self.x > 0","message":"a\nb"}"#, "must not contain line breaks"), (#"{"rule":"self.x >\n0"}"#, "message must be specified if rule contains line breaks"),
        (#"{"rule":"self.x > 0","reason":"Nope"}"#, "supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\""),
        (#"{"rule":"self.x > 0","fieldPath":".nope"}"#, "must be a valid path"), (#"{"rule":"self.x > 0","optionalOldSelf":true}"#, "may not be set if oldSelf is not used in rule"),
        (#"{"rule":"self.names.all(a, self.names.all(b, self.names.all(c, a == b || b == c)))"}"#, "estimated rule cost exceeds budget by factor of more than 100x"),
    ]) func definitionsAreRefused(_ rule: String, _ expected: String) throws {
        let schema = try schema(
            #"{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-validations":[RULE],"properties":{"x":{"type":"integer"},"names":{"type":"array","items":{"type":"string"}}}}}}"#
                .replacing("RULE", with: rule))
        let errors = DefinitionRules.errors(schema, path: "spec.versions[0].schema.openAPIV3Schema")
        #expect(errors.contains { $0.description.contains(expected) }, "\(errors.map(\.description))")
        #expect(errors.allSatisfy { $0.field.hasPrefix("spec.versions[0].schema.openAPIV3Schema") })
    }

    @Test func costsOfNestedListsMultiply() throws {
        let open = try schema(#"{"type":"object","properties":{"x":{"type":"array","items":{"type":"array","items":{"type":"string"},"x-kubernetes-validations":[{"rule":"self.all(s, s == 'string constant')"}]}}}}"#)
        #expect(DefinitionRules.errors(open, path: "s").contains { $0.description.contains("exceeds budget") })
        let bound = try schema(#"{"type":"object","properties":{"x":{"type":"array","maxItems":5,"items":{"type":"array","maxItems":5,"items":{"type":"string","maxLength":10},"x-kubernetes-validations":[{"rule":"self.all(s, s == 'string constant')"}]}}}}"#)
        #expect(DefinitionRules.errors(bound, path: "s").isEmpty)
    }

    @Test func oldSelfNeedsACounterpart() throws {
        let list = try schema(#"{"type":"object","properties":{"x":{"type":"array","maxItems":5,"items":{"type":"integer","x-kubernetes-validations":[{"rule":"self >= oldSelf"}]}}}}"#)
        let errors = DefinitionRules.errors(list, path: "s")
        #expect(errors.map(\.description) == ["s.properties[x].items.x-kubernetes-validations[0].rule: Invalid value: \"self >= oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[x].items"])
    }

    private static let rules = #"""
        {"type":"object","x-kubernetes-validations":[{"rule":"self.metadata.name != 'forbidden'","reason":"FieldValueForbidden","fieldPath":".spec"}],
         "properties":{"spec":{"type":"object",
           "x-kubernetes-validations":[
             {"rule":"!has(self.min) || !has(self.max) || self.min <= self.max","message":"min above max"},
             {"rule":"!has(self.count) || self.count < 10","messageExpression":"'count is ' + string(self.count)","fieldPath":".count"}],
           "properties":{"min":{"type":"integer"},"max":{"type":"integer"},
             "count":{"type":"integer","x-kubernetes-validations":[{"rule":"self >= oldSelf","message":"may not shrink"}]},
             "first":{"type":"string","x-kubernetes-validations":[{"rule":"oldSelf.hasValue() || self == 'a'","optionalOldSelf":true}]},
             "port":{"x-kubernetes-int-or-string":true,"x-kubernetes-validations":[{"rule":"type(self) == int ? self > 0 : self.matches('^[0-9]+%$')"}]},
             "at":{"type":"string","format":"date-time","x-kubernetes-validations":[{"rule":"self.getFullYear() > 2000"}]},
             "labels":{"type":"object","additionalProperties":{"type":"string","x-kubernetes-validations":[{"rule":"self.size() < 5"}]}},
             "items":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],"items":{"type":"object","required":["name"],
               "properties":{"name":{"type":"string"},"value":{"type":"integer","x-kubernetes-validations":[{"rule":"self >= oldSelf"}]}}}}}}}}
        """#

    private func errors(_ spec: String, old: String? = nil, name: String = "a") throws -> ObjectRules.Findings {
        let rules = try #require(ObjectRules(try schema(ExpressionRuleTests.rules)))
        func object(_ spec: String) throws -> Node { ["apiVersion": "example.com/v1", "kind": "Thing", "metadata": ["name": .string(name)], "spec": try schema(spec)] }
        return rules.check(try object(spec), old: try old.map(object))
    }

    @Test(arguments: [
        (#"{"min":1,"max":2}"#, nil, []), (#"{"min":3,"max":2}"#, nil, ["spec: Invalid value: min above max"]),
        (#"{"count":12}"#, nil, ["spec.count: Invalid value: count is 12"]), (#"{"count":3}"#, #"{"count":5}"#, ["spec.count: Invalid value: 3: may not shrink"]),
        (#"{"count":3}"#, nil, []), (#"{"first":"b"}"#, nil, ["spec.first: Invalid value: \"b\": failed rule: oldSelf.hasValue() || self == 'a'"]),
        (#"{"first":"b"}"#, #"{"first":"a"}"#, []), (#"{"port":5}"#, nil, []), (#"{"port":"5%"}"#, nil, []),
        (#"{"port":"x"}"#, nil, ["spec.port: Invalid value: \"x\": failed rule: type(self) == int ? self > 0 : self.matches('^[0-9]+%$')"]),
        (#"{"at":"1999-01-01T00:00:00Z"}"#, nil, ["spec.at: Invalid value: \"1999-01-01T00:00:00Z\": failed rule: self.getFullYear() > 2000"]),
        (#"{"labels":{"a.b":"toolong"}}"#, nil, ["spec.labels[a.b]: Invalid value: \"toolong\": failed rule: self.size() < 5"]),
        (#"{"items":[{"name":"y","value":1},{"name":"x","value":1}]}"#, #"{"items":[{"name":"x","value":2},{"name":"y","value":1}]}"#, ["spec.items[1].value: Invalid value: 1: failed rule: self >= oldSelf"]),
    ] as [(String, String?, [String])]) func objectsAreChecked(_ spec: String, _ old: String?, _ expected: [String]) throws {
        #expect(try errors(spec, old: old).errors.map(\.description) == expected)
    }

    @Test func reasonAndPathReachTheFinding() throws {
        let found = try errors("{}", name: "forbidden").errors
        #expect(found.map(\.description) == ["spec: Forbidden: failed rule: self.metadata.name != 'forbidden'"])
        #expect(found.first?.type == .forbidden)
    }

    @Test func whatDidNotChangeIsOnlyWarnedOf() throws {
        let same = try errors(#"{"min":3,"max":2}"#, old: #"{"min":3,"max":2}"#)
        #expect(same.errors.isEmpty)
        #expect(same.warnings == ["spec: Invalid value: min above max"])
        let changed = try errors(#"{"min":3,"max":2,"count":1}"#, old: #"{"min":3,"max":2}"#)
        #expect(changed.errors.map(\.description) == ["spec: Invalid value: min above max"])
    }

    @Test func aRuleThatCostsTooMuchEndsTheChecks() throws {
        let schema = try schema(#"{"type":"object","properties":{"a":{"type":"array","maxItems":725,"items":{"type":"integer"},"x-kubernetes-validations":[{"rule":"self.all(x, self.all(y, y == x))"}]}}}"#)
        #expect(DefinitionRules.errors(schema, path: "s").isEmpty)
        let rules = try #require(ObjectRules(schema))
        let found = rules.check(["a": .list(Array(repeating: 20, count: 725))], old: nil).errors
        #expect(found.map(\.description) == ["a: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules will be run due to call cost exceeds limit for rule: self.all(x, self.all(y, y == x))"])
    }

    @Test func patternsMustBeReadable() throws {
        let schema = try schema(#"{"type":"object","properties":{"a":{"type":"string","pattern":"(?=x)"}}}"#)
        #expect(DefinitionRules.patternErrors(schema, path: "s").map(\.description) == ["s.properties[a].pattern: Invalid value: \"(?=x)\": must be a valid regular expression, but isn't: error parsing regexp: invalid or unsupported Perl syntax: `(?=`"])
    }

    // MARK: Policies

    @Test(arguments: [
        ("object.spec.replicas > 1", nil), ("object.spec.replicas", "must evaluate to bool but got dyn"), ("params.x == 1", "undeclared reference to 'params' (in container '')"),
        ("variables.a == 1", nil), ("variables.b == 1", "undefined field 'b'"), ("authorizer.requestResource.check('update').allowed()", nil),
        ("namespaceObject.metadata.labels['a'] == 'b'", nil), ("request.userInfo.groups.exists(g, g == 'x')", nil), ("request.object.x == 1", "undefined field 'object'"),
        ("quantity('1Gi').isGreaterThan(quantity('1G'))", nil), ("format.dns1123Label().validate('A').hasValue()", nil),
    ] as [(String, String?)]) func expressionsOfPoliciesAreChecked(_ text: String, _ expected: String?) {
        let spec: Node = ["variables": [["name": "a", "expression": "1"]], "validations": [["expression": .string(text)]]]
        let problem = PolicyPrograms(spec).checks[0].expression.problem
        if let expected { #expect(problem?.contains(expected) == true, "\(problem ?? "none")") } else { #expect(problem == nil) }
    }

    @Test func variablesAreComputedOnceAndCharged() throws {
        let spec: Node = [
            "variables": [["name": "list", "expression": "object.items.map(x, x * 2)"], ["name": "sum", "expression": "variables.list.sum()"]],
            "validations": [["expression": "variables.sum == 6 && variables.sum < 10"], ["expression": "variables.list[9] == 1"]],
        ]
        let programs = PolicyPrograms(spec)
        var bindings = AdmissionBindings()
        bindings.object = ["items": [1, 2]]
        var run = PolicyRun(bindings, variables: programs)
        #expect(try run.run(programs.checks[0].expression).get().bool == true)
        switch try run.run(programs.checks[1].expression) {
        case .success: Issue.record("no failure")
        case .failure(let error): #expect(error.message == "expression 'variables.list[9] == 1' resulted in error: index out of bounds: 9")
        }
        var poor = PolicyRun(bindings, variables: programs, budget: 20)
        #expect(throws: PolicyRun.Exhausted.self) { try poor.run(programs.checks[0].expression).get() }
    }

    @Test func mutationsMakeObjectsAndPatches() throws {
        let spec: Node = [
            "mutations": [
                ["patchType": "ApplyConfiguration", "applyConfiguration": ["expression": "Object{metadata: Object.metadata{labels: {'a': object.metadata.name}}}"]],
                ["patchType": "JSONPatch", "jsonPatch": ["expression": "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'c'}]"]],
                ["patchType": "ApplyConfiguration", "applyConfiguration": ["expression": "Object{spec: Object.wrong{}}"]],
                ["patchType": "JSONPatch", "jsonPatch": ["expression": "'x'"]],
            ]
        ]
        let programs = PolicyPrograms(spec)
        var bindings = AdmissionBindings()
        bindings.object = ["metadata": ["name": "n"]]
        var run = PolicyRun(bindings, variables: programs)
        #expect(try run.run(programs.mutations[0].expression).get().node == ["metadata": ["labels": ["a": "n"]]])
        #expect(try run.run(programs.mutations[1].expression).get().node == [["op": "add", "path": "/metadata/labels/a~1b", "value": "c"]])
        #expect(MutationTypes.mismatches(try run.run(programs.mutations[2].expression).get()).count == 1)
        #expect(programs.mutations[3].expression.problem == "must evaluate to list(JSONPatch) but got string")
    }
}

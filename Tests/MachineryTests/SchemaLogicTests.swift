import Machinery
import Schema
import Testing
import Tree

/// `oneOf`, `anyOf`, `allOf` and `not` of custom resources.
struct SchemaLogicTests {
    private func errors(_ schema: String, _ spec: Node) throws -> [String] {
        let definition: Node = [
            "spec": [
                "group": "example.com", "scope": "Namespaced", "names": ["plural": "things", "kind": "Thing"],
                "versions": [["name": "v1", "served": true, "storage": true, "schema": ["openAPIV3Schema": ["type": "object", "properties": ["spec": try JSONReader.read(Array(schema.utf8))]]]]],
            ]
        ]
        let graph = try Graph(customResourceDefinition: definition, version: "v1")
        let object: Node = ["apiVersion": "example.com/v1", "kind": "Thing", "metadata": ["name": "a"], "spec": spec]
        return Validation.errors(object, as: graph.resources[0].message, in: graph, .custom).map(\.description)
    }

    private static let object = #"{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}},LOGIC}"#

    @Test(arguments: [
        (#""oneOf":[{"required":["a"]},{"required":["b"]}]"#, ["a": "x"], []),
        (#""oneOf":[{"required":["a"]},{"required":["b"]}]"#, ["a": "x", "b": 1], ["<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives"]),
        (#""oneOf":[{"required":["a"]},{"required":["b"]}]"#, [:], ["<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid", "spec.a: Required value"]),
        (#""anyOf":[{"required":["a"]},{"required":["b"]}]"#, ["a": "x", "b": 1], []),
        (#""anyOf":[{"required":["a"]},{"required":["b"]}]"#, [:], ["<nil>: Invalid value: \"\": \"spec\" must validate at least one schema (anyOf)", "spec.a: Required value"]),
        (#""allOf":[{"properties":{"b":{"minimum":2}}},{"properties":{"b":{"maximum":5}}}]"#, ["b": 3], []),
        (#""allOf":[{"properties":{"b":{"minimum":2}}},{"properties":{"b":{"maximum":5}}}]"#, ["b": 7], ["spec.b: Invalid value: 7: spec.b in body should be less than or equal to 5", "<nil>: Invalid value: \"\": \"spec\" must validate all the schemas (allOf)"]),
        (#""not":{"required":["a","b"]}"#, ["a": "x"], []),
        (#""not":{"required":["a","b"]}"#, ["a": "x", "b": 1], ["<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"]),
        (#""minProperties":1"#, [:], ["spec: Invalid value: 0: spec in body should have at least 1 properties"]),
        (#""anyOf":[{"properties":{"a":{"pattern":"^x+$"}}}]"#, ["a": "xx"], []),
        (#""anyOf":[{"properties":{"a":{"enum":["p"]}}},{"properties":{"a":{"pattern":"^q"}}}]"#, ["a": "q1"], []),
    ] as [(String, Node, [String])]) func branchesAreEvaluated(_ logic: String, _ spec: Node, _ expected: [String]) throws {
        #expect(try errors(SchemaLogicTests.object.replacing("LOGIC", with: logic), spec) == expected)
    }

    @Test func patternsThatSwiftCannotReadAreChecked() throws {
        let schema = #"{"type":"object","properties":{"a":{"type":"string","pattern":"^\\pL[[:alnum:]]*\\z"}}}"#
        #expect(try errors(schema, ["a": "å9"]).isEmpty)
        #expect(try errors(schema, ["a": "9å"]) == ["spec.a: Invalid value: \"9å\": spec.a in body should match '^\\pL[[:alnum:]]*\\z'"])
    }
}

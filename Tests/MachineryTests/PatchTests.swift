import Machinery
import Schema
import Testing
import Tree

struct PatchTests {
    private let pod = Graph.builtIn.message(of: GroupVersionKind(group: "", version: "v1", kind: "Pod"))

    // The table of RFC 7386, appendix A.
    @Test(arguments: [
        (#"{"a":"b"}"#, #"{"a":"c"}"#, #"{"a":"c"}"#), (#"{"a":"b"}"#, #"{"b":"c"}"#, #"{"a":"b","b":"c"}"#), (#"{"a":"b"}"#, #"{"a":null}"#, "{}"),
        (#"{"a":"b","b":"c"}"#, #"{"a":null}"#, #"{"b":"c"}"#), (#"{"a":["b"]}"#, #"{"a":"c"}"#, #"{"a":"c"}"#),
        (#"{"a":{"b":"c"}}"#, #"{"a":{"b":"d","c":null}}"#, #"{"a":{"b":"d"}}"#), (#"{"a":[{"b":"c"}]}"#, #"{"a":[1]}"#, #"{"a":[1]}"#),
        (#"["a","b"]"#, #"["c","d"]"#, #"["c","d"]"#), (#"{"a":"b"}"#, #"["c"]"#, #"["c"]"#), (#"{"a":"foo"}"#, "null", "null"),
        (#"{"e":null}"#, #"{"a":1}"#, #"{"e":null,"a":1}"#), ("[1,2]", #"{"a":"b","c":null}"#, #"{"a":"b"}"#), ("{}", #"{"a":{"bb":{"ccc":null}}}"#, #"{"a":{"bb":{}}}"#),
    ]) func mergePatchFollowsItsTable(_ target: String, _ patch: String, _ expected: String) throws {
        let (target, patch) = (try Node(json: target), try Node(json: patch))
        let result = MergePatch.apply(patch, to: target)
        #expect(result == (try Node(json: expected)))
        #expect(MergePatch.apply(patch, to: result) == result)
    }

    @Test func theDifferenceOfTwoObjectsLeadsFromOneToTheOther() throws {
        let texts = ["{}", #"{"a":1}"#, #"{"a":{"b":[1],"c":2}}"#, #"{"a":{"b":[2]},"d":"x"}"#, #"{"a":[],"e":{"f":{}}}"#]
        let nodes = try texts.map { try Node(json: $0) }
        for old in nodes {
            for new in nodes { #expect(MergePatch.apply(MergePatch.between(old, new), to: old) == new) }
        }
        #expect(MergePatch.between(nodes[2], nodes[2]) == [:])
    }

    @Test(arguments: [
        (#"[{"op":"add","path":"/a/-","value":3}]"#, #"{"a":[1,2,3],"b":{"c":1}}"#),
        (#"[{"op":"add","path":"/a/1","value":9}]"#, #"{"a":[1,9,2],"b":{"c":1}}"#),
        (#"[{"op":"remove","path":"/a/0"}]"#, #"{"a":[2],"b":{"c":1}}"#),
        (#"[{"op":"replace","path":"/b/c","value":{"x":1}}]"#, #"{"a":[1,2],"b":{"c":{"x":1}}}"#),
        (#"[{"op":"move","from":"/b/c","path":"/d"}]"#, #"{"a":[1,2],"b":{},"d":1}"#),
        (#"[{"op":"copy","from":"/a","path":"/b/a"}]"#, #"{"a":[1,2],"b":{"c":1,"a":[1,2]}}"#),
        (#"[{"op":"test","path":"/b/c","value":1},{"op":"add","path":"/x~1y","value":null}]"#, #"{"a":[1,2],"b":{"c":1},"x/y":null}"#),
        (#"[{"op":"replace","path":"","value":1}]"#, "1"),
        (#"[{"op":"replace","path":"/b/new","value":2}]"#, #"{"a":[1,2],"b":{"c":1,"new":2}}"#),
    ]) func jsonPatchOperationsDoWhatTheySay(_ patch: String, _ expected: String) throws {
        let target = try Node(json: #"{"a":[1,2],"b":{"c":1}}"#)
        #expect(try JSONPatch(Node(json: patch)).apply(to: target) == Node(json: expected))
    }

    @Test(arguments: [
        (#"[{"op":"test","path":"/b/c","value":2}]"#, "testing value /b/c failed: test failed"),
        (#"[{"op":"remove","path":"/nope"}]"#, "error in remove for path: '/nope': Unable to remove nonexistent key: nope: missing value"),
        (#"[{"op":"replace","path":"/a/2","value":1}]"#, "replace operation does not apply: doc is missing key: /a/2: missing value"),
        (#"[{"op":"add","path":"/x/y","value":1}]"#, "add operation does not apply: doc is missing path: \"/x/y\": missing value"),
        (#"[{"op":"add","path":"/a/7","value":1}]"#, "error in add for path: '/a/7': Unable to access invalid index: 7: invalid index referenced"),
        (#"[{"op":"move","from":"/x","path":"/y"}]"#, "move operation does not apply: doc is missing from path: /x: missing value"),
        (#"[{"op":"jump","path":"/y"}]"#, "Unexpected kind: jump"),
    ]) func jsonPatchFailsInUpstreamsWords(_ patch: String, _ expected: String) throws {
        let target = try Node(json: #"{"a":[1,2],"b":{"c":1}}"#)
        let patch = try JSONPatch(Node(json: patch))
        #expect(throws: PatchFailure(code: 422, description: expected)) { try patch.apply(to: target) }
    }

    @Test func jsonPatchIsBounded() {
        let many = Node.list(Array(repeating: ["op": "test", "path": "", "value": 1], count: 10_001))
        #expect(throws: PatchFailure(code: 413, description: "The allowed maximum operations in a JSON patch is 10000, got 10001")) { try JSONPatch(many) }
    }

    private func merge(_ original: String, _ patch: String) throws -> Node {
        try StrategicMerge(.builtIn).apply(Node(yaml: patch), to: Node(yaml: original), as: #require(pod))
    }

    private let original = """
        spec:
          containers:
          - {name: a, image: a:1, args: [x], env: [{name: X, value: "1"}], ports: [{containerPort: 80, protocol: TCP}]}
          - {name: b, image: b:1}
          volumes: [{name: v, emptyDir: {}}]
          tolerations: [{key: k}]
          nodeSelector: {a: b}
        metadata: {finalizers: [one, two], labels: {l: m}}
        """

    @Test func listsMergeByKeyAndReplaceWithoutOne() throws {
        let merged = try merge(
            original,
            "{spec: {containers: [{name: b, image: 'b:2'}, {name: c}], tolerations: [{key: z}], nodeSelector: {a: null, c: d}}, metadata: {finalizers: [three]}}")
        #expect(merged["spec"]["containers"].list.map { $0["name"].string } == ["a", "b", "c"])
        #expect(merged["spec"]["containers"][1]["image"].string == "b:2")
        #expect(merged["spec"]["tolerations"] == [["key": "z"]])
        #expect(merged["spec"]["nodeSelector"] == ["c": "d"])
        #expect(Set(merged["metadata"]["finalizers"].stringList) == ["one", "two", "three"])
        #expect(merged["spec"]["containers"][0] == (try Node(yaml: original))["spec"]["containers"][0])
    }

    @Test func directivesDeleteReplaceOrderAndRetain() throws {
        #expect(try merge(original, "{spec: {containers: [{name: a, $patch: delete}]}}")["spec"]["containers"].list.count == 1)
        #expect(try merge(original, "{spec: {containers: [{$patch: replace}, {name: z}]}}")["spec"]["containers"] == [["name": "z"]])
        #expect(try merge(original, "{metadata: {$patch: replace, labels: {q: o}}}")["metadata"] == ["labels": ["q": "o"]])
        #expect(try merge(original, "{metadata: {labels: {$patch: delete}}}")["metadata"]["labels"] == [:])
        #expect(try merge(original, "{metadata: {$deleteFromPrimitiveList/finalizers: [one]}}")["metadata"]["finalizers"] == ["two"])
        let ordered = try merge(original, "{spec: {$setElementOrder/containers: [{name: c}, {name: b}, {name: a}], containers: [{name: c, image: c}]}}")
        #expect(ordered["spec"]["containers"].list.map { $0["name"].string } == ["c", "b", "a"])
        let retained = try merge(original, "{spec: {volumes: [{name: v, $retainKeys: [name, secret], secret: {secretName: s}}]}}")
        #expect(retained["spec"]["volumes"] == [["name": "v", "secret": ["secretName": "s"]]])
    }

    @Test func brokenDirectivesAreRefused() {
        for patch in [
            "{metadata: {$patch: jump}}", "{spec: {containers: [{image: x}]}}", "{spec: {containers: [{$patch: delete}]}}", "{spec: {$retainKeys: [a], b: 1}}",
            "{spec: {$setElementOrder/containers: 1}}", "{spec: {$setElementOrder/containers: [{name: a}], containers: [{name: q}]}}", "[1]",
        ] {
            #expect(throws: PatchFailure.self, "\(patch)") { try merge(original, patch) }
        }
    }

    @Test func aPatchAppliedTwiceIsAppliedOnce() throws {
        for patch in [
            "{spec: {containers: [{name: a, env: [{name: Y, value: z}]}, {name: n}]}}", "{metadata: {finalizers: [three], labels: {x: null}}}",
            "{spec: {$setElementOrder/containers: [{name: b}, {name: a}], containers: [{name: a, tty: true}]}}",
        ] {
            let once = try merge(original, patch)
            let twice = try StrategicMerge(.builtIn).apply(Node(yaml: patch), to: once, as: #require(pod))
            #expect(once == twice)
            #expect(once.jsonText == twice.jsonText)
        }
    }
}

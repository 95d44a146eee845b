import Testing
import Tree

@testable import Schema

@Suite struct CustomResourceTests {
    func definition(_ schema: Node?, _ more: Node = [:]) -> Node {
        var version: Node = ["name": "v1", "served": true, "storage": true]
        for (key, value) in more.fields { version[key] = value }
        if let schema { version["schema"] = ["openAPIV3Schema": schema] }
        return [
            "spec": [
                "group": "example.com", "scope": "Namespaced", "names": ["plural": "widgets", "kind": "Widget", "shortNames": ["wd"]],
                "versions": .list([version]),
            ]
        ]
    }

    func lower(_ spec: Node, _ more: Node = [:]) throws -> (graph: Graph, spec: MessageID) {
        let graph = try Graph(customResourceDefinition: definition(["type": "object", "properties": ["spec": spec, "status": ["type": "object"]]], more), version: "v1")
        let root = try #require(graph.message(of: .init(group: "example.com", version: "v1", kind: "Widget")))
        guard case .message(let id) = try #require(graph.field("spec", in: root)).shape else { throw SchemaError(place: "spec", message: "no message") }
        return (graph, id)
    }

    @Test func equalRulesAreKeptOnceAndValuesStayAsTheyAreWritten() throws {
        let text = "{\"type\":\"string\",\"maxLength\":5,\"pattern\":\"^[a-z]+$\"}"
        let pair = { (value: String) in "{\"type\":\"object\",\"default\":\(value),\"additionalProperties\":{\"type\":\"integer\"}}" }
        let (first, second) = (#"{"a":1,"b":2}"#, #"{"b":2,"a":1}"#)
        let (graph, spec) = try lower(
            try Node(json: #"{"type":"object","properties":{"a":\#(text),"b":\#(text),"one":\#(pair(first)),"same":\#(pair(first)),"turned":\#(pair(second))}}"#))
        func id(_ name: String) throws -> RulesID { try #require(graph.field(name, in: spec)).rulesID }
        #expect(try id("a") == id("b") && id("one") == id("same") && id("a") != .none)
        #expect(try graph[id("one")].defaultValue?.jsonText == first && graph[id("turned")].defaultValue?.jsonText == second)
    }

    @Test func whatOnlyDocumentsTellCanBeLeftOut() throws {
        let field: Node = ["type": "string", "maxLength": 5, "description": "how it looks", "title": "Colour", "x-kubernetes-validations": [["rule": "self != ''"]]]
        let whole = definition(["type": "object", "description": "a thing", "properties": ["spec": ["type": "object", "properties": ["colour": field]]]])
        for isDescribed in [true, false] {
            let graph = try Graph(customResourceDefinition: whole, version: "v1", isDescribed: isDescribed)
            let rules = graph.allRules.filter { $0.bounds.maxLength == 5 }
            #expect(rules.count == 1)
            #expect(rules.allSatisfy { $0.description.isEmpty != isDescribed && ($0.written.documents == nil) != isDescribed })
            #expect(rules.allSatisfy { ($0.written.validations == nil) != isDescribed })
            #expect(graph.allRules.contains { $0.description == "a thing" } == isDescribed)
        }
    }

    @Test func everyKindOfValueFindsItsShape() throws {
        let (graph, spec) = try lower([
            "type": "object", "required": ["size"],
            "properties": [
                "size": ["type": "integer", "minimum": 1, "maximum": 10, "default": 3],
                "colour": ["type": "string", "enum": ["red", "green"], "nullable": true, "pattern": "^[a-z]+$"],
                "ratio": ["type": "number"], "on": ["type": "boolean"],
                "port": ["x-kubernetes-int-or-string": true, "anyOf": [["type": "integer"], ["type": "string"]]],
                "tags": ["type": "array", "x-kubernetes-list-type": "set", "items": ["type": "string", "maxLength": 5]],
                "parts": [
                    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": ["type": "object", "required": ["name"], "properties": ["name": ["type": "string"], "n": ["type": "integer"]]],
                ],
                "labels": ["type": "object", "additionalProperties": ["type": "string"], "x-kubernetes-map-type": "atomic"],
                "anything": ["x-kubernetes-preserve-unknown-fields": true],
                "open": ["type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": ["known": ["type": "string"]]],
                "inner": ["type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true],
                "free": ["type": "object", "additionalProperties": true],
            ],
            "x-kubernetes-validations": [["rule": "self.size > 0"]],
        ])
        func field(_ name: String) throws -> Field { try #require(graph.field(name, in: spec)) }
        func rules(_ name: String) throws -> Rules { graph.rules(of: try field(name)) }
        let size = try field("size")
        #expect(size.shape == .scalar(.int64) && size.isRequired && graph.rules(of: size).bounds.minimum == 1 && graph.rules(of: size).defaultValue == 3)
        let colour = try field("colour")
        #expect(colour.flags.contains(.nullable) && graph.rules(of: colour).enumValues == ["red", "green"] && graph.rules(of: colour).pattern == "^[a-z]+$")
        #expect(try field("ratio").shape == .scalar(.double) && field("on").shape == .scalar(.bool))
        #expect(try field("port").shape == .scalar(.intOrString))
        #expect(try rules("port").written.logic?["anyOf"].list.count == 2)
        guard case .list(let tags) = try field("tags").shape else { throw SchemaError(place: "tags", message: "no list") }
        #expect(graph[tags].shape == .scalar(.string) && graph.rules(of: graph[tags]).bounds.maxLength == 5)
        #expect(try rules("tags").listType == .set)
        #expect(try rules("parts").listMapKeys == ["name"])
        guard case .map(let labels) = try field("labels").shape else { throw SchemaError(place: "labels", message: "no map") }
        #expect(graph[labels].shape == .scalar(.string))
        #expect(try rules("labels").isAtomic)
        #expect(try field("anything").shape == .scalar(.json))
        guard case .message(let open) = try field("open").shape else { throw SchemaError(place: "open", message: "no message") }
        #expect(graph[open].flags.contains(.preservesUnknown) && graph.field("known", in: open) != nil && graph[open].isAnonymous)
        guard case .message(let inner) = try field("inner").shape else { throw SchemaError(place: "inner", message: "no message") }
        #expect(graph[inner].flags.contains(.embedded) && graph.fields(of: inner).map(\.name) == ["apiVersion", "kind", "metadata"])
        guard case .map(let free) = try field("free").shape else { throw SchemaError(place: "free", message: "no map") }
        #expect(graph[free].shape == .scalar(.json))
        let root = try #require(graph.message(named: "example.com/v1.Widget"))
        let specField = try #require(graph.field("spec", in: root))
        #expect(graph.rules(of: specField).written.validations?.list.count == 1)
        #expect(graph.field("spec", in: root)?.flags.contains(.defaults) == true)
        #expect(SchemaLint.findings(graph).isEmpty, "\(SchemaLint.findings(graph))")
    }

    @Test func theRootIsAnObjectWithBuiltInMetadata() throws {
        let (graph, _) = try lower(["type": "object"], ["subresources": ["status": [:], "scale": ["specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"]]])
        let root = try #require(graph.message(named: "example.com/v1.Widget"))
        #expect(graph[root].openAPIName == "com.example.v1.Widget")
        #expect(graph.fields(of: root).map(\.name) == ["apiVersion", "kind", "metadata", "spec", "status"])
        guard case .message(let meta) = try #require(graph.field("metadata", in: root)).shape else { throw SchemaError(place: "metadata", message: "no message") }
        #expect(graph[meta].openAPIName == "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
        let references = try #require(graph.field("ownerReferences", in: meta))
        let owners = graph.rules(of: references)
        #expect(owners.patchMergeKey == "uid" && owners.listMapKeys == ["uid"])
        #expect(graph.field("status", in: root)?.flags.contains(.status) == true)
        let resource = try #require(graph.resource(.init(group: "example.com", version: "v1", resource: "widgets")))
        #expect(resource.singular == "widget" && resource.listKind == "WidgetList" && resource.shortNames == ["wd"] && resource.isNamespaced)
        #expect(resource.columns.map(\.jsonPath) == [".metadata.name", ".metadata.creationTimestamp"])
        #expect(resource.subresource("scale")?.scalePaths?.specReplicas == ".spec.n")
        let list = try #require(resource.list)
        #expect(graph.fields(of: list).map(\.name) == ["apiVersion", "kind", "metadata", "items"])
    }

    @Test func aVersionWithoutSchemaKeepsEverything() throws {
        let graph = try Graph(customResourceDefinition: definition(nil), version: "v1")
        let root = try #require(graph.message(named: "example.com/v1.Widget"))
        #expect(graph[root].flags.contains(.preservesUnknown))
    }

    @Test func restrictionsOfTheNameAreKept() throws {
        let graph = try Graph(
            customResourceDefinition: definition([
                "type": "object", "properties": ["metadata": ["type": "object", "properties": ["name": ["type": "string", "maxLength": 9]]]],
            ]), version: "v1")
        let root = try #require(graph.message(named: "example.com/v1.Widget"))
        guard case .message(let meta) = try #require(graph.field("metadata", in: root)).shape else { throw SchemaError(place: "metadata", message: "no message") }
        let name = try #require(graph.field("name", in: meta))
        #expect(graph.rules(of: name).bounds.maxLength == 9)
        #expect(graph.field("labels", in: meta) != nil)
    }

    static let broken: [(Node, String, String)] = [
        ([:], "spec.versions[0].schema.openAPIV3Schema.properties[spec].type", "must not be empty for specified object fields"),
        (["type": "thing"], "spec.versions[0].schema.openAPIV3Schema.properties[spec].type", "unknown type \"thing\""),
        (["type": "array"], "spec.versions[0].schema.openAPIV3Schema.properties[spec].items", "must be specified"),
        (
            ["type": "object", "properties": ["a": ["type": "string"]], "additionalProperties": ["type": "string"]],
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].additionalProperties", "additionalProperties and properties are mutual exclusive"
        ),
    ]

    @Test(arguments: 0..<broken.count) func whatIsNotStructuralIsRefused(index: Int) {
        let (spec, place, message) = CustomResourceTests.broken[index]
        #expect(throws: SchemaError(place: place, message: message)) { try lower(spec) }
    }

    @Test func propertiesWithDotsAreNotTakenForPaths() throws {
        let leaf: Node = ["type": "object", "properties": ["x": ["type": "string"]]]
        let other: Node = ["type": "object", "properties": ["y": ["type": "string"]]]
        let (graph, spec) = try lower(["type": "object", "properties": ["a": ["type": "object", "properties": ["b": leaf]], "a.b": other]])
        guard case .message(let dotted) = try #require(graph.field("a.b", in: spec)).shape else { throw SchemaError(place: "a.b", message: "no message") }
        #expect(graph.fields(of: dotted).map(\.name) == ["y"])
    }

    @Test func aSchemaThatIsTooDeepIsRefused() {
        var schema: Node = ["type": "string"]
        for _ in 0..<400 { schema = ["type": "object", "properties": ["a": schema]] }
        #expect(throws: SchemaError.self) { try lower(schema) }
    }

    @Test func lintFindsWhatDoesNotFitInACustomResource() throws {
        let (graph, _) = try lower([
            "type": "object",
            "properties": [
                "n": ["type": "integer", "default": "x"],
                "l": ["type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": ["type": "object", "properties": [:]]],
            ],
        ])
        #expect(SchemaLint.findings(graph).map(\.message) == ["default does not fit the type", "list key 'k' is no field of example.com/v1.Widget.spec.l[]"])
    }
}

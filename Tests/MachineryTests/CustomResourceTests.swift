import Core
import Machinery
import Schema
import Testing
import Tree

struct CustomResourceTests {
    private let graph: Graph
    private let id: MessageID
    private let kind = GroupVersionKind(group: "example.com", version: "v1", kind: "Boat")

    init() throws {
        let definition = try Node(
            yaml: """
                spec:
                  group: example.com
                  names: {plural: boats, kind: Boat}
                  scope: Namespaced
                  versions:
                  - name: v1
                    served: true
                    storage: true
                    schema:
                      openAPIV3Schema:
                        type: object
                        required: [spec]
                        properties:
                          spec:
                            type: object
                            required: [name]
                            properties:
                              name: {type: string, minLength: 2, pattern: '^[a-z]+$'}
                              sails: {type: integer, minimum: 1, maximum: 3, default: 2}
                              rig: {type: string, enum: [sloop, ketch]}
                              crew: {type: array, maxItems: 2, x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [id], items: {type: object, properties: {id: {type: string}}}}
                              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
                              port: {x-kubernetes-int-or-string: true}
                              gone: {type: string, nullable: true}
                """)
        graph = try Graph(customResourceDefinition: definition, version: "v1")
        id = try #require(graph.message(of: kind))
    }

    private func object(_ spec: String) throws -> Node {
        let decoder = BodyDecoder(Canonical(graph, .custom))
        let text = "{apiVersion: example.com/v1, kind: Boat, metadata: {name: a}, spec: \(spec)}"
        return try decoder.decode(Array(text.utf8), .yaml, as: kind, .warn).object
    }

    private func errors(_ spec: String) throws -> [String] {
        Validation.errors(try object(spec), as: id, in: graph, .custom).map(\.description)
    }

    @Test func whatFitsPassesAndGetsItsDefaults() throws {
        var boat = try object("{name: ab, free: {anything: [1, {x: null}]}, port: http, crew: [{id: a}], gone: null}")
        Defaulting(graph).apply(to: &boat, as: id)
        #expect(boat["spec"]["sails"].int == 2)
        #expect(boat["spec"]["free"]["anything"].list.count == 2)
        #expect(boat["spec"].has("gone"))
        #expect(Validation.errors(boat, as: id, in: graph, .custom).isEmpty)
    }

    @Test(arguments: [
        ("{}", "spec.name: Required value"),
        ("{name: a}", "spec.name: Invalid value: \"a\": spec.name in body should be at least 2 chars long"),
        ("{name: AB}", "spec.name: Invalid value: \"AB\": spec.name in body should match '^[a-z]+$'"),
        ("{name: 7}", "spec.name: Invalid value: \"integer\": spec.name in body must be of type string: \"integer\""),
        ("{name: ab, sails: 0}", "spec.sails: Invalid value: 0: spec.sails in body should be greater than or equal to 1"),
        ("{name: ab, sails: 9}", "spec.sails: Invalid value: 9: spec.sails in body should be less than or equal to 3"),
        ("{name: ab, sails: many}", "spec.sails: Invalid value: \"string\": spec.sails in body must be of type integer: \"string\""),
        ("{name: ab, rig: junk}", "spec.rig: Unsupported value: \"junk\": supported values: \"sloop\", \"ketch\""),
        ("{name: ab, crew: [{id: a}, {id: a}]}", "spec.crew[1]: Duplicate value: {\"id\":\"a\"}"),
        ("{name: ab, crew: [{}, {}, {}]}", "spec.crew: Too many: 3: must have at most 2 items"),
        ("{name: ab, crew: {}}", "spec.crew: Invalid value: \"object\": spec.crew in body must be of type array: \"object\""),
        ("[]", "spec: Invalid value: \"array\": spec in body must be of type object: \"array\""),
    ]) func whatDoesNotFitIsNamedInUpstreamsWords(_ spec: String, _ expected: String) throws {
        let found = try errors(spec)
        #expect(found.contains(expected), "\(found)")
    }

    @Test func unknownFieldsArePrunedAndMetadataIsTyped() throws {
        var boat = try object("{name: ab, what: 1, crew: [{id: a, x: 1}]}")
        #expect(!boat["spec"].has("what"))
        #expect(boat["spec"]["crew"] == [["id": "a"]])
        boat["spec"]["late"] = 1
        #expect(Pruning.prune(&boat, as: id, in: graph).map(\.description) == ["spec.late"])
        let bad = "{metadata: {labels: {a: 1}}, spec: {}}"
        #expect(throws: APIError.self) { try BodyDecoder(Canonical(graph, .custom)).decode(Array(bad.utf8), .yaml, as: kind, .warn) }
    }

    @Test func documentsDescribeIt() {
        let document = OpenAPIEmitter(.builtIn).v3("apis/example.com/v1", [], besides: [(graph, graph.resources)])
        let spec = document["components"]["schemas"].fields.first { $0.key.hasSuffix("Boat") }?.value["properties"]["spec"] ?? .null
        #expect(spec["properties"]["sails"]["maximum"].int == 3)
        #expect(spec["properties"]["free"]["x-kubernetes-preserve-unknown-fields"].bool == true)
        #expect(document["paths"].has("/apis/example.com/v1/namespaces/{namespace}/boats/{name}"))
    }

    @Test func whatADefinitionLeavesOpenIsOwnedInParts() throws {
        let canonical = Canonical(graph, .custom)
        func boat(_ free: String) throws -> Node {
            try Node(yaml: "{apiVersion: example.com/v1, kind: Boat, metadata: {name: a}, spec: {name: ab, free: \(free)}}")
        }
        let engine = ServerSideApply(canonical, as: id, ignoring: [], now: .init(seconds: 1))
        func manager(_ name: String) -> ManagedFields.Manager { .init(name: name, operation: "Apply", apiVersion: "example.com/v1") }
        let first = try engine.apply(boat("{x: {k: 1}, list: [{a: 1}]}"), to: .null, by: manager("one"), force: false)
        let both = try engine.apply(boat("{x: {m: 2}}"), to: first, by: manager("two"), force: false)
        #expect(both["spec"]["free"] == (try Node(yaml: "{x: {k: 1, m: 2}, list: [{a: 1}]}")))
        let owners = try #require(ManagedFields(both["metadata"]["managedFields"]))
        let mine = try #require(owners.entries.first { $0.manager.name == "one" }).fields.paths.map(FieldSet.describe)
        #expect(mine.contains(".spec.free.x.k") && mine.contains(".spec.free.list") && !mine.contains(".spec.free.x.m"))
        let less = try engine.apply(boat("{list: [{a: 1}]}"), to: both, by: manager("one"), force: false)
        #expect(less["spec"]["free"] == (try Node(yaml: "{x: {m: 2}, list: [{a: 1}]}")))
        #expect(throws: APIError.self) { try engine.apply(boat("{list: []}"), to: both, by: manager("two"), force: false) }
    }
}

import Testing
import Tree

@testable import Schema

@Suite struct SchemaTextTests {
    static let head = "package apps group=apps openapi=io.k8s.api.apps\nversion v1\n"

    static let meta = (name: "meta.schema", text: "package meta group=- openapi=io.meta outside\nversion v1\ntype ListMeta\n  continue 3 string\n")

    func graph(_ body: String) throws -> Graph { try Graph(text: [SchemaTextTests.meta, ("apps.schema", SchemaTextTests.head + body)]) }

    @Test func aFieldLineSaysNameTagTypeAndAttributes() throws {
        let graph = try graph(
            """
            enum Policy Always Never
            # a comment
            type Spec
              replicas 1 *int32     default=1
              policy   2 Policy     default="Always"   # another
              ports    3 []Port     patch=merge,retainKeys:port list=map:port,protocol
              labels   5 map[string]string  map=atomic
              names    - []string   always required
            type Port
              port     1 int32  always required
              protocol 2 string
            """)
        let spec = try #require(graph.message(named: "apps/v1.Spec"))
        func rules(_ field: Field?) throws -> Rules { graph.rules(of: try #require(field)) }
        #expect(graph[spec].openAPIName == "io.k8s.api.apps.v1.Spec")
        let replicas = try #require(graph.field("replicas", in: spec))
        #expect(replicas.presence == .pointer && replicas.shape == .scalar(.int32) && replicas.tag == 1)
        #expect(graph.rules(of: replicas).defaultValue == 1)
        #expect(replicas.flags.contains(.defaults))
        let policy = try #require(graph.field("policy", in: spec))
        #expect(policy.presence == .omitEmpty)
        #expect(graph.rules(of: policy).enumValues == ["Always", "Never"])
        let ports = try rules(graph.field("ports", in: spec))
        #expect(ports.patchStrategy == [.merge, .retainKeys] && ports.patchMergeKey == "port")
        #expect(ports.listType == .map && ports.listMapKeys == ["port", "protocol"])
        let labels = try rules(graph.field("labels", in: spec))
        #expect(labels.isAtomic)
        #expect(graph.wireField(tag: 4, in: spec) == nil)
        #expect(graph.wireField(tag: 5, in: spec)?.name == "labels")
        #expect(graph.wireField(tag: 6, in: spec) == nil)
        #expect(graph.wire(of: spec).map(\.name) == ["replicas", "policy", "ports", "labels"])
        #expect(graph.field("nothing", in: spec) == nil)
    }

    @Test func anInlineMessageIsFlatInJSONAndNestedInProtobuf() throws {
        let graph = try graph("type Outer\n  name 1 string always\n  - 2 Inner inline\ntype Inner\n  size 1 int64\n")
        let outer = try #require(graph.message(named: "apps/v1.Outer"))
        #expect(graph.fields(of: outer).map(\.name) == ["name", "size"])
        #expect(graph.field("size", in: outer)?.flags.contains(.promoted) == true)
        let wire = try #require(graph.wireField(tag: 2, in: outer))
        let inner = try #require(graph.message(named: "apps/v1.Inner"))
        #expect(wire.isInline && wire.shape == .message(inner))
    }

    @Test func aVersionLikeAnotherTakesItsTypesAndTheyReferToItsOwn() throws {
        let graph = try graph(
            """
            enum Mode A B
            kind Thing list
              spec 1 Spec
            type Spec
              mode 1 Mode
            type Gone
              x 1 string
            version v1beta1 like v1 without Gone
            type Spec
              mode 1 Mode
              more 2 string
            """)
        let beta = try #require(graph.message(of: .init(group: "apps", version: "v1beta1", kind: "Thing")))
        let spec = try #require(graph.field("spec", in: beta))
        let own = try #require(graph.message(named: "apps/v1beta1.Spec"))
        #expect(spec.shape == .message(own))
        #expect(graph.message(named: "apps/v1beta1.Gone") == nil)
        #expect(graph.message(named: "apps/v1beta1.ThingList") != nil)
        let old = try #require(graph.message(named: "apps/v1.Spec"))
        #expect(graph.field("more", in: old) == nil)
    }

    @Test(arguments: [
        ("type A\n  x 1 string frobs", 4, "unknown attribute 'frobs'"),
        ("type A\n  x 1 string list=bag", 4, "unknown list type 'bag'"),
        ("type A\n  x 1 string required always", 4, "attribute 'always' out of order or twice"),
        ("type A\n  x 0 string", 4, "protobuf tag or '-' expected, not '0'"),
        ("type A\n  x 1", 4, "type missing"),
        ("type A\n\n  x 1 Nothing", 5, "unknown type 'apps/v1.Nothing'"),
        ("type A\n  x 1 strin", 4, "unknown type 'strin'"),
        ("type A\ntype A", 4, "type 'A' twice"),
        ("type A\n  x 1 string default=\"a", 4, "text does not end"),
        ("type A\n  x 1 string default=oops", 4, "value expected, not 'oops'"),
        ("type A\n  x 1 A inline", 4, "a field is named '-' if and only if it is inline"),
        ("  x 1 string", 3, "indented line without a block"),
        ("tipe A", 3, "unknown keyword 'tipe'"),
        ("version v2 like v3", 3, "'apps/v3' is not above"),
        ("type A\n  x 1 E\nenum E a b", 5, "enum 'E' is used above or is a type too"),
        ("resource as A everywhere", 3, "unknown scope 'everywhere'"),
    ])
    func whatIsWrongIsToldWithFileAndLine(body: String, line: Int, message: String) throws {
        #expect(throws: SchemaError(place: "apps.schema", line: line, message: message)) { try graph(body) }
    }

    @Test func textCutAnywhereIsReadOrRefusedAndNeverTraps() throws {
        let body = SchemaTextTests.head + "enum E a \"b c\"\nkind A list\n  x 1 *E default=\"a\"\n  - 2 B inline\ntype B\n  y 1 map[string]items[]string\nresource as A cluster short=a\n  /status verbs=get\n  | \"N S\" string priority=1\n"
        var read = 0
        for end in 0...body.utf8.count {
            if (try? Graph(text: [SchemaTextTests.meta, ("cut", String(body.prefix(end)))])) != nil { read += 1 }
        }
        #expect(read > 0)
        for index in 0..<body.utf8.count {
            for byte in [UInt8(ascii: " "), UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "\n"), UInt8(ascii: "="), 0xFF] {
                var bytes = Array(body.utf8)
                bytes[index] = byte
                _ = try? Graph(text: [SchemaTextTests.meta, ("mutated", String(decoding: bytes, as: UTF8.self))])
            }
        }
    }
}

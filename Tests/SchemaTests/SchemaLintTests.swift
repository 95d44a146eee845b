import Testing

@testable import Schema

@Suite struct SchemaLintTests {
    @Test(arguments: [
        ("type A\n  x 1 string\n  y 1 string", "apps/v1.A.y", "tag 1 twice"),
        ("type A\n  x 1 string\n  x 2 string", "apps/v1.A.x", "declared twice"),
        ("type A\n  x 1 string\n  - 2 B inline\ntype B\n  x 1 string", "apps/v1.A.x", "declared twice"),
        ("type A\n  - 2 []A inline", "apps/v1.A inline", "not a message"),
        ("type A\n  - 2 A inline", "apps/v1.A inline", "contains itself"),
        ("type A\n  x 1 []B patch=merge:name\ntype B\n  y 1 string", "apps/v1.A.x", "merge key 'name' is no field of apps/v1.B"),
        ("type A\n  x 1 []string patch=merge:name", "apps/v1.A.x", "merge key 'name' on what is no list of messages"),
        ("type A\n  x 1 []B list=map:y\ntype B\n  y 1 []string", "apps/v1.A.x", "list key 'y' is no scalar"),
        ("type A\n  x 1 []B list=map\ntype B\n  y 1 string", "apps/v1.A.x", "map list without keys"),
        ("type A\n  x 1 string list=set", "apps/v1.A.x", "list type on what is no list"),
        ("type A\n  x 1 string map=atomic", "apps/v1.A.x", "map type on what is neither map nor message"),
        ("type A\n  x 1 int32 default=\"1\"", "apps/v1.A.x", "default does not fit the type"),
        ("enum E a b\ntype A\n  x 1 E default=\"c\"", "apps/v1.A.x", "default is none of the values allowed"),
        ("type A\n  x 1 int32 min=2 max=1", "apps/v1.A.x", "minimum above maximum"),
        ("type A\n  x 1 *B default={\"z\":1}\ntype B\n  y 1 string", "apps/v1.A.x", "default has an unknown field 'z'"),
        ("kind A\n  spec 1 B\n  = spec.z 1\ntype B\n  y 1 string", "apps/v1.A spec.z", "no field 'z'"),
        ("resource as A cluster\ntype A\n  x 1 string", "apps/v1, Resource=as", "kind A is not declared as a kind"),
    ])
    func declarationsThatDoNotFitAreFound(body: String, place: String, message: String) throws {
        let graph = try Graph(text: [SchemaTextTests.meta, ("apps.schema", SchemaTextTests.head + body)])
        #expect(SchemaLint.findings(graph).contains(SchemaError(place: place, message: message)), "\(SchemaLint.findings(graph))")
    }
}

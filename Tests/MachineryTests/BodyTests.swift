import Core
import Machinery
import Schema
import Testing
import Tree

struct BodyTests {
    private static let decoder = BodyDecoder(Canonical(.builtIn))
    private let deployment = GroupVersionKind(group: "apps", version: "v1", kind: "Deployment")

    private func decode(_ text: String, _ syntax: BodyDecoder.Syntax = .json, _ validation: FieldValidation = .strict) throws -> BodyDecoder.Body {
        try BodyTests.decoder.decode(Array(text.utf8), syntax, as: deployment, validation)
    }

    private func failure(_ text: String, _ syntax: BodyDecoder.Syntax = .json) -> String {
        do {
            _ = try decode(text, syntax)
            return "no error"
        } catch let error as APIError {
            return "\(error.code) \(error.reason): \(error.message)"
        } catch {
            return "\(error)"
        }
    }

    @Test(arguments: [
        ("", "400 BadRequest: the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"),
        ("{\"a\":", "400 BadRequest: the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error: unexpected end of JSON input ({\"a\":)"),
        ("x", "400 BadRequest: the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error: invalid character 'x' looking for beginning of value (78)"),
        (#"{"kind":1}"#, "400 BadRequest: the object provided is unrecognized (must be of type Deployment): couldn't get version/kind; json parse error: json: cannot unmarshal number into Go struct field .kind of type string ({\"kind\":1})"),
        (#"{"kind":"Foo","apiVersion":"apps/v1"}"#, "400 BadRequest: Foo in version \"v1\" cannot be handled as a Deployment: no kind \"Foo\" is registered for version \"apps/v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""),
        (#"{"apiVersion":"apps/v1beta1"}"#, "400 BadRequest: the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)"),
        (#"{"spec":{"replicas":"x"}}"#, "400 BadRequest: Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (#"{"spec":{"foo":1,"replicas":1,"replicas":2},"metadata":{"labels":{"a":"1","a":"2"}}}"#, "400 BadRequest: Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.foo\", duplicate field \"spec.replicas\", duplicate field \"metadata.labels.a\""),
    ]) func brokenBodiesAreRefusedInUpstreamsWords(_ text: String, _ expected: String) {
        #expect(failure(text) == expected)
    }

    @Test func brokenYAMLIsRefused() {
        #expect(failure("a: b: c", .yaml).contains("yaml: mapping values are not allowed in this context"))
        #expect(failure("spec: {replicas: 1}\nspec: {replicas: 2}\n", .yaml).contains("strict decoding error: yaml: unmarshal errors:\n  line 2: key \"spec\" already set in map"))
    }

    @Test func warnTellsAndIgnoreIsSilent() throws {
        let text = #"{"spec":{"foo":1}}"#
        #expect(try decode(text, .json, .warn).warnings == ["unknown field \"spec.foo\""])
        #expect(try decode(text, .json, .ignore).warnings.isEmpty)
        let object = try decode(text, .json, .ignore).object
        #expect(object["kind"].string == "Deployment")
        #expect(object["apiVersion"].string == "apps/v1")
        #expect(!object["spec"].has("foo"))
    }

    @Test func protobufBodiesAreRead() throws {
        let canonical = Canonical(.builtIn)
        let id = try #require(Graph.builtIn.message(of: deployment))
        let object = try canonical.normalize(["apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "a"], "spec": ["replicas": 0]], as: id)
        let bytes = Transcode(canonical).encode(object, as: id)
        #expect(try BodyTests.decoder.decode(bytes, .protobuf, as: deployment, .strict).object == object)
        #expect(throws: APIError.self) { try BodyTests.decoder.decode(Array(bytes.dropLast(40)), .protobuf, as: deployment, .strict) }
        let pod = GroupVersionKind(group: "", version: "v1", kind: "Pod")
        let why = "Deployment in version \"v1\" cannot be handled as a Pod: converting (v1.Deployment) to (core.Pod): unknown conversion"
        #expect(throws: APIError.badRequest(why)) {
            try BodyTests.decoder.decode(bytes, .protobuf, as: pod, .strict)
        }
    }

    @Test func continueTokensAreUpstreams() throws {
        let token = ContinueToken(revision: 42, start: "default/a")
        #expect(try ContinueToken(parsing: token.description) == token)
        #expect(Base64.decodeURL(token.description).map { String(decoding: $0, as: UTF8.self) } == #"{"v":"meta.k8s.io/v1","rv":42,"start":"default/a\u0000"}"#)
        for broken in ["!", "e30", Base64.encodeURL(Array(#"{"v":"meta.k8s.io/v1","rv":1,"start":"../x"}"#.utf8)), Base64.encodeURL(Array(#"{"v":"v2","rv":1,"start":"x"}"#.utf8))] {
            #expect(throws: APIError.self) { try ContinueToken(parsing: broken) }
        }
    }

    @Test(arguments: [
        (-5, "<invalid>"), (-1, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (600, "10m"), (10_799, "179m"), (10_800, "3h"), (11_000, "3h3m"),
        (30_000, "8h"), (172_800, "2d"), (180_000, "2d2h"), (864_000, "10d"), (63_072_000, "2y"), (70_000_000, "2y80d"), (300_000_000, "9y"),
    ]) func agesAreShortAsUpstreams(_ seconds: Int, _ expected: String) {
        #expect(HumanDuration.text(.seconds(seconds)) == expected)
    }

    private struct PodCells: Cells {
        func cells(_ object: Node, now: Timestamp) -> [Node] { [Cell.name(object), "1/1", "Running", 0, Cell.age(of: object, now: now)] }
    }

    @Test func tablesPadAndNameTheirColumns() throws {
        let pods = try #require(Graph.builtIn.resource(GroupVersionResource(group: "", version: "v1", resource: "pods")))
        let pod: Node = ["metadata": ["name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"], "spec": [:]]
        let now = Timestamp(seconds: 1_767_225_600 + 90)
        let table = Table(pods, PodCells()).table([pod], metadata: ["resourceVersion": "7"], .metadata, now: now)
        #expect(table["columnDefinitions"].list.count == pods.columns.count)
        #expect(table["rows"][0]["cells"].list.count == pods.columns.count)
        #expect(table["rows"][0]["cells"][4].string == "90s")
        #expect(table["rows"][0]["object"]["kind"].string == "PartialObjectMetadata")
        #expect(table["metadata"]["resourceVersion"].string == "7")
        let generic = Table(pods, nil).table([pod], metadata: [:], .none, now: now)
        #expect(generic["rows"][0]["cells"] == ["a", "2026-01-01T00:00:00Z"])
        #expect(generic["rows"][0].has("object") && generic["rows"][0]["object"].isNull)
    }
}

import Core
import Machinery
import Schema
import Testing
import Tree

struct ServerSideApplyTests {
    private static let canonical = Canonical(.builtIn)
    private let id: MessageID
    private let now = Timestamp(seconds: 1_767_225_600)

    init() throws { id = try #require(Graph.builtIn.message(of: GroupVersionKind(group: "apps", version: "v1", kind: "Deployment"))) }

    private var engine: ServerSideApply { ServerSideApply(ServerSideApplyTests.canonical, as: id, ignoring: ["status"], now: now) }
    private func applier(_ name: String) -> ManagedFields.Manager { .init(name: name, operation: "Apply", apiVersion: "apps/v1") }
    private func updater(_ name: String) -> ManagedFields.Manager { .init(name: name, operation: "Update", apiVersion: "apps/v1") }

    private func config(_ spec: String) throws -> Node {
        try Node(yaml: "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: \(spec)}")
    }

    private func apply(_ spec: String, to live: Node = .null, by name: String, force: Bool = false) throws -> Node {
        let applied = try engine.apply(config(spec), to: live, by: applier(name), force: force)
        return try ServerSideApplyTests.canonical.normalize(applied, as: id)
    }

    private func owners(_ object: Node) -> [String: [String]] {
        let entries = ManagedFields(object["metadata"]["managedFields"])?.entries ?? []
        return Dictionary(uniqueKeysWithValues: entries.map { ($0.manager.name, $0.fields.paths.map(FieldSet.describe)) })
    }

    private let base = "{replicas: 2, template: {spec: {containers: [{name: a, image: 'a:1', ports: [{containerPort: 80}]}]}}}"

    @Test func anApplierOwnsWhatItNames() throws {
        let object = try apply(base, by: "one")
        #expect(object["spec"]["replicas"].int == 2)
        #expect(owners(object) == [
            "one": [
                ".spec.replicas", ".spec.template.spec.containers[name=\"a\"]", ".spec.template.spec.containers[name=\"a\"].image",
                ".spec.template.spec.containers[name=\"a\"].name", ".spec.template.spec.containers[name=\"a\"].ports[containerPort=80,protocol=\"TCP\"]",
                ".spec.template.spec.containers[name=\"a\"].ports[containerPort=80,protocol=\"TCP\"].containerPort",
            ]
        ])
    }

    @Test func applyingTwiceIsApplyingOnce() throws {
        let once = try apply(base, by: "one")
        #expect(try apply(base, to: once, by: "one").jsonText == once.jsonText)
    }

    @Test func whatAnApplierNoLongerNamesGoesUnlessSomebodyElseOwnsIt() throws {
        let both = try apply("{replicas: 2}", to: apply(base, by: "one"), by: "two")
        #expect(owners(both)["two"] == [".spec.replicas"])
        let less = try apply("{template: {spec: {containers: [{name: a, image: 'a:1'}]}}}", to: both, by: "one")
        #expect(less["spec"]["replicas"].int == 2)
        #expect(!less["spec"]["template"]["spec"]["containers"][0].has("ports"))
        let gone = try apply("{paused: true}", to: less, by: "two")
        #expect(!gone["spec"].has("replicas"))
    }

    @Test func anotherOwnersFieldIsAConflict() throws {
        let object = try apply(base, by: "one")
        do {
            _ = try apply("{replicas: 5}", to: object, by: "two")
            Issue.record("no conflict")
        } catch let error as APIError {
            #expect(error.code == 409)
            #expect(error.reason == "Conflict")
            #expect(error.message == "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas")
            #expect(error.details?.causes == [.init(reason: "FieldManagerConflict", message: "conflict with \"one\"", field: ".spec.replicas")])
        }
        let forced = try apply("{replicas: 5}", to: object, by: "two", force: true)
        #expect(forced["spec"]["replicas"].int == 5)
        #expect(owners(forced)["two"] == [".spec.replicas"])
        #expect(owners(forced)["one"]?.contains(".spec.replicas") == false)
    }

    @Test func anUpdateTakesWhatItChanges() throws {
        let object = try apply(base, by: "one")
        var changed = object
        changed["spec"]["replicas"] = 7
        changed["metadata"]["managedFields"] = engine.update(live: object, new: changed, by: updater("kubectl-scale"))
        #expect(owners(changed)["kubectl-scale"] == [".spec.replicas"])
        #expect(owners(changed)["one"]?.contains(".spec.replicas") == false)
        #expect(throws: APIError.self) { try apply(base, to: changed, by: "one") }
        do {
            _ = try apply(base, to: changed, by: "one")
        } catch let error as APIError {
            #expect(error.message == "Apply failed with 1 conflict: conflict with \"kubectl-scale\" using apps/v1: .spec.replicas")
        }
    }

    @Test func aCreatorOwnsWhatItCreatedAsUpstreamWritesIt() throws {
        let object = try ServerSideApplyTests.canonical.normalize(
            Node(yaml: "{apiVersion: apps/v1, kind: Deployment, metadata: {name: w, labels: {a: b}}, spec: {replicas: 1, strategy: {rollingUpdate: {maxSurge: 1}}, template: {spec: {volumes: [{name: v}], containers: [{name: c, image: i}]}}}}"), as: id)
        let managed = engine.update(live: .null, new: object, by: updater("m"))
        #expect(
            managed[0]["fieldsV1"].jsonText
                == #"{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:replicas":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{}}},"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{},"f:name":{},"f:resources":{}}},"f:volumes":{".":{},"k:{\"name\":\"v\"}":{".":{},"f:name":{}}}}}}}"#
        )
    }

    @Test func objectsThatNobodyAppliedGetAnOwnerForTheirPast() throws {
        var live = try ServerSideApplyTests.canonical.normalize(config("{replicas: 3}"), as: id)
        live["metadata"].remove("managedFields")
        #expect(engine.update(live: live, new: live, by: updater("x")).isNull)
        #expect(throws: APIError.self) { try apply("{replicas: 4}", to: live, by: "one") }
        let agreed = try apply("{replicas: 3}", to: live, by: "one")
        #expect(Set(owners(agreed).keys) == ["one", "before-first-apply"])
    }

    @Test func manyUpdatersAreFoldedTogether() throws {
        var object = try ServerSideApplyTests.canonical.normalize(config("{replicas: 0}"), as: id)
        object["metadata"]["managedFields"] = engine.update(live: .null, new: object, by: updater("first"))
        for index in 1...20 {
            var next = object
            next["metadata"]["annotations"]["k\(index)"] = "v"
            next["metadata"]["managedFields"] = engine.update(live: object, new: next, by: updater("m\(index)"))
            object = next
        }
        let entries = try #require(ManagedFields(object["metadata"]["managedFields"])).entries
        #expect(entries.count <= 11)
        #expect(entries.contains { $0.manager.name == "ancient-changes" })
    }

    @Test func duplicateItemsInAConfigurationAreRefused() {
        #expect(throws: APIError.self) { try apply("{template: {spec: {containers: [{name: a}, {name: a}]}}}", by: "one") }
    }

    @Test func fieldSetsReadAndWriteFieldsV1() throws {
        let text = #"{"f:a":{".":{},"f:b":{}},"k:{\"name\":\"x\"}":{"f:c":{}},"v:\"y\"":{}}"#
        let set = FieldSet(fieldsV1: try Node(json: text))
        #expect(set.fieldsV1.jsonText == text)
        #expect(set.subtracting(set).isEmpty)
        #expect(set.union(set) == set)
        #expect(set.intersection(set) == set)
    }
}

extension ServerSideApplyTests {
    private static let annotation = "kubectl.kubernetes.io/last-applied-configuration"

    /// As a client-side apply of two replicas leaves it.
    private func appliedByTheClient() throws -> Node {
        let text = #"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"},"spec":{"replicas":2,"paused":true}}"#
        var object = try ServerSideApplyTests.canonical.normalize(
            Node(yaml: "{apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {replicas: 2, paused: false}}"), as: id)
        object["metadata"]["annotations"][ServerSideApplyTests.annotation] = .string(text)
        object["metadata"]["managedFields"] = engine.update(live: .null, new: object, by: updater("kubectl-client-side-apply"))
        return object
    }

    @Test func kubectlTakesOverWhatItAppliedFromTheClient() throws {
        let live = try appliedByTheClient()
        let applied = try apply("{replicas: 3}", to: live, by: "kubectl")
        #expect(applied["spec"]["replicas"].int == 3)
        let kept = try JSONReader.read(Array((applied.annotations[ServerSideApplyTests.annotation] ?? "").utf8))
        #expect(kept["spec"]["replicas"].int == 3)
        #expect(kept["spec"]["paused"].isNull)
        #expect(throws: APIError.self) { try apply("{replicas: 3}", to: live, by: "other") }
    }

    @Test func whatChangedSinceTheClientAppliedIsAConflict() throws {
        var live = try appliedByTheClient()
        live["spec"]["replicas"] = 5
        #expect(throws: APIError.self) { try apply("{replicas: 3}", to: live, by: "kubectl") }
    }

    @Test(arguments: [
        ("{replicas: x}", ".spec.replicas: expected numeric (int or float), got string"),
        ("{paused: x}", ".spec.paused: expected boolean, got &{x}"),
        ("{template: x}", ".spec.template: expected map, got &{x}"),
        ("{template: {spec: {containers: {a: 1}}}}", ".spec.template.spec.containers: expected list, got &{map[a:1]}"),
        ("{template: {spec: {containers: [{name: c, image: 5}]}}}", ".spec.template.spec.containers[name=\"c\"].image: expected string, got &value.valueUnstructured{Value:5}"),
        ("{template: {metadata: {labels: {a: 5}}}}", ".spec.template.metadata.labels.a: expected string, got &value.valueUnstructured{Value:5}"),
        ("{template: {spec: {containers: [x]}}}", ".spec.template.spec.containers: element 0: associative list with keys may not have non-map elements"),
    ]) func wrongTypesAreToldInTypedWords(spec: String, problem: String) throws {
        let error = #expect(throws: APIError.self) { try apply(spec, by: "one") }
        #expect(error?.message == "failed to create typed patch object (/web; apps/v1, Kind=Deployment): \(problem)")
        #expect(error?.code == 500)
    }
}

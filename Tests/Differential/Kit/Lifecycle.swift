import Tree

/// What every kind must do alike, asked of the objects that the sweeps start from: they are made, read in every form, changed in
/// every way and deleted.
package enum Lifecycle {
    package static func read(_ path: String) throws -> [Script.Section] { try RequestFile.blocks(path).filter(\.isSwept).map(section) }

    private static func section(_ block: RequestFile.Block) throws -> Script.Section {
        var object = try YAMLReader.read(Array(block.body.utf8))
        let name = object["metadata"]["name"].string ?? "x"
        var labels = object["metadata"]["labels"].fields
        labels["lifecycle"] = "yes"
        object["metadata"]["labels"] = .map(labels)
        var steps = Steps(section: "\(block.name) lifecycle", collection: block.path, item: "\(block.path)/\(name)", object: object)
        steps.creation()
        steps.reading()
        steps.updates()
        steps.patches()
        steps.applying(name)
        steps.status()
        steps.deletion()
        return Script.Section(name: steps.section, steps: steps.all)
    }

    private struct Steps {
        let section: String
        let collection: String
        let item: String
        let object: Node
        var all: [Script.Step] = []

        private var identity: Node {
            ["apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": ["name": object["metadata"]["name"]]]
        }

        private mutating func add(
            _ title: String, _ method: String, _ path: String, _ body: Node? = nil, _ options: String..., captures: [(name: String, path: String)] = []
        ) {
            var step = Script.Step(name: "\(section) | \(title)", method: method, path: path)
            step.body = body?.jsonText
            // Both are of this file: an option that is not known would be seen at the first run.
            for option in options { try? step.take(option) }
            step.captures = captures
            all.append(step)
        }

        /// What a server writes by itself into some kinds, a moment after somebody else.
        private static let written = ["CustomResourceDefinition": "Established", "FlowSchema": "Dangling", "APIService": "Available"]

        private mutating func settle() {
            guard let text = Steps.written[object["kind"].string ?? ""] else { return }
            var step = Script.Step(name: "", method: "GET", path: item)
            step.until = text
            step.isSilent = true
            all.append(step)
        }

        mutating func creation() {
            add("create dry", "POST", collection + "?dryRun=All", object)
            add("create", "POST", collection, object, captures: [("rv", "metadata.resourceVersion"), ("uid", "metadata.uid")])
            settle()
            add("create again", "POST", collection, object)
            var other = object
            other["metadata"]["namespace"] = "elsewhere"
            add("create in the wrong namespace", "POST", collection, other)
            other = object
            other["kind"] = "Wrong"
            add("create of the wrong kind", "POST", collection, other)
            other = object
            other["apiVersion"] = "wrong/v1"
            add("create of the wrong version", "POST", collection, other)
            other = object
            other["metadata"]["resourceVersion"] = "5"
            other["metadata"]["name"] = "other-name"
            add("create with a version", "POST", collection, other)
            other["metadata"].remove("resourceVersion")
            other["nope"] = 1
            add("create warned", "POST", collection + "?dryRun=All&fieldValidation=Warn", other)
            add("create ignored", "POST", collection + "?dryRun=All&fieldValidation=Ignore", other)
        }

        mutating func reading() {
            for shape in ["json", "table", "tablev1beta1", "partial", "yaml", "protobuf"] { add("get \(shape)", "GET", item, nil, "accept=\(shape)") }
            let list = collection + "?labelSelector=lifecycle%3Dyes"
            for shape in ["json", "table", "partials", "partial", "yaml"] { add("list \(shape)", "GET", list, nil, "accept=\(shape)") }
            add("table with objects", "GET", list + "&includeObject=Object", nil, "accept=table")
            add("table without objects", "GET", list + "&includeObject=None", nil, "accept=table")
            add("list none", "GET", collection + "?labelSelector=lifecycle%3Dno")
            add("list by name", "GET", collection + "?fieldSelector=metadata.name%3D" + (object["metadata"]["name"].string ?? ""))
            add("list by an unknown field", "GET", collection + "?fieldSelector=spec.nope%3D1")
            add("get missing", "GET", item + "-missing")
        }

        mutating func updates() {
            var changed = object
            changed["metadata"]["annotations"] = ["a": "b"]
            var stale = changed
            stale["metadata"]["resourceVersion"] = "1"
            add("put stale", "PUT", item, stale)
            add("put dry", "PUT", item + "?dryRun=All", changed)
            add("put", "PUT", item, changed)
            var foreign = changed
            foreign["metadata"]["uid"] = "11111111-1111-1111-1111-111111111111"
            add("put of another uid", "PUT", item, foreign)
            var renamed = changed
            renamed["metadata"]["name"] = "renamed"
            add("put of another name", "PUT", item, renamed)
            add("put missing", "PUT", item + "-missing", changed)
            add("put nothing", "PUT", item, identity)
            add("put unknown field", "PUT", item + "?fieldValidation=Strict&dryRun=All", { () -> Node in var node = changed; node["nope"] = 1; return node }())
            for (key, value) in object.fields where !["apiVersion", "kind", "metadata"].contains(key) && !value.fields.isEmpty {
                for inner in value.fields.keys {
                    var less = changed
                    less[key].remove(inner)
                    add("put without \(key).\(inner)", "PUT", item + "?dryRun=All", less)
                    for (title, other) in others(value[inner]) {
                        less = changed
                        less[key][inner] = other
                        add("put \(title) \(key).\(inner)", "PUT", item + "?dryRun=All", less)
                    }
                }
            }
        }

        /// Other values of the same type.
        private func others(_ value: Node) -> [(String, Node)] {
            switch value {
            case .bool(let flag): [("other", .bool(!flag))]
            case .int(let number): [("other", .int(number + 1))]
            case .string(let text): [("other", .string(text + "x"))]
            case .list(let items): items.isEmpty ? [] : [("shorter", .list(items.dropLast())), ("doubled", .list(items + items))]
            default: []
            }
        }

        mutating func patches() {
            add("merge patch", "PATCH", item, ["metadata": ["labels": ["m": "1"], "annotations": ["a": .null]]], "type=merge")
            add("merge patch unknown", "PATCH", item + "?fieldValidation=Strict", ["nope": 1, "metadata": ["nope": 2]], "type=merge")
            add("merge patch warned", "PATCH", item + "?dryRun=All", ["nope": 1], "type=merge")
            add("merge patch name", "PATCH", item, ["metadata": ["name": "other"]], "type=merge")
            add("merge patch stale", "PATCH", item, ["metadata": ["resourceVersion": "1"]], "type=merge")
            add("merge patch kind", "PATCH", item, ["kind": "Wrong"], "type=merge")
            add("merge patch no change", "PATCH", item, ["metadata": ["labels": ["m": "1"]]], "type=merge")
            add("merge patch list", "PATCH", item, [], "type=merge")
            add("strategic patch", "PATCH", item, ["metadata": ["labels": ["s": "1"], "finalizers": ["example.com/f"]]], "type=strategic")
            add("strategic more", "PATCH", item, ["metadata": ["finalizers": ["example.com/g"]]], "type=strategic")
            add("strategic delete", "PATCH", item, ["metadata": ["$deleteFromPrimitiveList/finalizers": ["example.com/f", "example.com/g"]]], "type=strategic")
            add("strategic replace", "PATCH", item, ["metadata": ["labels": ["$patch": "replace", "lifecycle": "yes", "r": "1"]]], "type=strategic")
            add("strategic nonsense", "PATCH", item, ["metadata": ["labels": ["$patch": "nonsense"]]], "type=strategic")
            add("json patch", "PATCH", item, [["op": "add", "path": "/metadata/labels/j", "value": "1"]], "type=jsonpatch")
            add("json patch test", "PATCH", item, [["op": "test", "path": "/metadata/labels/j", "value": "2"]], "type=jsonpatch")
            add("json patch missing", "PATCH", item, [["op": "remove", "path": "/metadata/labels/nope"]], "type=jsonpatch")
            add("json patch no list", "PATCH", item, ["op": "remove"], "type=jsonpatch")
            add("patch missing", "PATCH", item + "-missing", [:], "type=merge")
            add("patch unknown type", "PATCH", item, [:], "type=application/json")
            for key in object.fields.keys where !["apiVersion", "kind", "metadata"].contains(key) {
                add("merge patch without \(key)", "PATCH", item + "?dryRun=All", .map(Fields([(key, Node.null)])), "type=merge")
            }
        }

        mutating func applying(_ name: String) {
            var whole = object
            whole["metadata"].remove("generateName")
            add("apply without a manager", "PATCH", item, whole, "type=apply")
            add("apply dry", "PATCH", item + "?fieldManager=one&dryRun=All", whole, "type=apply")
            add("apply", "PATCH", item + "?fieldManager=one", whole, "type=apply")
            add("apply forced", "PATCH", item + "?fieldManager=one&force=true", whole, "type=apply")
            add("apply the same", "PATCH", item + "?fieldManager=one", whole, "type=apply")
            var labelled = identity
            labelled["metadata"]["labels"] = ["lifecycle": "other", "two": "2"]
            add("apply conflict", "PATCH", item + "?fieldManager=two", labelled, "type=apply")
            add("apply conflict forced", "PATCH", item + "?fieldManager=two&force=true", labelled, "type=apply")
            add("apply less", "PATCH", item + "?fieldManager=two", { () -> Node in var node = identity; node["metadata"]["labels"] = ["lifecycle": "other"]; return node }(), "type=apply")
            add("apply nothing", "PATCH", item + "?fieldManager=two", identity, "type=apply")
            var owned = labelled
            owned["metadata"]["managedFields"] = []
            add("apply with managed fields", "PATCH", item + "?fieldManager=two", owned, "type=apply")
            add("apply unknown", "PATCH", item + "?fieldManager=two", { () -> Node in var node = identity; node["nope"] = 1; return node }(), "type=apply")
            add("apply another name", "PATCH", item + "?fieldManager=two", { () -> Node in var node = identity; node["metadata"]["name"] = "no"; return node }(), "type=apply")
            add("apply wrong kind", "PATCH", item + "?fieldManager=two", { () -> Node in var node = identity; node["kind"] = "Wrong"; return node }(), "type=apply")
            var fresh = object
            fresh["metadata"]["name"] = .string(name + "-applied")
            add("apply creates", "PATCH", item + "-applied?fieldManager=one&dryRun=All", fresh, "type=apply")
            add("put creates", "PUT", item + "-applied?dryRun=All", fresh)
        }

        mutating func status() {
            let status = item + "/status"
            add("get status", "GET", status)
            add("get status table", "GET", status, nil, "accept=table")
            add("put status", "PUT", status, object)
            settle()
            add("merge patch status", "PATCH", status, ["metadata": ["labels": ["status": "1"]], "status": [:]], "type=merge")
            add("apply status", "PATCH", status + "?fieldManager=three", identity, "type=apply")
            add("patch status with conditions", "PATCH", status + "?dryRun=All", ["status": ["conditions": [["type": "Good"]]]], "type=merge")
            add("delete status", "DELETE", status)
            add("post status", "POST", status, object)
            add("get scale", "GET", item + "/scale")
            add("get nope", "GET", item + "/nope")
        }

        mutating func deletion() {
            add("delete dry", "DELETE", item + "?dryRun=All")
            add("delete with another uid", "DELETE", item, ["preconditions": ["uid": "11111111-1111-1111-1111-111111111111"]])
            add("delete with another version", "DELETE", item, ["preconditions": ["resourceVersion": "1"]])
            add("delete with a wrong policy", "DELETE", item, ["propagationPolicy": "Nope"])
            add("delete with both", "DELETE", item, ["propagationPolicy": "Orphan", "orphanDependents": true])
            add("delete collection dry", "DELETE", collection + "?dryRun=All&labelSelector=lifecycle")
            add("orphan", "DELETE", item, ["propagationPolicy": "Orphan"])
            add("get orphaned", "GET", item)
            add("finalizers away", "PATCH", item, ["metadata": ["finalizers": .null]], "type=merge")
            add("delete", "DELETE", item, ["gracePeriodSeconds": 0])
            add("delete again", "DELETE", item)
        }
    }
}

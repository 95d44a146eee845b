import Core
import Machinery
import Schema
import Tree

extension Target {
    private static let canonical = Canonical(Graph.builtIn)
    private static let definition: Node = [
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": ["name": "things.example.com"],
        "spec": [
            "group": "example.com", "scope": "Namespaced", "names": ["plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList", "shortNames": ["th"]],
            "versions": [[
                "name": "v1", "served": true, "storage": true, "subresources": ["status": .emptyMap, "scale": ["specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"]],
                "additionalPrinterColumns": [["name": "R", "type": "integer", "jsonPath": ".spec.replicas"]], "selectableFields": [["jsonPath": ".spec.color"]],
                "schema": ["openAPIV3Schema": [
                    "type": "object", "properties": ["spec": [
                        "type": "object", "required": ["color"], "x-kubernetes-validations": [["rule": "self.replicas <= 3", "messageExpression": "'no ' + string(self.replicas)"]],
                        "properties": [
                            "color": ["type": "string", "pattern": "^[a-z]+$", "maxLength": 10, "default": "red"], "replicas": ["type": "integer", "minimum": 0, "maximum": 10, "format": "int32"],
                            "list": ["type": "array", "maxItems": 5, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": ["type": "object", "required": ["name"], "properties": ["name": ["type": "string"]]]],
                            "any": ["x-kubernetes-preserve-unknown-fields": true], "port": ["x-kubernetes-int-or-string": true, "anyOf": [["type": "integer"], ["type": "string"]]],
                            "map": ["type": "object", "additionalProperties": ["type": "number", "multipleOf": .double(0.5)]],
                        ],
                    ]],
                ]],
            ]],
        ],
    ]

    private static func id(_ object: Node) -> MessageID? {
        let version = object["apiVersion"].string ?? ""
        let parts = version.split(separator: "/", maxSplits: 1).map(String.init)
        return Graph.builtIn.message(of: GroupVersionKind(group: parts.count == 2 ? parts[0] : "", version: parts.last ?? "", kind: object["kind"].string ?? ""))
    }

    static func objects(_ corpus: Corpus) -> [Target] {
        let trees = TreeMutator(corpus: corpus.objects)
        let transcode = Transcode(canonical)
        let encoded = corpus.objects.compactMap { object in id(object).map { transcode.encode(object, as: $0) } }
        return [
            protobuf(encoded, transcode),
            patches(corpus, trees),
            Target(name: "object", share: 8, make: { JSONWriter.write(trees.make(&$0)) }) { input in
                guard let node = try? JSONReader.read(input), let id = id(node), var object = try? canonical.normalize(node, as: id) else { return }
                _ = Pruning.prune(&object, as: id, in: Graph.builtIn)
                Defaulting(Graph.builtIn).apply(to: &object, as: id)
                _ = Validation.errors(object, as: id, in: Graph.builtIn, .builtIn)
                _ = transcode.encode(object, as: id)
            },
            Target(name: "definition", share: 4, make: { [mutator = TreeMutator(corpus: [definition])] in JSONWriter.write(mutator.make(&$0)) }) { input in
                guard let node = try? JSONReader.read(input) else { return }
                let schema = node["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
                _ = DefinitionRules.errors(schema, path: "spec")
                _ = DefinitionRules.patternErrors(schema, path: "spec")
                guard let graph = try? Graph(customResourceDefinition: node, version: "v1") else { return }
                for resource in graph.resources { _ = Validation.errors(["spec": ["color": "RED", "list": [["name": 1]], "map": ["a": .double(0.3)]]], as: resource.message, in: graph, .custom) }
            },
        ]
    }

    private static func protobuf(_ samples: [[UInt8]], _ transcode: Transcode) -> Target {
        bytes("protobuf", share: 8, samples, words: ["k8s\u{0}", "\n\u{1}", "\u{12}\u{0}", "\u{12}\u{2}\n\u{0}", "\u{7F}", "\u{8}\u{1}"]) { input in
            guard let envelope = try? Transcode.open(input), let id = id(["apiVersion": .string(envelope.apiVersion), "kind": .string(envelope.kind)]) else { return }
            guard let object = try? transcode.decode(envelope.raw, as: id, apiVersion: envelope.apiVersion, kind: envelope.kind) else { return }
            _ = transcode.encode(object, as: id)
        }
    }

    /// An input is two documents: what is there, and what changes it.
    private static func patches(_ corpus: Corpus, _ trees: TreeMutator) -> Target {
        let steps = TreeMutator(corpus: [
            [["op": "replace", "path": "/spec/replicas", "value": 3], ["op": "add", "path": "/metadata/labels/a~1b", "value": "c"], ["op": "test", "path": "/kind", "value": "Pod"]],
            [["op": "move", "from": "/spec", "path": "/status"], ["op": "copy", "from": "/metadata", "path": "/spec/template/metadata"], ["op": "remove", "path": "/spec/containers/0"], ["op": "add", "path": "/spec/containers/-", "value": .emptyMap], ["op": "add", "path": "", "value": .null]],
        ])
        return Target(name: "patch", share: 8, make: { random in
            let target = random.pick(corpus.objects, or: .null)
            let patch = random.chance(1, of: 3) ? steps.make(&random) : random.chance(1, of: 2) ? trees.make(&random) : trees.changed(target, &random, depth: 0)
            return JSONWriter.write(["target": target, "patch": patch])
        }) { input in
            guard let pair = try? JSONReader.read(input), let id = id(pair["target"]), let target = try? canonical.normalize(pair["target"], as: id) else { return }
            let patch = pair["patch"]
            if let steps = try? JSONPatch(patch) { _ = try? steps.apply(to: target) }
            _ = MergePatch.apply(patch, to: target)
            if let merged = try? StrategicMerge(Graph.builtIn).apply(patch, to: target, as: id) { _ = try? canonical.normalize(merged, as: id) }
            let engine = ServerSideApply(canonical, as: id, ignoring: ["status"], now: Timestamp(seconds: 1_767_225_600))
            let version = target["apiVersion"].string ?? ""
            guard let once = try? engine.apply(patch, to: target, by: .init(name: "a", operation: "Apply", apiVersion: version), force: true) else { return }
            _ = try? engine.apply(target, to: once, by: .init(name: "b", operation: "Apply", apiVersion: version), force: false)
            _ = engine.update(live: once, new: patch, by: .init(name: "c", operation: "Update", apiVersion: version))
        }
    }
}

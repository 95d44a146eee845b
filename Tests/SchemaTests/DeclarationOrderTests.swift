import Schema
import Testing
import Tree

struct DeclarationOrderTests {
    @Test func fieldsStandAsGoDeclaresThemAndUnknownOnesLast() throws {
        let graph = Graph.builtIn
        let id = try #require(graph.message(named: "core/v1.Pod"))
        let pod: Node = [
            "nope": 1, "spec": ["containers": [["name": "a", "imagePullPolicy": "Always", "env": [], "envFrom": []]], "initContainers": []], "kind": "Pod",
            "metadata": ["resourceVersion": "1", "name": "a", "labels": ["b": "1", "a": "2"], "uid": "u"],
        ]
        let text = DeclarationOrder().arranged(pod, as: id, in: graph).jsonText
        #expect(
            text
                == #"{"kind":"Pod","metadata":{"name":"a","uid":"u","resourceVersion":"1","labels":{"b":"1","a":"2"}},"spec":{"initContainers":[],"containers":[{"name":"a","envFrom":[],"env":[],"imagePullPolicy":"Always"}]},"nope":1}"#
        )
    }

    @Test func everyTypeOfTheTextIsThereWithAllItsFields() throws {
        let order = DeclarationOrder()
        for name in order.types {
            let id = try #require(Graph.builtIn.message(named: name), "\(name)")
            for field in Graph.builtIn.fields(of: id) where !["kind", "apiVersion"].contains(field.name) {
                #expect(order.place(of: field.name, in: name) != nil, "\(name).\(field.name)")
            }
        }
    }
}

import Kinds
package import Machinery
import Store
package import Tree

/// `pods/binding`: gives a pod its node, once.
package struct BindingAction: PostSubresource {
    private let writer: ObjectWriter
    package init(writer: ObjectWriter) { self.writer = writer }

    package func post(_ object: Node, _ resource: ServedResource, namespace: String, name: String, _ context: WriteContext) async throws(APIError) -> Node {
        guard object.name == name else { throw .badRequest("name in URL does not match name in Binding object") }
        let target = object["target"]["name"].string ?? ""
        let kind = object["target"]["kind"].string ?? ""
        var errors: [FieldError] = []
        if !kind.isEmpty, kind != "Node" { errors.append(.notSupported("target.kind", quoted: kind, supported: ["Node", "<empty>"])) }
        if target.isEmpty { errors.append(.required("target.name")) }
        if !errors.isEmpty { throw APIError.invalid(kind: "Binding", name: name, errors: errors) }
        let uid = object["metadata"]["uid"].string ?? ""
        let revision = object["metadata"]["resourceVersion"].string ?? ""
        let (annotations, labels) = (object["metadata"]["annotations"], object["metadata"]["labels"])
        _ = try await writer.update(resource, namespace: namespace, name: name, subresource: "binding", context) { current throws(APIError) in
            if !uid.isEmpty, uid != current.uid {
                throw APIError.conflict(
                    "pods", name: name, why: "Precondition failed: UID in precondition: \(uid), UID in object meta: \(current.uid)")
            }
            if !revision.isEmpty, revision != "\(current.revision)" {
                throw APIError.conflict(
                    "pods", name: name,
                    why: "Precondition failed: ResourceVersion in precondition: \(revision), ResourceVersion in object meta: \(current.revision)")
            }
            if current.isBeingDeleted { throw APIError.conflict("pods/binding", name: name, why: "pod \(name) is being deleted, cannot be assigned to a host") }
            let bound = current["spec"]["nodeName"].string ?? ""
            guard bound.isEmpty else {
                throw APIError.conflict("pods/binding", name: name, why: "pod \(name) is already assigned to node \"\(bound)\"")
            }
            if !current["spec"]["schedulingGates"].list.isEmpty {
                throw APIError.conflict("pods/binding", name: name, why: "pod \(name) has non-empty .spec.schedulingGates")
            }
            var pod = current
            pod["spec"]["nodeName"] = .string(target)
            for (key, value) in annotations.fields { pod["metadata"]["annotations"][key] = value }
            for (key, value) in labels.fields { pod["metadata"]["labels"][key] = value }
            // What was hoped for is over.
            pod["status"]["nominatedNodeName"] = .null
            PodConditions.set(&pod, type: "PodScheduled", status: "True")
            return pod
        }
        return ["kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "code": 201]
    }
}

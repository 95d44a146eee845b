package import Machinery
package import Tree

/// Namespaces end in two steps: a deletion marks them, the controller empties them, and removing the last entry of
/// `spec.finalizers` through the finalize subresource lets them go.
package struct NamespaceStrategy: KindStrategy {
    package var traits: KindTraits {
        var traits = KindTraits()
        traits.nameRule = .dnsLabel
        traits.hasSpecFinalizers = true
        traits.terminate = { $0["status"]["phase"] = "Terminating" }
        traits.resetFields["finalize"] = ["status"]
        return traits
    }

    package func setDefaults(_ object: inout Node) {
        // Upstream labels every namespace with its name, also on reads; here on each write, which is all there is to read.
        if !object.name.isEmpty { object["metadata"]["labels"]["kubernetes.io/metadata.name"] = .string(object.name) }
    }

    package func prepareCreate(_ object: inout Node) {
        object["status"] = ["phase": "Active"]
        var finalizers = object["spec"]["finalizers"].stringList
        if !finalizers.contains("kubernetes") { finalizers.append("kubernetes") }
        object["spec"]["finalizers"] = Node(finalizers)
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = .string(object.name)
    }

    package func prepareUpdate(_ object: inout Node, old: Node, subresource: String) {
        switch subresource {
        case "finalize": object["status"] = old["status"]
        case "status": object["spec"] = old["spec"]
        default:
            object["spec"]["finalizers"] = old["spec"]["finalizers"]
            object["status"] = old["status"]
        }
    }

    package func validate(_ object: Node) -> [FieldError] {
        var findings = Findings()
        let path = PodStrategy.specPath.child("finalizers")
        for name in object["spec"]["finalizers"].stringList {
            let problems = NameFormat.qualifiedName(name)
            for problem in problems { findings.invalid(path, .string(name), problem) }
            if !name.contains("/"), name != "kubernetes" {
                findings.invalid(path, .string(name), "name is neither a standard finalizer name nor is it fully qualified")
            }
        }
        return findings.errors
    }

    package func validateUpdate(_ object: Node, old: Node, subresource: String) -> [FieldError] {
        if subresource == "finalize" {
            var findings = Findings()
            for (index, name) in object["spec"]["finalizers"].stringList.enumerated() {
                let path = PodStrategy.specPath.child("finalizers").element(index)
                findings.format(path, name, NameFormat.qualifiedName)
                if !name.contains("/"), !["kubernetes", "orphan", "foregroundDeletion"].contains(name) {
                    findings.invalid(path, .string(name), "name is neither a standard finalizer name nor is it fully qualified")
                }
            }
            return findings.errors
        }
        guard subresource == "status" else { return [] }
        let phase = object["status"]["phase"].string ?? ""
        if object.isBeingDeleted, phase != "Terminating" {
            return [.invalid("status.Phase", quoted: phase, "may only be 'Terminating' if `deletionTimestamp` is not empty")]
        }
        if !object.isBeingDeleted, phase != "Active" {
            return [.invalid("status.Phase", quoted: phase, "may only be 'Active' if `deletionTimestamp` is empty")]
        }
        return []
    }
}

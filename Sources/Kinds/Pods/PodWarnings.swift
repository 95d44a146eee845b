import Machinery
import Tree

/// What upstream warns of in the specification of a pod or template.
enum PodWarnings {
    static func of(_ spec: Node, at path: NodePath) -> [String] {
        var out = deprecatedLabels(spec, path)
        if spec["terminationGracePeriodSeconds"].int.map({ $0 < 0 }) == true {
            out.append("\(path.child("terminationGracePeriodSeconds")): must be >= 0; negative values are invalid and will be treated as 1")
        }
        for (list, containers) in [("initContainers", spec["initContainers"].list), ("containers", spec["containers"].list)] {
            for (index, container) in containers.enumerated() {
                var seen: Set<String> = []
                for (at, variable) in container["env"].list.enumerated() {
                    let name = variable["name"].string ?? ""
                    if !seen.insert(name).inserted {
                        let place = path.child(list).element(index).child("env").element(at)
                        out.append("\(place): hides previous definition of \(FieldError.quoted(name)), which may be dropped when using apply")
                    }
                }
            }
        }
        references(spec, path, &out)
        return out
    }

    private static func references(_ spec: Node, _ path: NodePath, _ out: inout [String]) {
        // Upstream speaks of sources that name nothing, and says nothing where there are none.
        for volume in spec["volumes"].list where volume["projected"]["sources"].list.contains(where: \.isEmpty) {
            out.append("volume \(FieldError.quoted(volume["name"].string ?? "")) (Projected) has no sources provided")
        }
        for (index, secret) in spec["imagePullSecrets"].list.enumerated() where secret["name"].isEmpty {
            out.append("\(path.child("imagePullSecrets").element(index).child("name")): invalid empty name \"\"")
        }
        for (index, constraint) in spec["topologySpreadConstraints"].list.enumerated() where constraint["labelSelector"].isNull {
            out.append("\(path.child("topologySpreadConstraints").element(index).child("labelSelector")): a null labelSelector results in matching no pod")
        }
        for kind in ["podAffinity", "podAntiAffinity"] {
            let (rules, at) = (spec["affinity"][kind], path.child("affinity").child(kind))
            for (index, term) in rules["requiredDuringSchedulingIgnoredDuringExecution"].list.enumerated() where term["labelSelector"].isNull {
                let place = at.child("requiredDuringSchedulingIgnoredDuringExecution").element(index)
                out.append("\(place.child("labelSelector")): a null labelSelector results in matching no pod")
            }
            for (index, term) in rules["preferredDuringSchedulingIgnoredDuringExecution"].list.enumerated() where term["podAffinityTerm"]["labelSelector"].isNull {
                let place = at.child("preferredDuringSchedulingIgnoredDuringExecution").element(index).child("podAffinityTerm")
                out.append("\(place.child("labelSelector")): a null labelSelector results in matching no pod")
            }
        }
    }

    // MARK: - Labels of nodes

    private static let deprecated = [
        "beta.kubernetes.io/arch": "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
        "beta.kubernetes.io/os": "deprecated since v1.14; use \"kubernetes.io/os\" instead",
        "failure-domain.beta.kubernetes.io/region": "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
        "failure-domain.beta.kubernetes.io/zone": "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
        "beta.kubernetes.io/instance-type": "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
        "app.kubernetes.io/created-by": "deprecated since v1.9",
        "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
        "node-role.kubernetes.io/master": "use \"node-role.kubernetes.io/control-plane\" instead",
    ]

    private static func deprecatedLabels(_ spec: Node, _ path: NodePath) -> [String] {
        var out: [String] = []
        for (key, _) in spec["nodeSelector"].fields {
            if let words = deprecated[key] { out.append("\(path.child("nodeSelector").entry(key)): \(words)") }
        }
        func say(_ key: Node, _ place: NodePath) {
            if let key = key.string, let words = deprecated[key] { out.append("\(place): \(key) is \(words)") }
        }
        func look(_ term: Node, _ place: NodePath) {
            for (index, expression) in term["matchExpressions"].list.enumerated() {
                say(expression["key"], place.child("matchExpressions").element(index).child("key"))
            }
        }
        let (nodes, at) = (spec["affinity"]["nodeAffinity"], path.child("affinity").child("nodeAffinity"))
        let (required, preferred) = ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution")
        for (index, term) in nodes[required]["nodeSelectorTerms"].list.enumerated() { look(term, at.child(required).child("nodeSelectorTerms").element(index)) }
        for (index, term) in nodes[preferred].list.enumerated() { look(term["preference"], at.child(preferred).element(index).child("preference")) }
        for (index, constraint) in spec["topologySpreadConstraints"].list.enumerated() {
            say(constraint["topologyKey"], path.child("topologySpreadConstraints").element(index).child("topologyKey"))
        }
        return out
    }

    /// Of a set of pods that is new, or whose specification is.
    static func ofTemplate(_ object: Node, old: Node?) -> [String] {
        if let old, object.generation == old.generation { return [] }
        return of(object["spec"]["template"]["spec"], at: PodStrategy.specPath.child("template").child("spec"))
    }
}

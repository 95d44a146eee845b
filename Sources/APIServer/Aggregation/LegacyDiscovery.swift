import Machinery
import Tree

/// Turns the resource list of a server into the form of the aggregated discovery document.
enum LegacyDiscovery {
    static func resources(_ list: Node) -> [Node] {
        var out: [Node] = []
        var places: [String: Int] = [:]
        let all = list["resources"].list
        for item in all {
            guard let name = item["name"].string, !name.contains("/") else { continue }
            var resource: Node = [
                "resource": .string(name), "responseKind": kind(item), "scope": item["namespaced"].bool == true ? "Namespaced" : "Cluster",
                "singularResource": .string(item["singularName"].string ?? ""), "verbs": .list(item["verbs"].list),
            ]
            for field in ["shortNames", "categories"] where !item[field].list.isEmpty { resource[field] = item[field] }
            places[name] = out.count
            out.append(resource)
        }
        for item in all {
            let parts = (item["name"].string ?? "").split(separator: "/", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { continue }
            if places[parts[0]] == nil {
                // A subresource of what is served nowhere, as metrics of pods are: upstream's parent without verbs.
                places[parts[0]] = out.count
                let isNamespaced = item["namespaced"].bool == true
                out.append(["resource": .string(parts[0]), "responseKind": kind(.null), "scope": isNamespaced ? "Namespaced" : "Cluster", "singularResource": "", "verbs": .list([])])
            }
            guard let place = places[parts[0]] else { continue }
            out[place]["subresources"].append(["subresource": .string(parts[1]), "responseKind": kind(item), "verbs": .list(item["verbs"].list)])
        }
        return out
    }

    private static func kind(_ item: Node) -> Node {
        [
            "group": .string(item["group"].string ?? ""), "version": .string(item["version"].string ?? ""), "kind": .string(item["kind"].string ?? ""),
        ]
    }
}

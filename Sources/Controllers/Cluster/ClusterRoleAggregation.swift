package import Client
package import Core
import Machinery
import Schema
import Tree

/// Fills the rules of ClusterRoles that are the sum of others.
package struct ClusterRoleAggregation: Controller {
    package init() {}
    package var name: String { "clusterrole-aggregation-controller" }

    package var triggers: [Trigger] {
        [
            Trigger(.clusterRoles) { change, view in
                if let old = change.old, let new = change.new, old["rules"] == new["rules"], old["metadata"]["labels"] == new["metadata"]["labels"],
                    old["aggregationRule"] == new["aggregationRule"]
                {
                    return []
                }
                // Any role may be a part of any sum.
                return view.read { state in state[.clusterRoles].objects.filter { !$0.value["aggregationRule"].isNull }.map(\.key) }
            }
        ]
    }

    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan {
        guard var role = state.get(.clusterRoles, key), !role["aggregationRule"].isNull else { return .nothing }
        let roles = state[.clusterRoles].objects.values.filter { $0.name != key.name }.sorted { $0.name < $1.name }
        var rules: [Node] = []
        for selector in role["aggregationRule"]["clusterRoleSelectors"].list.map({ LabelSelector(object: $0) }) {
            for part in roles where selector.matches(part["metadata"]["labels"]) {
                for rule in part["rules"].list where !rules.contains(rule) { rules.append(rule) }
            }
        }
        guard rules != role["rules"].list else { return .nothing }
        role["rules"] = .list(rules)
        return Plan([.update(.clusterRoles, role)])
    }
}

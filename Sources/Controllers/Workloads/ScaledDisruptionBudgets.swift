package import Client
package import Core
import Kinds
import Machinery
package import Schema
import Tree

/// Works budgets out whose pods may belong to anything with a scale: what no table holds is asked for before the plan is made.
package struct ScaledDisruptionBudgets: Controller {
    private let plans = DisruptionBudgets()
    private let source: any ScalingSource

    package init(_ source: any ScalingSource) { self.source = source }

    package var name: String { plans.name }
    package var triggers: [Trigger] { plans.triggers }
    package var reads: [(GroupVersionResource, [ObjectTable.Index])] { plans.reads }
    package func plan(_ key: ObjectKey, _ state: borrowing ClusterState, now: Timestamp) -> Plan { plans.plan(key, state, now: now) }

    package func informed(of key: ObjectKey, _ view: ClusterView) async throws -> any Controller {
        var scales: [String: DisruptionBudgets.ForeignScale] = [:]
        for owner in view.read({ DisruptionBudgets.foreignOwners(key, $0) }) {
            do {
                let scale = try await source.scale(apiVersion: owner.apiVersion, kind: owner.kind, namespace: key.namespace, name: owner.name)
                // The scale of another object of the name is none of its.
                scales[owner.uid] = scale.uid.isEmpty || scale.uid == owner.uid ? .replicas(scale["spec"]["replicas"].int ?? 0) : .missing
            } catch let error as APIError where error.code == 404 { scales[owner.uid] = .missing } catch let error as APIError {
                scales[owner.uid] = .refused(error.message)
            }
        }
        return DisruptionBudgets(foreign: scales)
    }
}

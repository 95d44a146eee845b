import Client
import Core
import Machinery
import Testing
import Tree

@testable import Controllers

@Suite struct BackoffTests {
    @Test func waitsDoubleUpToAQuarterOfAnHourAndAreForgotten() {
        let backoff = FailureBackoff()
        var now = Fixture.now
        #expect(backoff.next("a", now) == nil)
        #expect(backoff.next("a", now) == .seconds(1))
        #expect(backoff.next("b", now) == nil)
        now = now + .seconds(1)
        #expect(backoff.next("a", now) == nil)
        #expect(backoff.next("a", now) == .seconds(2))
        for _ in 0..<20 {
            now = now + (backoff.next("a", now) ?? .zero)
            _ = backoff.next("a", now)
        }
        #expect(backoff.next("a", now) == .seconds(900))
        now = now + .seconds(1801)
        #expect(backoff.next("a", now) == nil)
        #expect(backoff.next("a", now) == .seconds(1))
    }

    @Test func failedDaemonPodThatFailsAgainWaits() throws {
        let sets = DaemonSets()
        let (key, state) = try Fixture(controller: "daemonset", name: "doubles-and-failed-go").load(for: sets)
        func deleted(_ plan: Plan) -> Int { plan.actions.count { if case .delete = $0 { true } else { false } } }
        let first = sets.plan(key, state, now: Fixture.now)
        let second = sets.plan(key, state, now: Fixture.now)
        #expect(deleted(second) == deleted(first) - 1)
        #expect(second.requeueAfter == .seconds(1))
        #expect(deleted(sets.plan(key, state, now: Fixture.now + .seconds(1))) == deleted(first))
    }

    @Test func budgetOverACustomResourceCountsItsScale() throws {
        let fixture = Fixture(controller: "disruption", name: "custom-owner-of-unknown-scale")
        let (key, state) = try fixture.load(for: DisruptionBudgets())
        #expect(DisruptionBudgets.foreignOwners(key, state).map(\.uid) == ["widget-w"])
        func status(_ foreign: DisruptionBudgets.ForeignScale) -> Node {
            for action in DisruptionBudgets(foreign: ["widget-w": foreign]).plan(key, state, now: Fixture.now).actions {
                if case .updateStatus(_, let object) = action { return object["status"] }
            }
            return .null
        }
        let known = status(.replicas(4))
        #expect(known["expectedPods"].int == 4 && known["desiredHealthy"].int == 2 && known["currentHealthy"].int == 3 && known["disruptionsAllowed"].int == 1)
        let refused = status(.refused("widgets.example.com does not implement the scale subresource"))
        #expect(refused["disruptionsAllowed"].int == 0)
        #expect(refused["conditions"][0]["reason"].string == "SyncFailed")
        #expect(refused["conditions"][0]["message"].string == "widgets.example.com does not implement the scale subresource")
    }
}

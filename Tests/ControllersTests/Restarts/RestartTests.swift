import Client
import Core
import Kinds
import Machinery
import Schema
import Testing
import Tree

@testable import Controllers

/// Each scenario is run to its end once, and then once for every commit of its controllers with all of them stopped right after
/// that commit and new ones started: the cluster must come to the same end.
@Suite(.timeLimit(.minutes(10))) struct RestartTests {
    @Test(arguments: RestartScenario.all.keys.sorted()) func aRestartAfterAnyCommitEndsTheSame(_ name: String) async throws {
        let scenario = try #require(RestartScenario.all[name])
        let whole = try await RestartStage.run(scenario, dyingAfter: nil)
        #expect(whole.commits > 0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for commit in 1...max(1, whole.commits) {
                if commit > 3 { try await group.next() }
                group.addTask {
                    do {
                        let other = try await RestartStage.run(scenario, dyingAfter: commit) { $0 == whole.state }
                        if other.state == whole.state { return }
                        let missing = whole.state.filter { !other.state.contains($0) }
                        let extra = other.state.filter { !whole.state.contains($0) }
                        Issue.record("killed after commit \(commit) of \(whole.commits):\nmissing \(missing.joined(separator: "\n"))\nextra \(extra.joined(separator: "\n"))\nafter \(other.log.joined(separator: "\n"))")
                    } catch let stuck as RestartStage.Stuck {
                        Issue.record("killed after commit \(commit) of \(whole.commits): \(stuck.left) steps left, stuck at \(stuck.state.joined(separator: "\n"))\nafter \(stuck.log.joined(separator: "\n"))")
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}

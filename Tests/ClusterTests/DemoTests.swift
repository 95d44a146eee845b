import Glibc
import Testing
import Tree

/// The demo serves every request, also while the daemon dies, and can be played again.
@Suite(.enabled(if: TestCluster.isPossible)) struct DemoTests {
    @Test func theDemoServesEveryRequestTwice() async throws {
        try await TestCluster.with { cluster in
            let images = ["--images", "\(TestCluster.sources)/Images", "--no-kubectl"]
            let compiled = try await Command.run("/bin/sh", ["\(TestCluster.sources)/Images/build"])
            try #require(compiled.code == 0, "\(compiled.said)")
            try await cluster.succeed("up")
            for further in [[], ["--kill-daemon"]] {
                let pid = cluster.daemon
                let demo = try await cluster.jangada(["demo"] + images + further, limit: .seconds(240))
                try #require(demo.code == 0, "\(demo.said)")
                #expect(demo.output.contains("none failed"), "\(demo.said)")
                #expect((cluster.daemon == pid) == further.isEmpty)
            }
        }
    }
}

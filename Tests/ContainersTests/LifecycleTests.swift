import Core
import Glibc
import Linux
import Testing

@testable import Containers

@Suite(.enabled(if: Machine.isPossible, "needs root"), .serialized)
struct LifecycleTests {
    @Test func exitCodesAndLogsArrive() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            let (exit, lines) = try await machine.run(try machine.shell("echo out; echo err >&2; printf partial; exit 3"), in: sandbox)
            #expect(exit.code == 3 && exit.signal == 0 && exit.witnessed)
            #expect(exit.finishedAt >= exit.startedAt)
            #expect(lines.sorted() == ["stderr F err", "stdout F out", "stdout P partial"])
        }
    }
}

import Core
import Glibc
import Linux
import Testing

@testable import Containers

/// Printed, not judged: JANGADA_BENCHMARK=1 turns it on; JANGADA_INIT names another program for the sandbox init.
@Suite(.enabled(if: Machine.isPossible && getenv("JANGADA_BENCHMARK") != nil), .serialized)
struct StartBenchmark {
    @Test func startsInAWarmSandbox() async throws {
        try await Machine.with { machine in
            var sandboxTimes: [Duration] = []
            for index in 0..<20 {
                let before = ContinuousClock.now
                _ = try await machine.sandbox("s\(index)")
                sandboxTimes.append(ContinuousClock.now - before)
            }
            report("sandbox create", sandboxTimes)
            let sandbox = try #require(machine.runtime.sandbox("s0"))
            let filter = try SeccompProfile.runtimeDefault(capabilities: CapabilitySets.standard.bounding).compile()
            var creates: [Duration] = []
            var starts: [Duration] = []
            var execs: [Duration] = []
            var removes: [Duration] = []
            for index in 0..<100 {
                var spec = machine.spec(["/bin/sleep", "1000"], id: "c\(index)")
                spec.process.seccomp = filter
                let t0 = ContinuousClock.now
                let container = try sandbox.create(spec)
                let t1 = ContinuousClock.now
                try await container.start()
                let t2 = ContinuousClock.now
                let session = try await container.exec(ExecSpec(arguments: ["/bin/true"]))
                _ = try await session.wait()
                let t3 = ContinuousClock.now
                try await container.remove()
                creates.append(t1 - t0)
                starts.append(t2 - t1)
                execs.append(t3 - t2)
                removes.append(ContinuousClock.now - t3)
            }
            report("container create", creates)
            report("container start", starts)
            report("exec true", execs)
            report("container remove", removes)
            print(try Files.text("/proc/\(sandbox.pid)/smaps_rollup"))
        }
    }

    private func report(_ name: String, _ times: [Duration]) {
        let sorted = times.sorted()
        func ms(_ d: Duration) -> Double { Double(d.components.seconds) * 1000 + Double(d.components.attoseconds) / 1e15 }
        print("\(name): p50 \(ms(sorted[sorted.count / 2])) ms, p99 \(ms(sorted[sorted.count * 99 / 100])) ms")
    }
}

import Client
import Core
import Testing

@testable import APIServer

@Suite struct UsageRatesTests {
    static let start = Timestamp(seconds: 1_700_000_000)

    static func stats(_ second: Int64, cpu: UInt64, container: UInt64, uid: String = "u", startedAt: Int64 = 0) -> NodeStats {
        let time = start + .seconds(second)
        let pod = NodeStats.Pod(
            key: ObjectKey("default", "web"), uid: uid, usage: ResourceUsage(time: time, cpuNanoseconds: container, memoryWorkingSet: 5 << 20),
            containers: [
                .init(name: "app", startedAt: start + .seconds(startedAt), usage: ResourceUsage(time: time, cpuNanoseconds: container, memoryWorkingSet: 4 << 20))
            ])
        return NodeStats(
            node: "n1", startedAt: start, usage: ResourceUsage(time: time, cpuNanoseconds: cpu, memoryWorkingSet: 100 << 20), pods: [pod])
    }

    @Test func aRateNeedsTwoSamples() {
        var rates = UsageRates()
        #expect(rates.add([Self.stats(10, cpu: 5_000_000_000, container: 1_000_000_000)], now: Self.start + .seconds(10)).isEmpty)
        let usage = rates.add([Self.stats(20, cpu: 10_000_000_000, container: 3_000_000_000)], now: Self.start + .seconds(20))
        #expect(usage.count == 1)
        #expect(usage.first?.usage == .init(cpuNanocores: 500_000_000, memoryWorkingSet: 100 << 20))
        #expect(usage.first?.window == .seconds(10))
        #expect(usage.first?.pods.first?.containers == [.init(name: "app", usage: .init(cpuNanocores: 200_000_000, memoryWorkingSet: 4 << 20))])
    }

    @Test func aNewContainerCountsFromItsStart() {
        var rates = UsageRates()
        rates.add([NodeStats(node: "n1", startedAt: Self.start, usage: ResourceUsage(time: Self.start, cpuNanoseconds: 0, memoryWorkingSet: 0), pods: [])], now: Self.start)
        let usage = rates.add([Self.stats(8, cpu: 1, container: 1_000_000_000, startedAt: 4)], now: Self.start + .seconds(8))
        #expect(usage.first?.pods.first?.window == .seconds(4))
        #expect(usage.first?.pods.first?.containers.first?.usage.cpuNanocores == 250_000_000)
    }

    @Test func aRestartedContainerIsAnotherOneAndACounterThatWentBackIsNoDebt() {
        var rates = UsageRates()
        rates.add([Self.stats(10, cpu: 9_000_000_000, container: 9_000_000_000)], now: Self.start + .seconds(10))
        let usage = rates.add([Self.stats(20, cpu: 1_000_000_000, container: 500_000_000, startedAt: 15)], now: Self.start + .seconds(20))
        #expect(usage.first?.usage.cpuNanocores == 100_000_000)
        #expect(usage.first?.pods.first?.containers.first?.usage.cpuNanocores == 100_000_000)
    }

    @Test func answersAreServedAgainForSomeSeconds() {
        var rates = UsageRates()
        rates.add([Self.stats(0, cpu: 0, container: 0)], now: Self.start)
        rates.add([Self.stats(10, cpu: 1, container: 1)], now: Self.start + .seconds(10))
        #expect(rates.fresh(Self.start + .seconds(12)) != nil)
        #expect(rates.fresh(Self.start + .seconds(15)) == nil)
        #expect(rates.hasBase(Self.start + .seconds(100)))
        #expect(!rates.hasBase(Self.start + .seconds(200)))
    }
}

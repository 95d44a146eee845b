import Core
import Machinery
import Store
import Testing
import Tree

@testable import APIServer

/// The fairness of priority levels, by time that the test makes.
@Suite struct FlowControlTests {
    private static let info = RequestInfo(method: "GET", path: "/api/v1/pods") { _ in nil }

    private func level(queues: Int = 8, hand: Int = 1, length: Int = 50) -> FlowSchemas.Level {
        FlowSchemas.Level([
            "metadata": ["name": "l"],
            "spec": [
                "type": "Limited",
                "limited": [
                    "nominalConcurrencyShares": 10,
                    "limitResponse": ["type": "Queue", "queuing": ["queues": .int(Int64(queues)), "handSize": .int(Int64(hand)), "queueLengthLimit": .int(Int64(length))]],
                ],
            ],
        ])
    }

    private func queues(_ limit: Int, _ level: FlowSchemas.Level) -> FairQueues {
        var queues = FairQueues(limit: limit)
        queues.configure(level)
        return queues
    }

    private func request(_ id: UInt64, _ flow: String, seats: Int = 1) -> FairQueues.Request {
        FairQueues.Request(id: id, estimate: WorkEstimate(initialSeats: seats), schema: "s", flow: flow, info: FlowControlTests.info, user: flow, arrived: .now())
    }

    @Test func aFlowThatAsksWithoutEndDelaysItselfAlone() {
        var queues = queues(2, level(queues: 64))
        var turns: [UInt64] = []
        for id in 1...40 { _ = queues.arrive(request(UInt64(id), "greedy"), now: 0, turns: &turns) }
        #expect(queues.executing == 2 && queues.waiting == 38)
        #expect(queues.arrive(request(100, "modest"), now: 0.001, turns: &turns) == .waits)
        // The next seat that gets free is the modest one's: its flow has had nothing yet.
        _ = queues.finish(1, now: 0.01)
        turns = []
        queues.release(1, now: 0.01, turns: &turns)
        #expect(turns == [100])
    }

    @Test func aWideRequestTakesAsManySeatsAndWaitsForThem() {
        var queues = queues(10, level())
        var turns: [UInt64] = []
        #expect(queues.arrive(request(1, "a", seats: 6), now: 0, turns: &turns) == .runs)
        #expect(queues.arrive(request(2, "b", seats: 6), now: 0, turns: &turns) == .waits)
        #expect(queues.seatsInUse == 6 && queues.demand == 12)
        _ = queues.finish(1, now: 1)
        queues.release(1, now: 1, turns: &turns)
        #expect(turns == [2])
        // What is wider than the whole level runs alone.
        var small = self.queues(2, level())
        #expect(small.arrive(request(3, "a", seats: 8), now: 0, turns: &turns) == .runs)
        #expect(small.arrive(request(4, "b"), now: 0, turns: &turns) == .waits)
    }

    @Test func whoeverWaitsTooLongLeavesItsPlace() {
        var queues = queues(1, level(length: 1))
        var turns: [UInt64] = []
        _ = queues.arrive(request(1, "a"), now: 0, turns: &turns)
        #expect(queues.arrive(request(2, "a"), now: 0, turns: &turns) == .waits)
        #expect(queues.arrive(request(3, "a"), now: 0, turns: &turns) == .rejected)
        #expect(queues.giveUp(2, now: 15) == true)
        #expect(queues.giveUp(1, now: 15) == false, "it runs")
        #expect(queues.waiting == 0 && queues.counts.timedOut == 1 && queues.counts.rejected == 1)
        #expect(queues.arrive(request(4, "a"), now: 15, turns: &turns) == .waits)
    }

    @Test func seatsThatAreNotNeededAreLent() {
        // 100 seats: one level needs many, two are idle and keep a part.
        let shares = SeatShares.allocate(
            100, [.init(lower: 20, upper: 120, target: 90), .init(lower: 10, upper: 130, target: 10), .init(lower: 10, upper: 130, target: 10)])
        #expect(abs(shares.reduce(0, +) - 100) < 0.01)
        #expect(shares[0] > 75)
        // Nobody borrows above its bound.
        let bounded = SeatShares.allocate(100, [.init(lower: 20, upper: 30, target: 90), .init(lower: 10, upper: 200, target: 10)])
        #expect(bounded == [30, 70])
    }

    @Test func demandIsRememberedAndForgottenSlowly() {
        var demand = SeatDemand()
        demand.set(40, now: 0)
        demand.set(0, now: 10)
        demand.look(now: 10, periods: 1)
        #expect(demand.highWatermark == 40)
        #expect(demand.smoothed == 40)
        demand.look(now: 20, periods: 1)
        #expect(demand.highWatermark == 0)
        #expect(abs(demand.smoothed - 40 * 0.977) < 0.001)
    }

    @Test func theTimeToStayAwayGrowsWithTheCrowd() {
        var dropped = DroppedRequests()
        #expect(dropped.retryAfter == 1)
        for second in 1...20 { for _ in 0..<100 { dropped.record(Int64(second)) } }
        #expect(dropped.retryAfter >= 8)
        for second in stride(from: 100, to: 1000, by: 40) { dropped.record(Int64(second)) }
        #expect(dropped.retryAfter == 1)
    }

    @Test func listsAreAsWideAsWhatTheyBringIntoMemoryAndWritesAsManyWatch() async throws {
        let fixture = try await ServerFixture()
        let estimator = WorkEstimator(fixture.store)
        let filler = String(repeating: "x", count: 20_000)
        for index in 0..<40 {
            _ = try await fixture.send("POST", "/api/v1/namespaces/default/configmaps", #"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c\#(index)"},"data":{"x":"\#(filler)"}}"#)
        }
        func info(_ method: String, _ path: String, _ query: [String: String] = [:]) -> RequestInfo { RequestInfo(method: method, path: path) { query[$0] } }
        let list = info("GET", "/api/v1/configmaps")
        #expect(estimator.estimate(list, limit: 0, sendsInitial: false, most: 0).maxSeats == 9)
        #expect(estimator.estimate(list, limit: 5, sendsInitial: false, most: 0).maxSeats == 2)
        #expect(estimator.estimate(list, limit: 0, sendsInitial: false, most: 4).maxSeats == 4)
        #expect(estimator.estimate(info("GET", "/api/v1/nodes"), limit: 0, sendsInitial: false, most: 0).maxSeats == 1)
        let watch = info("GET", "/api/v1/configmaps", ["watch": "1"])
        #expect(estimator.estimate(watch, limit: 0, sendsInitial: true, most: 0).maxSeats == 9)
        #expect(estimator.estimate(watch, limit: 0, sendsInitial: false, most: 0).maxSeats == 1)
        let write = info("PUT", "/api/v1/namespaces/default/configmaps/c1")
        for _ in 0..<9 { estimator.watchBegins(watch) }
        #expect(estimator.estimate(write, limit: 0, sendsInitial: false, most: 0) == WorkEstimate())
        for _ in 0..<16 { estimator.watchBegins(info("GET", "/api/v1/namespaces/default/configmaps", ["watch": "1"])) }
        #expect(estimator.watchers(of: write) == 25)
        let wide = estimator.estimate(write, limit: 0, sendsInitial: false, most: 0)
        #expect(wide.finalSeats == 3 && abs(wide.additionalLatency - 0.005) < 1e-9)
        let bounded = estimator.estimate(write, limit: 0, sendsInitial: false, most: 1)
        #expect(bounded.finalSeats == 1 && abs(bounded.additionalLatency - 0.015) < 1e-9)
        for _ in 0..<9 { estimator.watchEnds(watch) }
        #expect(estimator.watchers(of: write) == 16)
        await fixture.stop()
    }
}

import Core
import Testing

@testable import Controllers

@Suite struct KeyQueueTests {
    private let start = Timestamp(seconds: 1_767_225_600)

    @Test func keyIsDueOnceHoweverOftenItIsAdded() {
        var queue = KeyQueue<String>()
        queue.add("a")
        queue.add("a")
        let taken1 = queue.take(now: start)
        #expect(taken1 == "a")
        let taken2 = queue.take(now: start)
        #expect(taken2 == nil)
    }

    @Test func whatIsAddedWhileItRunsIsDueAgainWhenItIsDone() {
        var queue = KeyQueue<String>()
        queue.add("a")
        _ = queue.take(now: start)
        queue.add("a")
        let taken3 = queue.take(now: start)
        #expect(taken3 == nil)
        queue.done("a")
        let taken4 = queue.take(now: start)
        #expect(taken4 == "a")
    }

    @Test func failureWaitsAndEachOneTwiceAsLong() throws {
        var queue = KeyQueue<String>()
        queue.add("a")
        _ = queue.take(now: start)
        queue.failed("a", now: start)
        let taken5 = queue.take(now: start)
        #expect(taken5 == nil)
        let next = queue.nextTime()
        let first = try #require(next)
        let taken6 = queue.take(now: first)
        #expect(taken6 == "a")
        queue.failed("a", now: first)
        let later = queue.nextTime()
        let second = try #require(later)
        #expect(second - first == (first - start) * 2)
    }

    @Test func newsDuringAFailedAttemptAreNotWaitedFor() {
        var queue = KeyQueue<String>()
        queue.add("a")
        _ = queue.take(now: start)
        queue.add("a")
        queue.failed("a", now: start)
        let taken7 = queue.take(now: start)
        #expect(taken7 == "a")
    }

    @Test func timesThatHaveComeAreMadeDue() {
        var queue = KeyQueue<String>()
        queue.add("a", at: start + .seconds(5))
        queue.add("b", at: start + .seconds(9))
        queue.wake(start + .seconds(6))
        let time = queue.nextTime()
        #expect(time == start + .seconds(9))
        let taken8 = queue.take(now: start)
        #expect(taken8 == "a")
    }
}

import Core
import Testing

@testable import Controllers

@Suite struct KeyQueueTests {
    private let start = Timestamp(seconds: 1_767_225_600)

    @Test func keyIsDueOnceHoweverOftenItIsAdded() {
        var queue = KeyQueue<String>()
        queue.add("a")
        queue.add("a")
        #expect(queue.take(now: start) == "a")
        #expect(queue.take(now: start) == nil)
    }

    @Test func whatIsAddedWhileItRunsIsDueAgainWhenItIsDone() {
        var queue = KeyQueue<String>()
        queue.add("a")
        _ = queue.take(now: start)
        queue.add("a")
        #expect(queue.take(now: start) == nil)
        queue.done("a")
        #expect(queue.take(now: start) == "a")
    }

    @Test func failureWaitsAndEachOneTwiceAsLong() throws {
        var queue = KeyQueue<String>()
        queue.add("a")
        _ = queue.take(now: start)
        queue.failed("a", now: start)
        #expect(queue.take(now: start) == nil)
        let time = queue.nextTime()
        let first = try #require(time)
        #expect(queue.take(now: first) == "a")
        queue.failed("a", now: first)
        let second = queue.nextTime()
        #expect(try #require(second) - first == (first - start) * 2)
    }

    @Test func newsDuringAFailedAttemptAreNotWaitedFor() {
        var queue = KeyQueue<String>()
        queue.add("a")
        _ = queue.take(now: start)
        queue.add("a")
        queue.failed("a", now: start)
        #expect(queue.take(now: start) == "a")
    }

    @Test func timesThatHaveComeAreMadeDue() {
        var queue = KeyQueue<String>()
        queue.add("a", at: start + .seconds(5))
        queue.add("b", at: start + .seconds(9))
        queue.wake(start + .seconds(6))
        let time = queue.nextTime()
        #expect(time == start + .seconds(9))
        #expect(queue.take(now: start) == "a")
    }
}

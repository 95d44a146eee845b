import Core
import Testing

@testable import Controllers

@Suite struct CronScheduleTests {
    @Test(arguments: [
        ("*/15 * * * *", "2026-01-01T00:07:00Z", "2026-01-01T00:15:00Z"), ("0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"),
        ("30 6-16/4 * * 1-5", "2026-01-02T14:31:00Z", "2026-01-05T06:30:00Z"), ("0 12 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T12:00:00Z"),
        ("@every 90s", "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z"), ("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"),
        ("TZ=Asia/Tokyo 0 9 * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"), ("0 0 1 jan,jul *", "2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z"),
    ]) func nextTimes(_ text: String, _ from: String, _ next: String) throws {
        let schedule = try #require(CronSchedule(text))
        let start = try #require(Timestamp(rfc3339: from))
        #expect(schedule.next(after: start)?.rfc3339 == next)
    }

    @Test func neverIsNever() throws {
        let schedule = try #require(CronSchedule("0 0 30 2 *"))
        #expect(schedule.next(after: Timestamp(seconds: 1_750_000_000)) == nil)
    }

    @Test(arguments: ["* * * *", "60 * * * *", "* * * * 7", "a * * * *", "*/0 * * * *", "5-1 * * * *", "TZ=Nowhere * * * * *"]) func noSchedules(_ text: String) {
        #expect(CronSchedule(text) == nil)
    }

    @Test func clocksThatAreTurnedSkipAndRepeat() throws {
        let berlin = try #require(TimeZoneRules(named: "Europe/Berlin"))
        let schedule = try #require(CronSchedule("30 2 * * *", zone: berlin))
        // The 29th has no half past two.
        let spring = try #require(Timestamp(rfc3339: "2026-03-28T12:00:00Z"))
        #expect(schedule.next(after: spring)?.rfc3339 == "2026-03-30T00:30:00Z")
        let first = try #require(schedule.next(after: try #require(Timestamp(rfc3339: "2026-10-24T12:00:00Z"))))
        #expect(first.rfc3339 == "2026-10-25T00:30:00Z")
        #expect(schedule.next(after: first)?.rfc3339 == "2026-10-25T01:30:00Z")
    }
}

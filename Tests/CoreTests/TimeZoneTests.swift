import Testing

@testable import Core

/// Needs the machine's time zone database.
@Suite(.enabled(if: FileSystem.exists("/usr/share/zoneinfo/Europe/Berlin"))) struct TimeZoneTests {
    private func at(_ text: String) throws -> Int64 { try #require(Timestamp(rfc3339: text)).seconds }

    @Test(arguments: [
        ("Europe/Berlin", "2026-01-15T12:00:00Z", 3600), ("Europe/Berlin", "2026-07-15T12:00:00Z", 7200), ("Asia/Kolkata", "2026-07-15T12:00:00Z", 19800),
        ("America/New_York", "2060-07-15T12:00:00Z", -14400), ("America/New_York", "2060-01-15T12:00:00Z", -18000),
        ("Australia/Sydney", "2055-01-15T12:00:00Z", 39600), ("UTC", "2026-07-15T12:00:00Z", 0),
    ] as [(String, String, Int64)]) func offsets(_ zone: String, _ time: String, _ offset: Int64) throws {
        let rules = try #require(TimeZoneRules(named: zone))
        let moment = try at(time)
        #expect(rules.offset(at: moment) == offset)
    }

    @Test(arguments: ["Nowhere/Land", "../etc/passwd", "/usr/share/zoneinfo/UTC", "Europe"]) func namesOfNoZone(_ name: String) {
        #expect(TimeZoneRules(named: name) == nil)
    }

    @Test func skippedLocalTimesHaveNoMomentAndDoubleOnesTwo() throws {
        let berlin = try #require(TimeZoneRules(named: "Europe/Berlin"))
        // 29 March 2026: two o'clock becomes three. 25 October: three becomes two again.
        let skipped = try at("2026-03-29T02:30:00Z")
        #expect(berlin.instant(of: skipped, notBefore: 0) == nil)
        let double = try at("2026-10-25T02:30:00Z")
        #expect(berlin.instant(of: double, notBefore: 0) == double - 7200)
        #expect(berlin.instant(of: double, notBefore: double - 7199) == double - 3600)
    }

    @Test func timesWithTheirOffset() throws {
        let time = Timestamp(seconds: try at("2026-01-15T23:30:00Z"))
        #expect(time.rfc3339(offset: 19800) == "2026-01-16T05:00:00+05:30")
        #expect(time.rfc3339(offset: -3600) == "2026-01-15T22:30:00-01:00")
        #expect(time.rfc3339(offset: 0) == "2026-01-15T23:30:00Z")
        #expect(time.rfc1123 == "Thu, 15 Jan 2026 23:30:00 UTC")
    }
}

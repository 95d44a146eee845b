import Testing
import Core

@Test func timestampsRoundTrip() throws {
    for text in ["1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2026-11-21T08:51:00Z", "1969-12-31T23:59:59Z"] {
        #expect(try #require(Timestamp(rfc3339: text)).rfc3339 == text)
    }
    #expect(Timestamp(rfc3339: "2026-01-02T03:04:05.678901+02:00")?.rfc3339Micro == "2026-01-02T01:04:05.678901Z")
    #expect(Timestamp(rfc3339: "2026-02-30T00:00:00Z") == nil)
}

import Core
import Machinery
import Testing

struct QuantityTests {
    @Test(arguments: [
        ("0", "0"), ("100m", "100m"), ("1000m", "1"), ("0.5", "500m"), ("1.5", "1500m"), ("1024Mi", "1Gi"), ("1500Mi", "1500Mi"), ("128974848", "128974848"),
        ("129e6", "129e6"), ("129M", "129M"), ("123Mi", "123Mi"), ("0.5Gi", "512Mi"), ("1.5Gi", "1536Mi"), ("1Ki", "1Ki"), ("1023", "1023"), ("1000", "1k"),
        ("1000000", "1M"), ("1e3", "1e3"), ("10e3", "10e3"), ("1E", "1E"), ("1Ei", "1Ei"), ("-1500m", "-1500m"), ("0.0001", "100u"), ("1n", "1n"), ("0.1n", "1n"),
        ("100000", "100k"), ("2000Ki", "2000Ki"), ("2048Ki", "2Mi"), ("0.1Ki", "102400m"), ("1.500", "1.500"), ("5.", "5."), ("0Gi", "0"), ("1e-3", "1e-3"),
        ("12345678901234567890", "12345678901234567890"), ("10Ei", "9223372036854775807"), ("100Ki", "100Ki"), ("8Gi", "8Gi"), ("0.001", "1m"),
    ]) func canonicalFormIsUpstreams(_ text: String, _ expected: String) throws {
        let quantity = try Quantity(parsing: text)
        #expect(quantity.description == expected)
        #expect(try Quantity(parsing: quantity.description) == quantity)
    }

    @Test(arguments: [
        ("", Quantity.Failure(description: "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")),
        ("1.2.3", Quantity.Failure(description: "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")),
        ("1x", Quantity.Failure(description: "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")),
        ("1K", Quantity.Failure(description: "unable to parse quantity's suffix")),
        ("1MM", Quantity.Failure(description: "unable to parse quantity's suffix")),
        ("1e", Quantity.Failure(description: "unable to parse quantity's suffix")),
    ]) func brokenTextIsRefusedInUpstreamsWords(_ text: String, _ expected: Quantity.Failure) {
        #expect(throws: expected) { try Quantity(parsing: text) }
    }

    @Test func arithmeticIsExact() throws {
        let sum = try Quantity(parsing: "100m") + Quantity(parsing: "0.9")
        #expect(sum.description == "1")
        #expect(try (Quantity(parsing: "1Gi") - Quantity(parsing: "512Mi")).description == "512Mi")
        #expect(try (Quantity.zero + Quantity(parsing: "2Gi")).description == "2Gi")
        #expect(try Quantity(parsing: "1Gi") > Quantity(parsing: "1G"))
        #expect(try Quantity(parsing: "1000m") == Quantity(parsing: "1"))
        #expect(try Quantity(parsing: "-1") < Quantity(parsing: "1n"))
        #expect(try Quantity(parsing: "1e30") > Quantity(parsing: "1E"))
    }

    @Test func roundingGoesUp() throws {
        #expect(try Quantity(parsing: "1001u").milliValue == 2)
        #expect(try Quantity(parsing: "250m").milliValue == 250)
        #expect(try Quantity(parsing: "2").milliValue == 2000)
        #expect(try Quantity(parsing: "1500m").value == 2)
        #expect(try Quantity(parsing: "-1500m").value == -2)
        #expect(try Quantity(parsing: "1e30").value == Int64.max)
        #expect(try Quantity(parsing: "1Mi").value == 1_048_576)
    }

    @Test(arguments: [(0, "0s"), (1, "1ns"), (1_500, "1.5µs"), (90_000_000_000, "1m30s"), (3_600_000_000_000, "1h0m0s"), (-1_000_000, "-1ms")] as [(Int64, String)])
    func durationsReadAndWriteAsInGo(_ nanoseconds: Int64, _ text: String) {
        #expect(GoDuration.render(nanoseconds) == text)
        #expect(GoDuration.parse(text) == nanoseconds)
    }

    @Test func durationsRefuseWhatGoRefuses() {
        for text in ["", "1", "h", "1x", "1h-1m", ".s"] { #expect(GoDuration.parse(text) == nil) }
        #expect(GoDuration.parse("1h15m30.918s") == 4_530_918_000_000)
    }
}

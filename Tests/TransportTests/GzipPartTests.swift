import Testing

@testable import Transport

@Suite struct GzipPartTests {
    @Test(arguments: [0, 1, 70_000, 3_000_000]) func aPartUnpacksToWhatItWas(count: Int) {
        var state: UInt32 = 7
        let bytes = (0..<count).map { index -> UInt8 in
            state = state &* 1_664_525 &+ 1_013_904_223
            return index % 3 == 0 ? UInt8(truncatingIfNeeded: state >> 24) : 0x61
        }
        let part = GzipPart([bytes[..<(count / 2)], bytes[(count / 2)...]])
        #expect(part.count == count)
        #expect(part.unpacked() == bytes)
    }
}

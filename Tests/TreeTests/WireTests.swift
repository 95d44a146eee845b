import Testing
import Tree

struct WireTests {
    @Test func nestedMessagesWrittenBackwardsReadForwards() throws {
        var writer = WireWriter(capacity: 4)
        writer.string(9, "last")
        let mark = writer.count
        writer.varint(2, UInt64(bitPattern: -1))
        writer.fixed64(1, 7)
        writer.close(3, since: mark)
        writer.varint(1, 300)
        let bytes = writer.finish()
        try bytes.withUnsafeBytes { buffer in
            var reader = WireReader(buffer)
            #expect(try reader.nextField()?.number == 1)
            #expect(try reader.varint() == 300)
            #expect(try reader.nextField()?.number == 3)
            var inner = try reader.message()
            #expect(try inner.nextField()?.type == .fixed64)
            #expect(try inner.fixed64() == 7)
            #expect(try inner.nextField()?.number == 2)
            #expect(try inner.varint() == UInt64.max)
            #expect(try inner.nextField() == nil)
            #expect(try reader.nextField()?.number == 9)
            #expect(try reader.string() == "last")
            #expect(reader.isAtEnd)
        }
    }

    @Test(arguments: [
        [0x0A, 0x05, 0x61],  // says five bytes, has one
        [0x08],  // no value
        [0x08, 0x80, 0x80],  // a varint that never ends
        [0x08] + Array(repeating: 0xFF, count: 11),  // longer than 64 bits
        [0x09, 1, 2, 3],  // a short fixed64
        [0x0B],  // a group
        [0x00],  // field 0
        [0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],  // a length past any memory
    ] as [[UInt8]]) func brokenInputIsRefused(_ bytes: [UInt8]) {
        #expect(throws: SyntaxError.self) {
            try bytes.withUnsafeBytes { buffer in
                var reader = WireReader(buffer)
                while let field = try reader.nextField() { try reader.skip(field.type) }
            }
        }
    }

    @Test func base64IsExact() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            #expect(Base64.encode(plain.utf8) == coded)
            #expect(Base64.decode(coded) == Array(plain.utf8))
        }
        for broken in ["Z", "Zg", "Zg=", "Zg=a", "Z===", "Zm9v=", "Zm_v"] { #expect(Base64.decode(broken) == nil) }
    }

    @Test func pathsLookLikeUpstreams() {
        let path = NodePath().child("spec").child("containers").element(0).child("env").entry("a.b")
        #expect(path.description == "spec.containers[0].env[a.b]")
    }
}

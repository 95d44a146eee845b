import Core
import OCI
import Tree

extension Target {
    private static let manifest = """
        {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":32654,"urls":["https://a/b"]}],"subject":{"mediaType":"a/b","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":1},"annotations":{"a":"b"}}
        """
    private static let index = """
        {"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":7143,"platform":{"architecture":"amd64","os":"linux","variant":"v8"}}]}
        """
    private static let config = """
        {"architecture":"amd64","os":"linux","created":"2026-01-01T00:00:00Z","config":{"User":"1:2","Env":["PATH=/bin","A"],"Entrypoint":["/a"],"Cmd":null,"ExposedPorts":{"80/tcp":{}},"Volumes":{"/v":{}},"StopSignal":"SIGTERM","Labels":{"a":"b"}},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"history":[{"created_by":"x","empty_layer":true}]}
        """

    static func images(_ corpus: Corpus) -> [Target] {
        [
            text("manifest", share: 4, [manifest, index, config], words: ["{", "[", "\"", "sha512:", "null", "-1", "9223372036854775808", "{\"digest\":"]) { input in
                _ = try? Manifest(Array(input.utf8))
                _ = try? Manifest(Array(input.utf8), mediaType: "application/vnd.docker.distribution.manifest.v2+json")
                _ = try? ImageConfig(Array(input.utf8))
            },
            text("reference", ["docker.io/library/a:1", "localhost:5000/a/b@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "[::1]:5000/a", "a__b/c.d-e:T_a.g"], words: [":", "/", "@", "sha256:", "[", "__", "..", "-"]) { input in
                _ = try? ImageReference(parsing: input)
                _ = try? ImageReference(image: input)
                _ = try? ContentDigest(parsing: input)
            },
            tar(),
        ]
    }

    private static func header(_ name: String, type: Character, size: Int, link: String = "") -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, _ at: Int) { for (offset, byte) in text.utf8.enumerated() { block[at + offset] = byte } }
        put(name, 0)
        put("0000644", 100)
        put("0000000", 108)
        put("0000000", 116)
        let octal = String(size, radix: 8)
        put(String(repeating: "0", count: 11 - octal.count) + octal, 124)
        put("14000000000", 136)
        put(String(type), 156)
        put(link, 157)
        put("ustar\u{0}00", 257)
        return checked(block)
    }

    private static func checked(_ block: [UInt8]) -> [UInt8] {
        var block = block
        for at in 148..<156 { block[at] = 0x20 }
        let octal = String(block[0..<512].reduce(0) { $0 + Int($1) }, radix: 8)
        for (offset, byte) in (String(repeating: "0", count: 6 - octal.count) + octal + "\u{0} ").utf8.enumerated() { block[148 + offset] = byte }
        return block
    }

    private static func file(_ name: String, type: Character, _ content: String, link: String = "") -> [UInt8] {
        let bytes = Array(content.utf8)
        return header(name, type: type, size: bytes.count, link: link) + bytes + [UInt8](repeating: 0, count: (512 - bytes.count % 512) % 512)
    }

    /// Headers are given the right sum again, or no mutation would get past it.
    private static func tar() -> Target {
        let end = [UInt8](repeating: 0, count: 1024)
        let samples = [
            file("etc/passwd", type: "0", "root:x:0:0") + file("bin/", type: "5", "") + file("bin/sh", type: "2", "", link: "busybox") + file("a", type: "1", "", link: "etc/passwd") + end,
            file("x", type: "x", "30 mtime=1350244992.023960108\n22 path=a/very/long/one\n26 SCHILY.xattr.user.a=bcd\n") + file("y", type: "0", "z") + end,
            file("././@LongLink", type: "L", String(repeating: "n", count: 300)) + file("short", type: "0", "q") + file("x", type: "x", "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.name=sp\n29 GNU.sparse.realsize=1000\n") + file("sparse", type: "0", "1\n0\n4\n") + end,
            file("g", type: "g", "11 path=/g\n") + file("dev/null", type: "3", "") + file("old", type: "S", "data") + end,
        ]
        let mutator = ByteMutator(corpus: samples, words: ["22 path=../../x\n", "99999999999 a=b\n", "0 a=b\n", "GNU.sparse.map=0,1,2,3", "\u{7F}", "77777777777", "ustar  ", "SCHILY.xattr."].map { Array($0.utf8) })
        return Target(name: "tar", share: 5, make: { random in
            var bytes = mutator.make(&random)
            for start in stride(from: 0, to: bytes.count - 511, by: 512) where random.chance(7, of: 8) { bytes.replaceSubrange(start..<start + 512, with: checked(Array(bytes[start..<start + 512]))) }
            return bytes
        }) { input in
            let reader = TarReader(MemorySource(input))
            var entries = 0
            while entries < 1000, let entry = try? reader.next() {
                entries += 1
                _ = entry
                if (try? reader.readAll(limit: 1 << 16)) == nil { break }
            }
        }
    }
}

import Core
import Testing

@testable import OCI

@Suite struct LayerTests {
    let scratch: Scratch
    let root: FileDescriptor

    init() throws {
        scratch = try Scratch()
        try FileSystem.makeDirectories("\(scratch.path)/layer")
        root = try FileSystem.open("\(scratch.path)/layer", [.readOnly, .directory])
    }

    func tar(_ entries: [(TarEntry, String)]) throws -> [UInt8] {
        let target = MemoryTarget()
        let writer = TarWriter(target)
        for (entry, text) in entries { try writer.add(entry, Array(text.utf8)) }
        try writer.finish()
        return target.bytes
    }

    func unpack(_ entries: [(TarEntry, String)], lower: [String] = []) throws {
        try LayerUnpacker(into: root, lower: lower).unpack(TarReader(MemorySource(try tar(entries))))
    }

    func file(_ path: String, _ mode: UInt32 = 0o644) -> TarEntry { TarEntry(path: path, kind: .regular, mode: mode) }
    func status(_ path: String) throws -> FileStatus? { try FileSystem.status("\(scratch.path)/layer/\(path)") }

    @Test func filesKeepOwnerModeTimeAndAttributes() throws {
        let long = String(repeating: "d/", count: 60) + "naïve-" + String(repeating: "x", count: 120)
        let time = Timestamp(seconds: 1_000_000)
        try unpack([
            (TarEntry(path: "bin/", kind: .directory, mode: 0o1777, user: 7, group: 8, modified: time), ""),
            (
                TarEntry(
                    path: "bin/su", kind: .regular, mode: 0o4755, user: 3_000_000, group: 4, modified: time,
                    attributes: ["user.a": [1, 0, 2]]), "x"
            ),
            (file(long), "deep"),
            (TarEntry(path: "hard", kind: .hardLink, mode: 0, link: "bin/su"), ""),
            (TarEntry(path: "soft", kind: .symlink, mode: 0o777, user: 9, link: "/etc/passwd"), ""),
            (TarEntry(path: "null", kind: .characterDevice(major: 1, minor: 3), mode: 0o666), ""),
            (TarEntry(path: "pipe", kind: .fifo, mode: 0o600), ""),
        ])
        let su = try #require(try status("bin/su"))
        #expect(su.permissions == 0o4755 && su.user == 3_000_000 && su.group == 4 && su.links == 2 && su.modified == time)
        let bin = try #require(try status("bin"))
        #expect(bin.permissions == 0o1777 && bin.user == 7 && bin.modified == time)
        #expect(try FileSystem.readFile("\(scratch.path)/layer/\(long)") == Array("deep".utf8))
        #expect(try status("soft")?.user == 9)
        #expect(try FileSystem.readLink("\(scratch.path)/layer/soft") == "/etc/passwd")
        #expect(try status("null")?.deviceMajor == 1 && status("null")?.deviceMinor == 3)
        #expect(try status("pipe")?.kind == .fifo)
        if let value = FileSystem.attribute("user.a", of: "\(scratch.path)/layer/bin/su") { #expect(value == [1, 0, 2]) }
    }

    @Test func whiteoutsTakeTheFormOfOverlayfs() throws {
        try unpack([
            (file("a/.wh.gone"), ""), (file("b/.wh..wh..opq"), ""), (file("b/new"), "n"), (file(".wh..wh.aufs"), ""),
            (file(".wh.c"), ""), (file("c/fresh"), "f"),
        ])
        #expect(try status("a/gone")?.isWhiteout == true)
        #expect(FileSystem.attribute("trusted.overlay.opaque", of: "\(scratch.path)/layer/b") == [UInt8(ascii: "y")])
        #expect(FileSystem.attribute("trusted.overlay.opaque", of: "\(scratch.path)/layer/c") == [UInt8(ascii: "y")])
        #expect(try status(".wh..wh.aufs") == nil)
    }

    @Test func theKernelReadsWhatIsUnpacked() throws {
        let lower = "\(scratch.path)/lower"
        try FileSystem.makeDirectories(lower)
        let below = try tar([(file("a/gone"), "1"), (file("a/kept"), "1"), (file("b/old"), "1"), (file("c"), "1")])
        try LayerUnpacker(into: try FileSystem.open(lower, [.readOnly, .directory])).unpack(TarReader(MemorySource(below)))
        try unpack([(file("a/.wh.gone"), ""), (file("b/.wh..wh..opq"), ""), (file("b/new"), "n"), (file(".wh.c"), ""), (file("c/d"), "d")])
        let merged = "\(scratch.path)/merged"
        try FileSystem.makeDirectories(merged)
        // In a mount namespace of its own: nothing of it is left.
        try Shell.run(
            "unshare -m sh -c 'mount -t overlay o -o lowerdir=\(scratch.path)/layer:\(lower) \(merged) && cd \(merged) && test \"$(echo a/* b/* c/*)\" = \"a/kept b/new c/d\"'"
        )
        let tree = LayeredTree(layers: ["\(scratch.path)/layer", lower])
        #expect(try tree.list(["a"]) == ["kept"] && tree.list(["b"]) == ["new"] && tree.list(["c"]) == ["d"])
        #expect(try tree.find("a/gone") == nil && tree.find("b/old") == nil && tree.find("c/d") != nil)
        // Packed again, the layer says the same.
        let target = MemoryTarget()
        try LayerPacker(target).pack("\(scratch.path)/layer")
        let reader = TarReader(MemorySource(target.bytes))
        var names: [String] = []
        while let entry = try reader.next() { names.append(entry.path) }
        #expect(names.contains("a/.wh.gone") && names.contains("b/.wh..wh..opq") && names.contains("c/d") && names.contains("c/.wh..wh..opq"))
    }

    @Test func missingParentsLookAsInTheLayersBelow() throws {
        try FileSystem.makeDirectories("\(scratch.path)/below/home/me")
        try FileSystem.setPermissions("\(scratch.path)/below/home/me", 0o750)
        try FileSystem.setOwner("\(scratch.path)/below/home/me", user: 1000, group: 1000)
        try unpack([(file("home/me/.profile"), "")], lower: ["\(scratch.path)/below"])
        #expect(try status("home/me")?.permissions == 0o750 && status("home/me")?.user == 1000)
    }

    @Test(arguments: [
        "../escape", "a/../../escape", "/../escape",
    ])
    func pathsThatClimbOutAreRefused(_ path: String) throws {
        #expect(throws: ImageError.self) { try unpack([(file(path), "x")]) }
        #expect(try FileSystem.list(scratch.path) == ["layer"])
    }

    @Test func linksNeverLeadOut() throws {
        try FileSystem.makeDirectories("\(scratch.path)/outside")
        try FileSystem.writeAtomically("\(scratch.path)/outside/secret", Array("s".utf8))
        try unpack([
            (TarEntry(path: "abs", kind: .symlink, mode: 0, link: "\(scratch.path)/outside"), ""),
            (TarEntry(path: "rel", kind: .symlink, mode: 0, link: "../outside"), ""),
            (file("abs/one"), "1"), (file("rel/two"), "2"),
        ])
        #expect(try FileSystem.list("\(scratch.path)/outside") == ["secret"])
        #expect(try status("outside/two") != nil)
        #expect(throws: ImageError.self) {
            try unpack([(TarEntry(path: "h", kind: .hardLink, mode: 0, link: "../outside/secret"), "")])
        }
        #expect(throws: ImageError.self) {
            try unpack([(TarEntry(path: "h", kind: .hardLink, mode: 0, link: "rel/secret"), "")])
        }
        // Written over a link, a file replaces the link and not what it names.
        try unpack([
            (TarEntry(path: "link", kind: .symlink, mode: 0, link: "\(scratch.path)/outside/secret"), ""), (file("link"), "mine"),
        ])
        #expect(try FileSystem.readFile("\(scratch.path)/outside/secret") == Array("s".utf8))
    }

    @Test func layersCannotSteerOverlayfs() throws {
        try unpack([(TarEntry(path: "d/", kind: .directory, mode: 0o755, attributes: ["trusted.overlay.redirect": Array("/x".utf8)]), "")])
        #expect(FileSystem.attribute("trusted.overlay.redirect", of: "\(scratch.path)/layer/d") == nil)
    }

    @Test func brokenTarsAreRefused() throws {
        let good = try tar([(file("a"), "hello")])
        var checksum = good
        checksum[0] ^= 1
        for bad in [Array(good[..<300]), Array(good[..<600]), checksum, [UInt8](repeating: 7, count: 1024)] {
            #expect(throws: ImageError.self) { try LayerUnpacker(into: root).unpack(TarReader(MemorySource(bad))) }
        }
        var limits = UnpackLimits()
        limits.bytes = 4
        #expect { try LayerUnpacker(into: root, limits: limits).unpack(TarReader(MemorySource(good))) } throws: {
            ($0 as? ImageError)?.kind == .limit
        }
    }

    @Test(arguments: ["gnu", "pax", "v7", "ustar"])
    func gnuTarsAreRead(_ format: String) async throws {
        let source = "\(scratch.path)/source"
        try FileSystem.makeDirectories("\(source)/dir")
        let sparse = try FileSystem.open("\(source)/sparse", [.writeOnly, .create])
        try sparse.seek(to: 1 << 20)
        try sparse.write(Array("end".utf8))
        let short = format == "v7" || format == "ustar"
        let name = "dir/" + String(repeating: "n", count: short ? 60 : 180)
        try FileSystem.writeAtomically("\(source)/\(name)", Array("long".utf8))
        let archive = "\(scratch.path)/\(format).tar"
        try Shell.run("tar --format=\(format) \(format == "pax" || format == "gnu" ? "--sparse" : "") -C \(source) -cf \(archive) .")
        for pack in ["cat", "gzip", "zstd"] where pack != "zstd" || FileSystem.exists("/usr/bin/zstd") {
            try Shell.run("\(pack) < \(archive) > \(archive).\(pack)")
            let stream = try Compression.unpack(FileSource(try FileSystem.open("\(archive).\(pack)")))
            try LayerUnpacker(into: root).unpack(TarReader(stream))
            let file = try FileSystem.readFile("\(scratch.path)/layer/sparse")
            #expect(file.count == (1 << 20) + 3 && Array(file.suffix(3)) == Array("end".utf8) && file.first == 0)
            #expect(try FileSystem.readFile("\(scratch.path)/layer/\(name)") == Array("long".utf8))
        }
    }
}

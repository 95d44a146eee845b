import Client
import Core
import Machinery
import Testing
import Tree

@testable import Volumes

@Suite struct LocalVolumesTests {
    private func request(_ name: String, node: Node? = nil) -> VolumeRequest {
        VolumeRequest(name: name, claim: ObjectKey("default", "data"), size: Quantity(1 << 30), parameters: [:], node: node)
    }

    @Test func aVolumeIsADirectoryThatEveryUserMayWrite() async throws {
        try await withScratch { root in
            let volumes = LocalVolumes(root: root)
            let node: Node = ["metadata": ["name": "n1", "labels": ["kubernetes.io/hostname": "n1-host"]]]
            let spec = try await volumes.create(request("pvc-1", node: node))
            #expect(spec["local"]["path"].string == "\(root)/pvc-1")
            let terms = spec["nodeAffinity"]["required"]["nodeSelectorTerms"]
            #expect(terms[0]["matchExpressions"][0]["values"] == ["n1-host"])
            #expect(try FileSystem.status("\(root)/pvc-1")?.permissions == 0o777)
            #expect(try await volumes.create(request("pvc-2"))["hostPath"]["path"].string == "\(root)/pvc-2")
        }
    }

    @Test func makingAgainKeepsWhatIsThere() async throws {
        try await withScratch { root in
            let volumes = LocalVolumes(root: root)
            _ = try await volumes.create(request("pvc-1"))
            try FileSystem.writeAtomically("\(root)/pvc-1/file", [1, 2])
            _ = try await volumes.create(request("pvc-1"))
            #expect(try FileSystem.readFile("\(root)/pvc-1/file") == [1, 2])
        }
    }

    @Test func deletingTakesAllAndCanBeRepeated() async throws {
        try await withScratch { root in
            let volumes = LocalVolumes(root: root)
            _ = try await volumes.create(request("pvc-1"))
            try FileSystem.makeDirectories("\(root)/pvc-1/deep/er")
            try FileSystem.writeAtomically("\(root)/pvc-1/deep/er/file", [1])
            try FileSystem.symlink("/etc", "\(root)/pvc-1/etc")
            try await volumes.delete(volume: "pvc-1")
            try await volumes.delete(volume: "pvc-1")
            #expect(try FileSystem.list(root).isEmpty)
            #expect(FileSystem.exists("/etc/passwd"), "links are not followed")
        }
    }

    @Test(arguments: ["..", ".", "", "a/b", "../etc", ".deleted-pvc-1"]) func namesThatLeadElsewhereAreRefused(_ name: String) async throws {
        try await withScratch { root in
            let volumes = LocalVolumes(root: "\(root)/volumes")
            await #expect(throws: APIError.self) { try await volumes.delete(volume: name) }
            await #expect(throws: APIError.self) { _ = try await volumes.create(request(name)) }
        }
    }

    @Test func theSweepEndsCutOffDeletionsAndKeepsData() async throws {
        try await withScratch { root in
            for name in [".deleted-pvc-1", "pvc-empty", "pvc-full", "pvc-known"] { try FileSystem.makeDirectories("\(root)/\(name)") }
            try FileSystem.writeAtomically("\(root)/.deleted-pvc-1/file", [1])
            try FileSystem.writeAtomically("\(root)/pvc-full/file", [1])
            await LocalVolumes(root: root).sweep { $0 == "pvc-known" }
            #expect(try FileSystem.list(root).sorted() == ["pvc-full", "pvc-known"])
        }
    }
}

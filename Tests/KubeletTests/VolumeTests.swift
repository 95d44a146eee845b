import APIServer
import Client
import Core
import Machinery
import Schema
import Testing
import Tree

@testable import Kubelet

@Suite(.enabled(if: NodeFixture.isPossible, "needs root")) struct VolumeTests {
    @Test func aVolumeThatChangesWhileItIsMadeIsWhole() async throws {
        try await NodeFixture.with { fixture in
            _ = try await fixture.client.create(.configMaps, namespace: "default", ["metadata": ["name": "settings"], "data": ["a": "0"]])
            let pod = PodView(["metadata": ["name": "web", "namespace": "default", "uid": "1"], "spec": ["volumes": [["name": "v", "configMap": ["name": "settings"]]]]])
            let node = NodeConfiguration(
                name: "one", addresses: ["10.0.0.1"], capacity: [:], podsDirectory: "\(fixture.directory)/pods", runtimeDirectory: "\(fixture.directory)/memory",
                logsDirectory: "\(fixture.directory)/logs", cgroup: fixture.name)
            let volumes = PodVolumes(
                paths: PodPaths(pod, node), node: node, objects: ObjectSource(view: fixture.view, client: fixture.client), threads: BlockingThreads(limit: 8),
                images: fixture.images, record: { _, _, _ in })
            for round in 1...40 {
                let data: Node = ["data": ["a": .string("\(round)"), "b": .string("\(round)")]]
                _ = try await fixture.client.patch(.configMaps, ObjectKey("default", "settings"), .merge, data, subresource: nil)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<3 {
                        group.addTask { try await volumes.prepare(pod) }
                        group.addTask { await volumes.refresh(pod) }
                    }
                    try await group.waitForAll()
                }
                let path = try #require(volumes.source("v"))
                for file in ["a", "b"] { #expect(try FileSystem.readFile("\(path)/\(file)") == Array("\(round)".utf8)) }
                #expect(try FileSystem.list(path).count == 4, "one dated directory, its link, two files")
                if round % 2 == 0 { try await volumes.remove(pod) }
            }
        }
    }
}

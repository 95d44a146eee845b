import Client
import Core
import Glibc
import Kinds
import Machinery
import Schema
import Testing
import Tree

@testable import Scheduler

/// Cases under `Fixtures/devices`: slices, classes, what is allocated and the claims, and what the claims get on node `n1`
/// (labels `rack: r1`, `zone: z1`): whole allocations (`expect`, without share ids), only their devices, a failure, or nothing.
@Suite struct DeviceAllocationTests {
    private static let folder = String(#filePath.dropLast("DeviceAllocationTests.swift".count)) + "Fixtures/devices"

    static let cases: [String] = {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var out: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            if name.hasSuffix(".yaml") { out.append(name) }
        }
        return out.sorted()
    }()

    private static func read(_ name: String) throws -> Node {
        guard let file = fopen("\(folder)/\(name)", "r") else { return .null }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = fread(&bytes, 1, bytes.count, file)
        return try YAMLReader.read(Array(bytes[..<count]))
    }

    @Test func thereAreCases() { #expect(DeviceAllocationTests.cases.count > 10) }

    @Test(arguments: cases) func claimsGetWhatTheyShould(_ name: String) throws {
        let text = try DeviceAllocationTests.read(name)
        let node = NodeInfo(name: "n1", slot: 0)
        node.set(["metadata": ["name": "n1", "labels": ["rack": "r1", "zone": "z1"]]])
        var use = DeviceUse()
        for allocation in text["allocated"].list { use.add(allocation) }
        let classes = Dictionary(uniqueKeysWithValues: text["classes"].list.map { ($0.name, $0) })
        do throws(DeviceFailure) {
            let found = try DeviceAllocator.allocate(
                text["claims"].list, on: node, slices: text["slices"].list.map(DeviceSlice.init), classes: classes, use: use, selectors: SelectorCache())
            #expect(text["failure"].isNull)
            let allocations = (found ?? []).map { allocation in
                var allocation = allocation
                for index in allocation["devices"]["results"].list.indices { allocation["devices"]["results"][index].remove("shareID") }
                return allocation
            }
            if text["expect"].string == "none" {
                #expect(found == nil)
            } else if text.has("devices") {
                #expect(allocations.flatMap { $0["devices"]["results"].list.map { $0["device"] } } == text["devices"].list)
            } else {
                #expect(allocations == text["expect"].list)
            }
        } catch { #expect(error.message == text["failure"].string) }
    }

    @Test func aPodWaitsForItsClaimsAndTakesTheirDevices() {
        var cluster = TestCluster()
        cluster.node("n1")
        cluster.put(.resourceSlices, ["metadata": ["name": "s"], "spec": ["driver": "d", "nodeName": "n1", "pool": ["name": "n1", "generation": 1, "resourceSliceCount": 1], "devices": [["name": "a"]]]])
        cluster.put(.deviceClasses, ["metadata": ["name": "gpu"], "spec": [:]])
        let pod = { (name: String) in
            TestCluster.pod(name) {
                $0["spec"]["resourceClaims"] = [["name": "c", "resourceClaimTemplateName": "t"]]
                $0["status"]["resourceClaimStatuses"] = [["name": "c", "resourceClaimName": .string("claim-\(name)")]]
            }
        }
        #expect(cluster.schedule(pod("p")) == nil)
        cluster.put(.resourceClaims, DeviceAllocationTests.claim(of: "p"))
        #expect(cluster.next() == "p to n1")
        cluster.put(.resourceClaims, DeviceAllocationTests.claim(of: "q"))
        // The first decision is not written yet and counts all the same.
        let refusal = cluster.schedule(pod("q")) ?? ""
        #expect(refusal.hasPrefix("0/1 nodes are available: 1 cannot allocate all claims."), "\(refusal)")
    }

    private static func claim(of pod: String) -> Node {
        [
            "metadata": [
                "name": .string("claim-\(pod)"), "namespace": "default", "uid": .string("claim-\(pod)"),
                "ownerReferences": [["apiVersion": "v1", "kind": "Pod", "name": .string(pod), "uid": .string(pod), "controller": true]],
            ],
            "spec": ["devices": ["requests": [["name": "r", "exactly": ["deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1]]]]],
        ]
    }
}

import Containers
import Core
import Linux
import Testing
import Tree

@testable import Kubelet

/// What drivers are told and answer, and what devices change in containers.
@Suite struct DeviceTests {
    @Test func claimsAndAnswersAreInTheWireForm() throws {
        let request = DriverClaim.request([DriverClaim(namespace: "a", uid: "b", name: "c"), DriverClaim(namespace: "d", uid: "e", name: "f")])
        #expect(request == [10, 9, 10, 1, 97, 18, 1, 98, 26, 1, 99, 10, 9, 10, 1, 100, 18, 1, 101, 26, 1, 102])
        // claims: {"b": {devices: [{request_names: ["r"], pool_name: "p", device_name: "d", cdi_device_ids: ["k=v"]}]}}
        let device: [UInt8] = [10, 1, 114, 18, 1, 112, 26, 1, 100, 34, 3, 107, 61, 118]
        let answer: [UInt8] = [10, UInt8(device.count)] + device
        let entry: [UInt8] = [10, 1, 98, 18, UInt8(answer.count)] + answer
        let read = try DriverAnswer.read([10, UInt8(entry.count)] + entry, isPreparing: true)
        let found = try #require(read["b"]?.devices.first)
        #expect(found.requests == ["r"] && found.pool == "p" && found.device == "d" && found.cdi == ["k=v"] && found.share == nil)
        #expect(PreparedDevice(found.node) == found)
        let failed = try DriverAnswer.read([10, 8, 10, 1, 98, 18, 3, 10, 1, 120], isPreparing: false)
        #expect(failed["b"]?.error == "x")
    }

    @Test func pluginsSayWhoTheyAre() throws {
        let info = try PluginInfo(wire: [10, 3, 68, 82, 65, 18, 1, 110, 26, 1, 101, 34, 2, 118, 49, 34, 2, 118, 50])
        #expect(info.type == "DRA" && info.name == "n" && info.endpoint == "e" && info.versions == ["v1", "v2"])
    }

    @Test func conditionsOfDevicesAreBelievedForATime() throws {
        // {device: {pool_name: "p", device_name: "d"}, health: UNHEALTHY, timeout: 10, message: "m"}, {device: {pool_name: "p"}, timeout: -1}
        let first: [UInt8] = [10, 6, 10, 1, 112, 18, 1, 100, 16, 2, 32, 10, 42, 1, 109]
        let second: [UInt8] = [10, 3, 10, 1, 112, 16, 1, 32] + [UInt8](repeating: 255, count: 9) + [1]
        let report = try DeviceHealth.read([10, UInt8(first.count)] + first + [10, UInt8(second.count)] + second)
        let sick = DeviceHealth(state: .unhealthy, message: "m", patience: .seconds(10))
        #expect(report == [.init(pool: "p", device: "d"): sick, .init(pool: "p"): DeviceHealth(state: .healthy)])
        var table = DeviceHealthTable()
        let start = ContinuousClock.now
        let changes = [table.take(report, of: "x", now: start), table.take(report, of: "x", now: start + .seconds(5))]
        #expect(changes == [true, false])
        #expect(table.health("x", "p", "d", now: start + .seconds(15)) == sick)
        #expect(table.health("x", "p", "d", now: start + .seconds(16)).state == .unknown)
        #expect(table.health("y", "p", "d", now: start).state == .unknown)
        let expired = [table.expire("x", now: start + .seconds(15)), table.expire("x", now: start + .seconds(16))]
        #expect(expired == [false, true])
        #expect(table.health("x", "p", "", now: start + .seconds(16)).state == .healthy)
        let forgotten = [table.forget("x"), table.forget("x")]
        #expect(forgotten == [true, false])
        let long: [UInt8] = [42, 0x84, 0x08] + [UInt8](repeating: 97, count: 1028)
        let shortened = try DeviceHealth.read([10, 0x87, 0x08] + long).values.first?.message
        #expect(shortened?.count == 1024 && shortened?.hasSuffix("a...") == true)
    }

    @Test func specificationsChangeContainers() throws {
        let directory = "/tmp/jangada-cdi-\(Identifier.uuid())"
        try FileSystem.makeDirectories(directory, mode: 0o700)
        defer { try? FileSystem.removeTree(directory) }
        let text = #"""
            {"cdiVersion": "0.3.0", "kind": "d.com/test", "containerEdits": {"env": ["ALL=1"]}, "devices": [
              {"name": "a", "containerEdits": {"env": ["A=1", "PATH=/a"], "mounts": [{"hostPath": "/tmp", "containerPath": "/m", "options": ["ro"]}]}},
              {"name": "b", "containerEdits": {"deviceNodes": [{"path": "/dev/b", "hostPath": "/dev/null"}]}}]}
            """#
        try Files.replace("\(directory)/spec.json", Array(text.utf8), mode: 0o600)
        let devices = ContainerDevices(directories: ["/nonexistent", directory])
        var spec = ContainerSpec(id: "x", root: RootFilesystem(layers: []), process: ProcessSpec(arguments: ["true"], seccomp: nil))
        try ContainerDevices.apply(try devices.edits(["d.com/test=a", "d.com/test=b"]), to: &spec)
        #expect(spec.process.environment == ["ALL=1", "A=1", "PATH=/a"])
        #expect(spec.mounts.last?.target == "/m" && spec.mounts.last?.readOnly == true)
        #expect(spec.devices.last == ContainerDevice(path: "/dev/b", type: .character, major: 1, minor: 3, mode: 0o666))
        #expect(throws: DeviceTrouble.self) { try devices.edits(["d.com/test=c"]) }
        #expect(try devices.edits([]).isEmpty)
    }

    @Test func pathsOfTheMachineAreEachNodesOwn() {
        var node = NodeConfiguration(name: "n", addresses: [], capacity: [:], podsDirectory: "/s/pods", runtimeDirectory: "/r", logsDirectory: "/l", cgroup: "c")
        node.kubeletDirectory = "/s/kubelets/n"
        #expect(node.machinePath("/var/lib/kubelet/plugins/x") == "/s/kubelets/n/plugins/x")
        #expect(node.machinePath("/var/run/cdi") == "/s/kubelets/n/cdi")
        #expect(node.machinePath("/var/lib/kubeletter") == "/var/lib/kubeletter")
    }
}

import Machinery
import Testing
import Tree

@testable import Kinds

@Suite struct DeviceRulesTests {
    private func claim(_ text: String) throws -> [String] {
        let spec = try YAMLReader.read(Array(text.utf8))
        return DeviceClaimRules.errors(spec, at: NodePath([.key("spec")])).map(\.description)
    }

    @Test func aPlainClaimIsFine() throws {
        #expect(try claim("{devices: {requests: [{name: r, exactly: {deviceClassName: gpu, allocationMode: ExactCount, count: 1}}]}}").isEmpty)
    }

    @Test(arguments: [
        ("{devices: {requests: [{name: r}]}}", "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"),
        ("{devices: {requests: [{name: r, exactly: {deviceClassName: gpu, allocationMode: All, count: 1}}]}}",
            "spec.devices.requests[0].exactly.count: Invalid value: 1: must not be specified when allocationMode is 'All'"),
        ("{devices: {requests: [{name: r, exactly: {deviceClassName: gpu, allocationMode: ExactCount, count: 1, selectors: [{cel: {expression: 'device.driver'}}]}}]}}",
            "spec.devices.requests[0].exactly.selectors[0].cel.expression: Invalid value: \"device.driver\": must evaluate to bool or the unknown type, not string"),
        ("{devices: {requests: [{name: r, exactly: {deviceClassName: gpu, allocationMode: ExactCount, count: 1}}], constraints: [{requests: [x], matchAttribute: a.b/c}]}}",
            "spec.devices.constraints[0].requests[0]: Invalid value: \"x\": must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"),
        ("{devices: {requests: [{name: r, exactly: {deviceClassName: gpu, allocationMode: ExactCount, count: 1, tolerations: [{operator: Exists, value: v}]}}]}}",
            "spec.devices.requests[0].exactly.tolerations[0].value: Invalid value: \"v\": must be empty for operator `Exists`"),
    ]) func mistakesAreTold(_ text: String, _ finding: String) throws { #expect(try claim(text) == [finding]) }

    @Test func selectorsSeeWhatADeviceHas() throws {
        let text = "{attributes: {model: {string: x}, other.com/n: {int: 3}, v: {version: 1.2.3}}, capacity: {memory: {value: 4Gi}}, allowMultipleAllocations: true}"
        let device = try DeviceExpression.Device(try YAMLReader.read(Array(text.utf8)), driver: "d.com")
        for expression in [
            "device.driver == 'd.com'", "device.attributes['d.com'].model == 'x'", "device.attributes['other.com'].n == 3",
            "device.attributes['d.com'].v.isGreaterThan(semver('1.2.0'))", "device.capacity['d.com'].memory.compareTo(quantity('4Gi')) == 0",
            "device.allowMultipleAllocations", "!('x' in device.attributes['none'])", "cel.bind(a, device.attributes['d.com'], a.model == 'x')",
        ] { #expect(try DeviceExpression(expression).matches(device), "\(expression)") }
    }

    @Test func whatCostsTooMuchIsRefused() throws {
        let some = try DeviceExpression("device.attributes['d.com'].model.matches('[a-z]+')")
        #expect(!some.isTooCostly)
        let loops = "device.attributes.exists(a, device.attributes.exists(b, device.attributes.exists(c, device.attributes.exists(d, device.attributes[a][b] == device.attributes[c][d]))))"
        #expect(try DeviceExpression(loops).isTooCostly)
    }

    @Test func aSliceIsForNodesInOneWay() throws {
        let spec = try YAMLReader.read(Array("{driver: d.com, pool: {name: p, generation: 1, resourceSliceCount: 1}, allNodes: true, nodeName: n1}".utf8))
        let words = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required, but multiple fields are set"
        #expect(ResourceSliceRules.errors(spec, old: .null).map(\.description) == ["spec: Invalid value: \"{`nodeName`, `allNodes`}\": \(words)"])
    }

    @Test func anAllocationStays() throws {
        let old = try YAMLReader.read(Array("{spec: {devices: {requests: [{name: r}]}}, status: {allocation: {devices: {results: [{request: r, driver: d, pool: p, device: a}]}}}}".utf8))
        var new = old
        new["status"]["allocation"]["devices"]["results"][0]["device"] = "b"
        #expect(ResourceClaimStatusRules.errors(new, old: old).contains { $0.description.hasSuffix("field is immutable") })
        new = old
        new["status"].remove("allocation")
        #expect(ResourceClaimStatusRules.errors(new, old: old).isEmpty)
    }
}

package import CEL
package import Tree

/// A selector of devices (`device.attributes["dra.example.com"].model == "a"`), compiled: the type of `device` and the sizes that
/// its cost is estimated by are upstream's.
package final class DeviceExpression: Sendable {
    /// What one run may cost, and what the estimate may say.
    package static let costLimit: UInt64 = 1_000_000
    package static let longestText = 10 * 1024
    private static let mostEntries: UInt64 = 32

    /// Why an expression cannot be used, as upstream's findings have it.
    package struct Problem: Error, Sendable { package let detail: String }

    private let program: Program
    package var isTooCostly: Bool { program.estimatedCost.max > DeviceExpression.costLimit }

    package init(_ text: String) throws(Problem) {
        do { program = try Program.compile(text, in: DeviceExpression.environment) } catch {
            throw Problem(detail: "compilation failed: \(error.description)")
        }
        // A boolean attribute has a type that only a device knows.
        guard program.type == .bool || program.type == .dyn else {
            throw Problem(detail: "must evaluate to bool or the unknown type, not \(program.type)")
        }
    }

    private static let environment: Environment = {
        let text = { (size: UInt64) in FixedSchema(.string, largest: size) }
        func map(_ value: FixedSchema) -> FixedSchema {
            let inner = FixedSchema(mapOf: value, largest: mostEntries, largestKey: 32, boundsEntries: value.boundsOwnEntries)
            return FixedSchema(mapOf: inner, largest: mostEntries, largestKey: 63)
        }
        let device = FixedSchema(
            object: "kubernetes.DRADevice",
            [
                "driver": text(63), "allowMultipleAllocations": FixedSchema(.bool, largest: 1), "attributes": map(FixedSchema(.dyn, largest: 64)),
                "capacity": map(FixedSchema(QuantityValue.type)),
            ])
        return Environment.kubernetes.bindingNames().declaring("device", device)
    }()

    /// Whether a text is a semantic version as attributes have them.
    package static func isVersion(_ text: String) -> Bool { Value.version(text) != nil }

    // MARK: - Devices

    /// What expressions see of a device; made once, used by many.
    package struct Device: Sendable {
        fileprivate let value: Value

        /// `node` is a `Device` of a slice.
        package init(_ node: Node, driver: String) throws(EvaluationError) {
            var attributes: [(domain: String, entries: [(String, Value)])] = []
            for (name, attribute) in node["attributes"].fields {
                guard let value = Device.value(attribute) else { throw EvaluationError("attribute \(name): unsupported attribute value") }
                Device.add(name, value, driver, to: &attributes)
            }
            var capacity: [(domain: String, entries: [(String, Value)])] = []
            for (name, amount) in node["capacity"].fields {
                let quantity = amount["value"].int.map { Quantity($0) } ?? amount["value"].string.flatMap { try? Quantity(parsing: $0) } ?? .zero
                Device.add(name, .opaque(QuantityValue(quantity)), driver, to: &capacity)
            }
            value = .map(
                MapValue(
                    object: "kubernetes.DRADevice",
                    [
                        ("driver", .string(driver)), ("allowMultipleAllocations", .bool(node["allowMultipleAllocations"].bool ?? false)),
                        ("attributes", Device.domains(attributes)), ("capacity", Device.domains(capacity)),
                    ]))
        }

        /// Unknown domains have no entries; asking for them is no mistake.
        private static func domains(_ domains: [(domain: String, entries: [(String, Value)])]) -> Value {
            .map(MapValue(domains.map { ($0.domain, .map(MapValue($0.entries))) }, fallback: .map(MapValue([]))))
        }

        private static func add(_ name: String, _ value: Value, _ driver: String, to domains: inout [(domain: String, entries: [(String, Value)])]) {
            let slash = name.firstIndex(of: "/")
            let domain = slash.map { String(name[..<$0]) } ?? driver
            let id = slash.map { String(name[name.index(after: $0)...]) } ?? name
            if let index = domains.firstIndex(where: { $0.domain == domain }) { domains[index].entries.append((id, value)) } else { domains.append((domain, [(id, value)])) }
        }

        private static func value(_ attribute: Node) -> Value? {
            if let number = attribute["int"].int { return .int(number) }
            if let flag = attribute["bool"].bool { return .bool(flag) }
            if let text = attribute["string"].string { return .string(text) }
            return attribute["version"].string.flatMap(Value.version)
        }
    }

    package func matches(_ device: Device) throws(EvaluationError) -> Bool {
        switch program.run([device.value], limit: DeviceExpression.costLimit).result {
        case .success(.bool(let answer)): return answer
        case .success(let other): throw EvaluationError("CEL result of type \(other.type) could not be converted to bool: type conversion error from '\(other.type)' to 'bool'")
        case .failure(let error): throw error
        }
    }
}

extension FixedSchema {
    /// Attributes are of unknown type and known size, whatever they are called.
    fileprivate var boundsOwnEntries: Bool { if case .dyn = form { true } else { false } }
}

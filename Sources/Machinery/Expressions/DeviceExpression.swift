import CEL
package import Tree

/// An expression that selects devices (`resource.k8s.io`): compiled once, asked of any number of devices.
package final class DeviceExpression: Sendable {
    private let program: Program
    /// Domains that the text names: of one that a device knows nothing of, expressions read an empty map.
    private let domains: [String]

    /// As upstream's limit for one device.
    private static let costLimit: UInt64 = 1_000_000
    private static let environment = Environment.kubernetes.declaring(
        "device",
        FixedSchema(
            object: "kubernetes.DRADevice",
            [
                "driver": .string, "attributes": FixedSchema(mapOf: FixedSchema(mapOf: .dyn)), "capacity": FixedSchema(mapOf: FixedSchema(mapOf: FixedSchema(QuantityValue.type))),
                "allowMultipleAllocations": FixedSchema(.bool),
            ]))

    package init(_ text: String) throws(APIError) {
        let program: Program
        do { program = try Program.compile(text, in: DeviceExpression.environment) } catch {
            throw APIError.badRequest("compilation failed: \(error)")
        }
        guard [.bool, .dyn].contains(program.type) else { throw APIError.badRequest("must evaluate to bool or the unknown type, not \(program.type)") }
        self.program = program
        domains = text.split { $0 == "\"" || $0 == "'" }.map(String.init).filter { $0.utf8.allSatisfy { $0 > 32 && $0 < 127 } }
    }

    /// Whether a device of a driver is selected; an expression that fails on it selects nothing.
    package func matches(_ device: Node, driver: String) throws(APIError) -> Bool {
        let input = Value(object: "kubernetes.DRADevice", [
            ("driver", .string(driver)), ("attributes", attributes(device, driver)), ("capacity", capacity(device, driver)),
            ("allowMultipleAllocations", .bool(device["allowMultipleAllocations"].bool ?? false)),
        ])
        switch program.run([input], limit: DeviceExpression.costLimit).result {
        case .success(.bool(let value)): return value
        case .success(let other): throw APIError.badRequest("CEL expression result is not a boolean: \(other.type)")
        case .failure(let error): throw APIError.badRequest(error.message)
        }
    }

    private func attributes(_ device: Node, _ driver: String) -> Value {
        grouped(device["attributes"], driver) { attribute in
            for (kind, value) in attribute.fields where !value.isNull {
                if kind == "version" { return value.string.flatMap(Value.version) }
                if kind == "versions" { return .list(value.stringList.compactMap(Value.version)) }
                return Value(value)
            }
            return nil
        }
    }

    private func capacity(_ device: Node, _ driver: String) -> Value {
        grouped(device["capacity"], driver) { entry in
            let text = entry["value"].string ?? entry["value"].int.map(String.init) ?? ""
            return (try? Quantity(parsing: text)).map { .opaque(QuantityValue($0)) }
        }
    }

    /// By domain, that of the driver where a name has none.
    private func grouped(_ entries: Node, _ driver: String, _ read: (Node) -> Value?) -> Value {
        var byDomain: [String: [(String, Value)]] = [driver: []]
        for domain in domains { byDomain[domain] = [] }
        for (name, entry) in entries.fields {
            let parts = name.split(separator: "/", maxSplits: 1).map(String.init)
            guard let value = read(entry), let last = parts.last else { continue }
            byDomain[parts.count == 2 ? parts[0] : driver, default: []].append((last, value))
        }
        return .map(byDomain.map { ($0.key, .map($0.value)) })
    }
}

extension Value {
    fileprivate init(object name: String, _ fields: [(String, Value)]) { self = .map(MapValue(object: name, fields)) }
}

import Core
package import Machinery
package import Tree

/// What an emulated node says it has, and how it is marked. Read from the words of a command; what it cannot read it refuses.
package struct EmulatedShape: Sendable, Equatable {
    package var resources: [String: Quantity]
    package var labels: [String: String] = [:]
    package var taints: [Node] = []
    package var flavor = ""

    /// As kwok's nodes are: room for everything.
    package static let standard = EmulatedShape(resources: quantities(["cpu": "32", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "110"]))

    package init(resources: [String: Quantity]) { self.resources = resources }

    /// `{flavor, resources: {cpu: …}, labels: {…}, taints: ["key=value:Effect"]}`, everything optional; resources outdo the flavor.
    package init(_ wanted: Node) throws(APIError) {
        self = .standard
        if let flavor = wanted["flavor"].string {
            guard let amounts = EmulatedShape.amounts(flavor: flavor) else {
                throw APIError.badRequest("\"\(flavor)\" is no flavor: letters, then processors, GiB of memory and GiB of disk, such as BV4-8-40")
            }
            self.flavor = flavor
            resources.merge(amounts) { $1 }
        }
        for (name, value) in wanted["resources"].fields {
            guard let text = value.string ?? value.int.map(String.init), let amount = try? Quantity(parsing: text), amount >= .zero else {
                throw APIError.badRequest("resource \(name): \"\(value.string ?? "")\" is no quantity")
            }
            resources[name] = amount
        }
        labels = wanted["labels"].stringMap
        for text in wanted["taints"].stringList { taints.append(try EmulatedShape.taint(text)) }
    }

    /// `BV4-8-40`: 4 processors, 8 GiB of memory, 40 GiB of disk.
    static func amounts(flavor: String) -> [String: Quantity]? {
        let parts = flavor.drop { $0.isLetter }.split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
        guard parts.count == 3, let cpu = parts[0], let memory = parts[1], let disk = parts[2], cpu > 0, memory > 0, disk > 0, memory < 1 << 20, disk < 1 << 20
        else { return nil }
        return quantities(["cpu": "\(cpu)", "memory": "\(memory)Gi", "ephemeral-storage": "\(disk)Gi"])
    }

    /// Parsed, so that they are written again as people write them.
    private static func quantities(_ texts: [String: String]) -> [String: Quantity] { texts.compactMapValues { try? Quantity(parsing: $0) } }

    /// `key=value:Effect` or `key:Effect`.
    private static func taint(_ text: String) throws(APIError) -> Node {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let pair = (parts.first ?? "").split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let key = pair.first, !key.isEmpty, ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(parts[1]) else {
            throw APIError.badRequest("\"\(text)\" is no taint: key=value:NoSchedule, PreferNoSchedule or NoExecute")
        }
        var taint: Node = ["key": .string(String(key)), "effect": .string(String(parts[1]))]
        if pair.count == 2 { taint["value"] = .string(String(pair[1])) }
        return taint
    }
}

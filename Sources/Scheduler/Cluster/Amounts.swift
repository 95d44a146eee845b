import Kinds
import Machinery
import Tree

/// Amounts of the resources of a node, in the units that scheduling compares: thousandths of a CPU, bytes, pieces.
struct Amounts: Sendable, Equatable {
    var milliCPU: Int64 = 0
    var memory: Int64 = 0
    var ephemeralStorage: Int64 = 0
    var others: [String: Int64] = [:]

    init() {}

    init(_ quantities: [String: Quantity]) {
        for (name, amount) in quantities {
            switch name {
            case "cpu": milliCPU = amount.milliValue
            case "memory": memory = amount.value
            case "ephemeral-storage": ephemeralStorage = amount.value
            case "pods": break
            default: others[name] = amount.value
            }
        }
    }

    mutating func add(_ other: Amounts, times sign: Int64 = 1) {
        milliCPU += sign * other.milliCPU
        memory += sign * other.memory
        ephemeralStorage += sign * other.ephemeralStorage
        for (name, amount) in other.others { others[name, default: 0] += sign * amount }
    }

    var isZero: Bool { milliCPU == 0 && memory == 0 && ephemeralStorage == 0 && others.allSatisfy { $0.value == 0 } }
}

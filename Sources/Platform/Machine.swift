import Core
import Linux
import Machinery

/// What the machine has to give to nodes.
enum Machine {
    static func capacity(_ path: String) -> [String: Quantity] {
        var out: [String: Quantity] = [:]
        func set(_ name: String, _ text: String) { if let quantity = try? Quantity(parsing: text) { out[name] = quantity } }
        set("cpu", "\(MachineResources.processors)")
        set("memory", "\(MachineResources.memoryBytes / 1024)Ki")
        if let disk = try? FileSystemUsage(path: path) { set("ephemeral-storage", "\(disk.capacity / 1024)Ki") }
        set("pods", "110")
        set("hugepages-2Mi", "0")
        return out
    }
}

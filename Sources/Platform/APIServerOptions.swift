import APIServer
import Core
import Machinery
package import Tree

/// What can be chosen about the API server beside its port, under upstream's names. Kept with the cluster's settings.
package struct APIServerOptions: Sendable, Equatable {
    /// By name without the dashes.
    package private(set) var values: [String: String] = [:]

    package init() {}

    package init(_ node: Node) { values = node.stringMap }

    package var node: Node {
        var out = Node.emptyMap
        for (name, value) in values.sorted(by: { $0.key < $1.key }) { out[name] = .string(value) }
        return out
    }

    /// With what a command asks; an empty value goes back to the default.
    package func changed(_ changes: [String: String]) -> APIServerOptions {
        var out = self
        for (name, value) in changes { out.values[name] = value.isEmpty ? nil : value }
        return out
    }

    subscript(_ name: String) -> String? { values[name] }

    func list(_ name: String) -> [String] { values[name]?.split(separator: ",").map(String.init) ?? [] }

    func admission() throws -> AdmissionSelection {
        do throws(APIError) {
            return try AdmissionSelection(enabled: list("enable-admission-plugins"), disabled: list("disable-admission-plugins"))
        } catch { throw ControlFailure(400, error.message) }
    }

    func number(_ name: String) throws -> Int? {
        guard let text = values[name] else { return nil }
        guard let number = Int(text), number >= 0 else { throw ControlFailure(400, "--\(name) \(text) is no number from 0 on") }
        return number
    }

    func duration(_ name: String) throws -> Duration? {
        guard let text = values[name] else { return nil }
        guard let nanoseconds = GoDuration.parse(text), nanoseconds >= 0 else { throw ControlFailure(400, "--\(name) \(text) is no duration such as 30s") }
        return .nanoseconds(nanoseconds)
    }

    /// A YAML or JSON document that an option names, or that lies in the state directory under its usual name.
    func document(_ name: String, usual: String) throws -> (path: String, node: Node)? {
        let path: String
        if let chosen = values[name] { path = chosen } else if FileSystem.exists(usual) { path = usual } else { return nil }
        do { return (path, try YAMLReader.read(try FileSystem.readFile(path))) } catch {
            throw ControlFailure(400, "\(path): \(error)", hint: "Mend that file, or leave out --\(name), and start again.")
        }
    }
}

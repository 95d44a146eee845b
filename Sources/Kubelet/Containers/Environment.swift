import Client
import Machinery
import Schema
import Tree

/// A container's variables, in the order in which they are said.
struct Environment: Sendable {
    private(set) var names: [String] = []
    private(set) var values: [String: String] = [:]

    mutating func set(_ name: String, _ value: String) {
        if values.updateValue(value, forKey: name) == nil { names.append(name) }
    }

    /// `NAME=value`
    var lines: [String] { names.map { "\($0)=\(values[$0] ?? "")" } }

    static func failure(_ message: String) -> StartFailure { StartFailure(.configuration, reason: "CreateContainerConfigError", message: message) }

    /// Services, then `envFrom`, then `env`, each over the ones before.
    static func resolve(_ container: Node, _ downward: DownwardAPI, _ objects: ObjectSource) async throws -> Environment {
        var out = Environment()
        let pod = downward.pod
        let services = ServiceEnvironment.variables(
            objects.services(pod.namespace), namespace: pod.namespace, links: pod.spec["enableServiceLinks"].bool ?? true)
        for (name, value) in container["envFrom"].list.isEmpty ? [] : try await bulk(container["envFrom"].list, pod, objects) { out.set(name, value) }
        let known = Dictionary(services, uniquingKeysWith: { $1 })
        for variable in container["env"].list {
            let name = variable["name"].string ?? ""
            if variable.has("valueFrom") {
                if let value = try await value(variable["valueFrom"], container, downward, objects) { out.set(name, value) }
            } else {
                let soFar = out
                out.set(name, Expansion.expand(variable["value"].string ?? "") { soFar.values[$0] ?? known[$0] })
            }
        }
        for (name, value) in services where out.values[name] == nil { out.set(name, value) }
        return out
    }

    private static func bulk(_ sources: [Node], _ pod: PodView, _ objects: ObjectSource) async throws -> [(String, String)] {
        var out: [(String, String)] = []
        for source in sources {
            let prefix = source["prefix"].string ?? ""
            let isSecret = source.has("secretRef")
            let reference = source[isSecret ? "secretRef" : "configMapRef"]
            let name = reference["name"].string ?? ""
            guard let object = try await objects.find(isSecret ? .secrets : .configMaps, pod.namespace, name) else {
                if reference["optional"].bool == true { continue }
                throw failure("\(isSecret ? "secret" : "configmap") \(NodePath.quoted(name)) not found")
            }
            for (key, value) in object["data"].fields.sorted(by: { $0.key < $1.key }) {
                out.append((prefix + key, text(value, isSecret)))
            }
        }
        return out
    }

    private static func text(_ value: Node, _ isSecret: Bool) -> String {
        let raw = value.string ?? ""
        return isSecret ? String(decoding: Base64.decode(raw) ?? [], as: UTF8.self) : raw
    }

    private static func value(_ source: Node, _ container: Node, _ downward: DownwardAPI, _ objects: ObjectSource) async throws -> String? {
        if source.has("fieldRef") {
            let path = source["fieldRef"]["fieldPath"].string ?? ""
            guard let value = downward.field(path) else { throw failure("unsupported fieldPath: \(path)") }
            return value
        }
        if source.has("resourceFieldRef") {
            guard let value = downward.resource(source["resourceFieldRef"], container: container) else {
                throw failure("unsupported container resource : \(source["resourceFieldRef"]["resource"].string ?? "")")
            }
            return value
        }
        let isSecret = source.has("secretKeyRef")
        guard isSecret || source.has("configMapKeyRef") else { return nil }
        let reference = source[isSecret ? "secretKeyRef" : "configMapKeyRef"]
        let name = reference["name"].string ?? ""
        let isOptional = reference["optional"].bool == true
        guard let object = try await objects.find(isSecret ? .secrets : .configMaps, downward.pod.namespace, name) else {
            if isOptional { return nil }
            throw failure("\(isSecret ? "secret" : "configmap") \(NodePath.quoted(name)) not found")
        }
        let key = reference["key"].string ?? ""
        guard object["data"].has(key) else {
            if isOptional { return nil }
            throw failure("couldn't find key \(key) in \(isSecret ? "Secret" : "ConfigMap") \(downward.pod.namespace)/\(name)")
        }
        return text(object["data"][key], isSecret)
    }
}

import Client
import Core
import Glibc
import Machinery
import Schema
import Tree

@testable import Controllers

/// One case: its files, and their translation from and to placeholders.
struct Fixture: Sendable, CustomStringConvertible {
    let controller: String
    let name: String

    static let now = Timestamp(seconds: 1_767_225_600)
    static let updates = getenv("JANGADA_UPDATE_FIXTURES") != nil
    private static let folder = String(#filePath.dropLast("Fixture.swift".count)) + "Fixtures"

    static let all: [Fixture] = entries(folder).flatMap { controller in
        entries("\(folder)/\(controller)").filter { $0.hasSuffix(".in.yaml") }
            .map { Fixture(controller: controller, name: String($0.dropLast(".in.yaml".count))) }
    }

    var description: String { "\(controller)/\(name)" }
    private var path: String { "\(Fixture.folder)/\(controller)/\(name)" }

    private static func entries(_ path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var out: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            if !name.hasPrefix(".") { out.append(name) }
        }
        return out.sorted()
    }

    // MARK: - Files

    private static func read(_ path: String) throws -> String {
        guard let file = fopen(path, "r") else { throw SystemFailure("open", path, errno: errno) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            if count == 0 { break }
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    func expected() throws -> String { try Fixture.read(path + ".out.yaml") }

    func write(_ text: String) throws {
        guard let file = fopen(path + ".out.yaml", "w") else { throw SystemFailure("open", path, errno: errno) }
        defer { fclose(file) }
        fputs(text, file)
    }

    // MARK: - Input

    func load(for controller: any Controller) throws -> (ObjectKey, ClusterState) {
        var text = try Fixture.read(path + ".in.yaml")
        while let start = text.range(of: "<now"), let end = text[start...].firstIndex(of: ">") {
            let offset = text[text.index(start, offsetBy: 4)..<end]
            let nanoseconds = offset.isEmpty ? 0 : GoDuration.parse(String(offset)) ?? 0
            text.replaceSubrange(start...end, with: (Fixture.now + .nanoseconds(nanoseconds)).rfc3339)
        }
        var documents = try YAMLReader.readAll(Array(text.utf8))
        let head = documents.removeFirst()
        var state = ClusterState()
        for (resource, indexes) in controller.reads { state.declare(resource, indexes: indexes) }
        for trigger in controller.triggers { state.declare(trigger.resource, indexes: trigger.indexes) }
        for var object in documents {
            let gvk = GroupVersionKind(apiVersion: object.apiVersion, kind: object.kind)
            guard let gvk, let resource = Graph.builtIn.resources.first(where: { $0.gvk == gvk && !$0.verbs.isEmpty }) else {
                throw APIError.badRequest("what is a \(object.apiVersion) \(object.kind)?")
            }
            var metadata = object["metadata"]
            if metadata["uid"].isNull { metadata["uid"] = .string("\(object.kind.lowercased())-\(object.name)") }
            if metadata["resourceVersion"].isNull { metadata["resourceVersion"] = "1" }
            if metadata["creationTimestamp"].isNull { metadata["creationTimestamp"] = .string((Fixture.now + .seconds(-3600)).rfc3339) }
            if resource.isNamespaced, metadata["namespace"].isNull { metadata["namespace"] = "default" }
            object["metadata"] = metadata
            state.declare(resource.gvr, indexes: [])
            state[resource.gvr].set(ObjectKey(object.namespace, object.name), object)
        }
        let key = (head["plan"].string ?? "").split(separator: "/", omittingEmptySubsequences: false)
        return (key.count == 2 ? ObjectKey(String(key[0]), String(key[1])) : ObjectKey("", String(key.first ?? "")), state)
    }

    // MARK: - Output

    func render(_ plan: Plan, _ state: ClusterState) -> String {
        var documents = plan.actions.map { Fixture.node($0, state) }
        if let delay = plan.requeueAfter { documents.append(["requeueAfter": .string("\(delay)")]) }
        if documents.isEmpty { return "# nothing\n" }
        let text = String(decoding: YAMLWriter.write(documents: documents), as: UTF8.self)
        return text.replacing(Fixture.now.rfc3339, with: "<now>")
    }

    private static func node(_ action: Action, _ state: ClusterState) -> Node {
        switch action {
        case .create(let resource, let object, let announcement):
            var out: Node = ["create": .string(resource.resource), "object": object]
            if let announcement { out["announce"] = .string(announcement.success) }
            return out
        case .update(let resource, let object): return changed("update", resource, object, state)
        case .updateStatus(let resource, let object): return changed("updateStatus", resource, object, state)
        case .patch(let resource, let key, _, let patch, let subresource):
            return ["patch": .string("\(resource.resource) \(key)" + (subresource.map { " \($0)" } ?? "")), "with": patch]
        case .delete(let resource, let key, let options, let announcement):
            var out: Node = ["delete": .string("\(resource.resource) \(key)")]
            if let uid = options.uid { out["uid"] = .string(uid) }
            if let announcement { out["announce"] = .string(announcement.success) }
            return out
        case .post(let resource, let key, let subresource, let object):
            return ["post": .string("\(resource.resource) \(key) \(subresource)"), "object": object]
        case .event(let event): return ["event": .string(event.type.rawValue), "reason": .string(event.reason), "message": .string(event.message)]
        }
    }

    private static func changed(_ verb: String, _ resource: GroupVersionResource, _ object: Node, _ state: ClusterState) -> Node {
        let old = state.get(resource, object.namespace, object.name) ?? .null
        return [verb: .string("\(resource.resource) \(ObjectKey(object.namespace, object.name))"), "changes": difference(old, object)]
    }

    /// What a merge patch from one to the other would say.
    private static func difference(_ old: Node, _ new: Node) -> Node {
        guard case .map(let before) = old, case .map(let after) = new else { return new }
        var out = Fields()
        for (key, value) in after where before[key] != value { out[key] = difference(before[key] ?? .null, value) }
        for (key, _) in before where after[key] == nil { out[key] = .null }
        return .map(out)
    }
}

extension String {
    fileprivate func range(of text: String) -> String.Index? {
        var at = startIndex
        while at < endIndex {
            if self[at...].hasPrefix(text) { return at }
            at = index(after: at)
        }
        return nil
    }

    fileprivate func replacing(_ text: String, with other: String) -> String {
        var out = self
        while let start = out.range(of: text) { out.replaceSubrange(start..<out.index(start, offsetBy: text.count), with: other) }
        return out
    }
}

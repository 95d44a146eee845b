import Client
import Core
import Machinery
import Schema
import Tree

/// Why a volume cannot be had (yet); worded as upstream's volume plugins word it.
struct VolumeFailure: Error, Sendable, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Turns what the API holds into the files of a volume.
struct VolumeContent: Sendable {
    let downward: DownwardAPI
    let objects: ObjectSource
    let tokens: ServiceAccountTokenCache
    /// The one user of all containers, where there is one.
    let user: UInt32?

    private var pod: PodView { downward.pod }

    func files(_ volume: Node) async throws -> [String: ProjectedFile] {
        if volume.has("configMap") {
            return try await configMap(volume["configMap"], mode: mode(volume["configMap"]["defaultMode"]), name: volume["configMap"]["name"].string ?? "")
        }
        if volume.has("secret") {
            return try await secret(volume["secret"], mode: mode(volume["secret"]["defaultMode"]), name: volume["secret"]["secretName"].string ?? "")
        }
        if volume.has("downwardAPI") { return try downwardFiles(volume["downwardAPI"], mode: mode(volume["downwardAPI"]["defaultMode"])) }
        let standard = mode(volume["projected"]["defaultMode"])
        var out: [String: ProjectedFile] = [:]
        for source in volume["projected"]["sources"].list {
            let part: [String: ProjectedFile]
            if source.has("configMap") {
                part = try await configMap(source["configMap"], mode: standard, name: source["configMap"]["name"].string ?? "")
            } else if source.has("secret") {
                part = try await secret(source["secret"], mode: standard, name: source["secret"]["name"].string ?? "")
            } else if source.has("downwardAPI") {
                part = try downwardFiles(source["downwardAPI"], mode: standard)
            } else if source.has("serviceAccountToken") {
                part = try await token(source["serviceAccountToken"], mode: standard)
            } else {
                continue
            }
            out.merge(part) { $1 }
        }
        return out
    }

    private func mode(_ node: Node, or standard: UInt32 = 0o644) -> UInt32 { node.int.map { UInt32(clamping: $0) } ?? standard }

    private func configMap(_ source: Node, mode: UInt32, name: String) async throws -> [String: ProjectedFile] {
        guard let object = try await objects.find(.configMaps, pod.namespace, name) else {
            if source["optional"].bool == true { return [:] }
            throw VolumeFailure("configmap \(NodePath.quoted(name)) not found")
        }
        var data: [String: [UInt8]] = [:]
        for (key, value) in object["data"].fields { data[key] = Array((value.string ?? "").utf8) }
        for (key, value) in object["binaryData"].fields { data[key] = Base64.decode(value.string ?? "") ?? [] }
        return try select(data, source, mode, "configmap")
    }

    private func secret(_ source: Node, mode: UInt32, name: String) async throws -> [String: ProjectedFile] {
        guard let object = try await objects.find(.secrets, pod.namespace, name) else {
            if source["optional"].bool == true { return [:] }
            throw VolumeFailure("secret \(NodePath.quoted(name)) not found")
        }
        var data: [String: [UInt8]] = [:]
        for (key, value) in object["data"].fields { data[key] = Base64.decode(value.string ?? "") ?? [] }
        return try select(data, source, mode, "secret")
    }

    private func select(_ data: [String: [UInt8]], _ source: Node, _ mode: UInt32, _ kind: String) throws -> [String: ProjectedFile] {
        let items = source["items"].list
        if items.isEmpty { return data.mapValues { ProjectedFile(bytes: $0, mode: mode) } }
        var out: [String: ProjectedFile] = [:]
        for item in items {
            guard let bytes = data[item["key"].string ?? ""] else {
                if source["optional"].bool == true { continue }
                throw VolumeFailure("\(kind) references non-existent \(kind == "secret" ? "secret" : "config") key: \(item["key"].string ?? "")")
            }
            out[try place(item["path"].string ?? "")] = ProjectedFile(bytes: bytes, mode: self.mode(item["mode"], or: mode))
        }
        return out
    }

    /// Below the volume, whatever the API let pass.
    private func place(_ path: String) throws -> String {
        let parts = path.split(separator: "/").filter { $0 != "." }
        guard !path.hasPrefix("/"), !parts.isEmpty, !parts.contains(".."), parts[0].hasPrefix("..") == false else {
            throw VolumeFailure("invalid path: \(path)")
        }
        return parts.joined(separator: "/")
    }

    private func downwardFiles(_ source: Node, mode: UInt32) throws -> [String: ProjectedFile] {
        var out: [String: ProjectedFile] = [:]
        for item in source["items"].list {
            let value =
                item.has("fieldRef")
                ? downward.field(item["fieldRef"]["fieldPath"].string ?? "") : downward.resource(item["resourceFieldRef"], container: .null)
            guard let value else { throw VolumeFailure("unsupported fieldPath: \(item["fieldRef"]["fieldPath"].string ?? "")") }
            out[try place(item["path"].string ?? "")] = ProjectedFile(bytes: Array(value.utf8), mode: self.mode(item["mode"], or: mode))
        }
        return out
    }

    private func token(_ source: Node, mode: UInt32) async throws -> [String: ProjectedFile] {
        let shared = pod.spec["securityContext"]["fsGroup"].int != nil || user != nil
        let text = try await tokens.token(
            pod, audience: source["audience"].string ?? "", seconds: source["expirationSeconds"].int ?? 3600, client: objects.client)
        let file = ProjectedFile(bytes: Array(text.utf8), mode: shared ? 0o600 : mode, user: user)
        return [try place(source["path"].string ?? ""): file]
    }
}

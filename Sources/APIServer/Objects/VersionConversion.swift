package import Machinery
import Schema
import Store
import Synchronization
package import Tree

/// Turns an object of one version of a resource into another of its versions.
package protocol VersionConversion: Sendable {
    /// Whether both versions have the same fields, so that only apiVersion differs.
    func isRename(_ resource: ServedResource) -> Bool
    /// From storage to served version, where that takes no more than this process.
    func convert(_ object: Node, to resource: ServedResource) throws(APIError) -> Node
    /// From served to storage version, where that takes no more than this process.
    func store(_ object: Node, from resource: ServedResource) throws(APIError) -> Node
}

extension VersionConversion {
    /// An object of one served version in another; what is no object of the resource stays.
    func between(_ object: Node, from: ServedResource, to: ServedResource) async throws(APIError) -> Node {
        guard from !== to, !object.isNull, object.kind == from.kind else { return object }
        if let converter = from.converter {
            guard let first = try await converter.convert([object], to: to.resource.gvk.apiVersion).first else { return object }
            return first
        }
        return try convert(try store(object, from: from), to: to)
    }

    /// Objects as they are stored (each in whatever version was current then) in the served version.
    func served(_ objects: [Node], as resource: ServedResource) async throws(APIError) -> [Node] {
        if let converter = resource.converter { return try await converter.convert(objects, to: resource.resource.gvk.apiVersion) }
        if resource.isStorageVersion, !resource.isCustom { return objects }
        var out: [Node] = []
        for object in objects { out.append(try convert(object, to: resource)) }
        return out
    }

    func served(_ object: Node, as resource: ServedResource) async throws(APIError) -> Node {
        guard let first = try await served([object], as: resource).first else { throw .internalError("a conversion without an object") }
        return first
    }

    /// An object of the served version as it is to be stored.
    func stored(_ object: Node, from resource: ServedResource) async throws(APIError) -> Node {
        if resource.isStorageVersion { return object }
        guard let converter = resource.converter else { return try store(object, from: resource) }
        guard let first = try await converter.convert([object], to: resource.storageAPIVersion).first else { throw .internalError("a conversion without an object") }
        return first
    }
}

/// Converts custom resources by more than a new apiVersion.
package protocol CustomConverter: Sendable {
    /// Each object in the version asked for, in order; those that have it already come back as they are.
    func convert(_ objects: [Node], to apiVersion: String) async throws(APIError) -> [Node]
    /// How another version is read; nil for one that is not served.
    func version(_ apiVersion: String) -> CustomVersion?
}

/// One version of a custom resource, as far as owners of fields need it.
package struct CustomVersion: Sendable {
    let canonical: Canonical
    let message: MessageID
}

/// The records of one answer that a webhook has converted.
final class ConvertedRecords: Sendable {
    private let nodes = Mutex<[Int64: Node]>([:])

    subscript(_ record: Record) -> Node? { nodes.withLock { $0.isEmpty ? nil : $0[record.revision] } }

    func set(_ records: [Record], _ converted: [Node]) {
        nodes.withLock { nodes in
            for (record, node) in zip(records, converted) { nodes[record.revision] = node }
        }
    }

    func removeAll() { nodes.withLock { $0 = [:] } }
}

package import Client
package import Core
import Logging
package import Machinery
package import Tree

/// Volumes that are directories of this machine, one for each, all below one directory.
///
/// A directory is found by its volume's name alone, never by a path that an object tells. A deletion first renames, so that
/// a half-deleted directory never passes for a volume.
package final class LocalVolumes: VolumeProvider {
    package static let provisioner = "jangada.dev/local"
    private static let trash = ".deleted-"

    private let root: String
    private let threads: BlockingThreads
    private let log = Logger(label: "volumes")

    package init(root: String, threads: BlockingThreads = .shared) {
        self.root = root
        self.threads = threads
    }

    package var name: String { LocalVolumes.provisioner }

    /// Where the files of a volume are. Nil for what cannot be the name of a volume.
    package func path(_ volume: String) -> String? {
        guard !volume.isEmpty, !volume.hasPrefix("."), !volume.utf8.contains(UInt8(ascii: "/")), !volume.utf8.contains(0), volume.utf8.count < 240 else {
            return nil
        }
        return "\(root)/\(volume)"
    }

    private func demandPath(_ volume: String) throws(APIError) -> String {
        guard let path = path(volume) else { throw .badRequest("\(FieldError.quoted(volume)) cannot be a directory") }
        return path
    }

    package func create(_ request: VolumeRequest) async throws -> Node {
        let path = try demandPath(request.name)
        let root = root
        try await threads.run { () throws(SystemFailure) in
            if let status = try FileSystem.status(path) {
                guard status.isDirectory else { throw SystemFailure("mkdir", path, errno: 17) }
            } else {
                try FileSystem.makeDirectories(root, mode: 0o711)
                try FileSystem.makeDirectory(path, mode: 0o700)
            }
            // As an emptyDir: the containers' users are not known, and `root` keeps others of the machine out of its list.
            try FileSystem.setPermissions(path, 0o777)
            try FileSystem.synchronize(directory: root)
        }
        guard let node = request.node else { return ["hostPath": ["path": .string(path), "type": "Directory"]] }
        let hostname = node.labels["kubernetes.io/hostname"] ?? node.name
        let expression: Node = ["key": "kubernetes.io/hostname", "operator": "In", "values": [.string(hostname)]]
        return [
            "local": ["path": .string(path)],
            "nodeAffinity": ["required": ["nodeSelectorTerms": [["matchExpressions": [expression]]]]],
        ]
    }

    package func delete(volume: String) async throws {
        let path = try demandPath(volume)
        let trash = "\(root)/\(LocalVolumes.trash)\(volume)"
        let root = root
        try await threads.run { () throws(SystemFailure) in
            if try FileSystem.status(path) != nil {
                // What an earlier deletion left under that name makes way first.
                try FileSystem.removeTree(trash)
                try FileSystem.rename(path, to: trash)
                try FileSystem.synchronize(directory: root)
            }
            try FileSystem.removeTree(trash)
        }
        log.info("volume deleted", metadata: ["volume": "\(volume)"])
    }

    /// Directories have no size of their own: what the volume may hold is recorded, not enforced.
    package func expand(volume: String, to size: Quantity) async throws -> Quantity { size }

    /// Directories that hold something are never taken away here: a volume whose object was removed on purpose keeps its data.
    package func sweep(isKnown: @Sendable (String) -> Bool) async {
        let root = root
        let names = await threads.run { FileSystem.exists(root) ? ((try? FileSystem.list(root)) ?? []) : [] }
        for name in names {
            let path = "\(root)/\(name)"
            if name.hasPrefix(LocalVolumes.trash) {
                do { try await threads.run { () throws(SystemFailure) in try FileSystem.removeTree(path) } } catch {
                    log.warning("a deleted volume's files remain", metadata: ["path": "\(path)", "error": "\(error)"])
                }
            } else if name.hasPrefix("pvc-"), !isKnown(name) {
                await threads.run { _ = try? FileSystem.removeDirectory(path) }
            }
        }
    }
}

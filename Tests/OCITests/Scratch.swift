import Core
import Testing

@testable import OCI

/// A directory that is gone when the last test that holds it ends.
final class Scratch: Sendable {
    let path: String

    init() throws {
        path = "/tmp/jangada-oci-\(Identifier.suffix(10))"
        try FileSystem.makeDirectories(path)
    }

    deinit { try? FileSystem.removeTree(path) }

    func store() throws -> ContentStore { try ContentStore(root: "\(path)/content") }
}

import Core

/// A directory of its own for one test, gone when the test ends.
func withScratch<T>(_ body: (String) async throws -> T) async throws -> T {
    let path = "/tmp/jangada-volumes-\(Identifier.uuid())"
    try FileSystem.makeDirectories(path, mode: 0o711)
    do {
        let result = try await body(path)
        try FileSystem.removeTree(path)
        return result
    } catch {
        try? FileSystem.removeTree(path)
        throw error
    }
}

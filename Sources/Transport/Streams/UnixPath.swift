import Core

/// Paths of unix sockets that are longer than the kernel's 108 bytes for them, as those of plugins below a state directory may be.
enum UnixPath {
    private static let longest = 103

    /// Gives a path that fits and leads to the same socket, for as long as the body runs.
    static func short<T>(_ path: String, _ body: (String) async throws -> T) async throws -> T {
        guard path.utf8.count > longest else { return try await body(path) }
        let directory = try FileSystem.open(FileSystem.parent(of: path), [.path, .directory])
        let result = try await body("/proc/self/fd/\(directory.raw)/\(path.split(separator: "/").last ?? "")")
        withExtendedLifetime(directory) {}
        return result
    }
}

import Glibc

/// Paths as the daemon needs them, which has another working directory.
enum Paths {
    static func absolute(_ path: String) -> String {
        if path.hasPrefix("/") { return path }
        guard let raw = getcwd(nil, 0) else { return path }
        defer { free(raw) }
        let directory = String(cString: raw)
        return path == "." ? directory : "\(directory)/\(path)"
    }
}

import Glibc

/// Paths as the daemon needs them, which has another working directory.
enum Paths {
    /// From the root, without `.`, doubled slashes and one at the end; links, and so `..`, stay as they are.
    static func absolute(_ path: String) -> String {
        let parts = (path.hasPrefix("/") ? path : "\(workingDirectory)/\(path)").split(separator: "/").filter { $0 != "." }
        return "/" + parts.joined(separator: "/")
    }

    private static var workingDirectory: String {
        guard let raw = getcwd(nil, 0) else { return "" }
        defer { free(raw) }
        return String(cString: raw)
    }
}

import Core

/// A directory below which paths are followed as if it were `/`: neither `..` nor a symbolic link leads out of it.
///
/// Only one writer may be at work below it; that is why following links by hand is safe here.
final class RootedTree {
    let root: FileDescriptor
    /// The directory of the entry before, which most often is that of the next one too.
    private var last: (path: [Substring], directory: FileDescriptor)?

    init(_ root: FileDescriptor) { self.root = root }

    /// Call when a directory or link may have been replaced.
    func forget() { last = nil }

    /// A path as its parts, without `.` and empty ones; nil where it climbs above the root.
    static func parts(_ path: String) -> [Substring]? {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." {
                guard parts.popLast() != nil else { return nil }
            } else {
                parts.append(part)
            }
        }
        return parts
    }

    /// Opens the directory at `path`. What is missing is given to `make`, with its parent and name; without `make` it fails.
    func directory(
        _ path: [Substring], make: ((_ parent: FileDescriptor, _ name: String, _ path: [Substring]) throws(ImageError) -> Void)? = nil
    ) throws(ImageError) -> FileDescriptor {
        if let last, last.path == path { return last.directory }
        var stack: [(name: Substring, directory: FileDescriptor)] = [("", root)]
        var rest = Array(path.reversed())
        var links = 0
        while let part = rest.popLast() {
            if part == "." || part.isEmpty { continue }
            if part == ".." {
                if stack.count > 1 { stack.removeLast() }
                continue
            }
            let here = stack[stack.count - 1].directory
            let name = String(part)
            if let next = try open(name, at: here) {
                stack.append((part, next))
                continue
            }
            let status = try storing { () throws(SystemFailure) in try FileSystem.status(name, at: here) }
            if let status, status.kind == .symlink {
                links += 1
                guard links <= 40 else { throw ImageError(.invalid, "too many symbolic links in \(path.joined(separator: "/"))") }
                let target = try storing { () throws(SystemFailure) in try FileSystem.readLink(name, at: here) }
                if target.hasPrefix("/") { stack.removeLast(stack.count - 1) }
                rest += target.split(separator: "/").reversed()
                continue
            }
            guard let make else { throw ImageError(.notFound, "\(path.joined(separator: "/")): no such directory") }
            try make(here, name, stack.dropFirst().map(\.name) + [part])
            guard let made = try open(name, at: here) else { throw ImageError(.invalid, "\(path.joined(separator: "/")): not a directory") }
            stack.append((part, made))
        }
        let directory = stack[stack.count - 1].directory
        last = (path, directory)
        return directory
    }

    private func open(_ name: String, at directory: FileDescriptor) throws(ImageError) -> FileDescriptor? {
        do { return try FileSystem.open(name, [.readOnly, .directory, .noFollow], at: directory) } catch {
            // ENOENT, ENOTDIR (also a link under O_DIRECTORY), ELOOP: nothing to enter here.
            if error.errno == 2 || error.errno == 20 || error.errno == 40 { return nil }
            throw ImageError(error)
        }
    }
}

package import Core
import Glibc

/// A directory of pinned network namespaces, one file each.
package struct NamespaceDirectory: Sendable {
    package let path: String

    package init(_ path: String) { self.path = path }

    package func file(_ name: String) -> String { "\(path)/\(name)" }

    package func create() throws(SystemFailure) {
        var at = ""
        for part in path.split(separator: "/") {
            at += "/\(part)"
            guard mkdir(at, 0o700) == 0 || errno == EEXIST else { throw SystemFailure("mkdir", at) }
        }
    }

    /// Names of the files in it; none where there is no such directory.
    package func names() throws(SystemFailure) -> [String] {
        guard let stream = opendir(path) else {
            if errno == ENOENT { return [] }
            throw SystemFailure("opendir", path)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    package func open(_ name: String) throws(SystemFailure) -> NetworkNamespace { try NetworkNamespace.open(file(name)) }

    package func isPinned(_ name: String) -> Bool { NetworkNamespace.isPinned(file(name)) }

    package func pin(_ namespace: NetworkNamespace, as name: String) throws(SystemFailure) { try namespace.pin(at: file(name)) }

    package func remove(_ name: String) throws(SystemFailure) { try NetworkNamespace.unpin(file(name)) }

    /// Removes the directory if it is empty.
    package func removeIfEmpty() { rmdir(path) }

    /// Writes a small file beside the pins so that a crash leaves the old or the new one.
    package func write(_ text: String, to name: String) throws(SystemFailure) {
        let temporary = file(".\(name).new")
        try SmallFile.write(text, to: temporary, create: true)
        guard rename(temporary, file(name)) == 0 else { throw SystemFailure("rename", file(name)) }
    }

    package func read(_ name: String) throws(SystemFailure) -> String? { try SmallFile.read(file(name)) }
}

/// Settings under /proc/sys of the calling thread's network namespace.
package enum Sysctl {
    /// The value without the line's end; nil where the kernel has no such setting. Names have slashes: "net/ipv4/ip_forward".
    package static func get(_ name: String) throws(SystemFailure) -> String? {
        try SmallFile.read("/proc/sys/\(name)").map { String($0.prefix { $0 != "\n" }) }
    }

    package static func set(_ name: String, _ value: String) throws(SystemFailure) {
        try SmallFile.write(value, to: "/proc/sys/\(name)", create: false)
    }

    /// Sets what the kernel has of these; one that it does not know is passed over.
    package static func setPresent(_ settings: [(String, String)]) throws(SystemFailure) {
        for (name, value) in settings {
            do throws(SystemFailure) { try set(name, value) } catch  where error.errno == ENOENT {}
        }
    }
}

/// Files of at most 64 KiB, whole.
package enum SmallFile {
    package static func read(_ path: String) throws(SystemFailure) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw SystemFailure("open", path)
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 65536)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress?.advanced(by: count), $0.count - count) }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw SystemFailure("read", path) }
            if got == 0 { break }
            count += got
        }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    static func write(_ text: String, to path: String, create: Bool) throws(SystemFailure) {
        let descriptor = open(path, O_WRONLY | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0), 0o600)
        guard descriptor >= 0 else { throw SystemFailure("open", path) }
        defer { close(descriptor) }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let put = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if put < 0, errno == EINTR { continue }
            guard put > 0 else { throw SystemFailure("write", path) }
            rest = rest.dropFirst(put)
        }
    }
}

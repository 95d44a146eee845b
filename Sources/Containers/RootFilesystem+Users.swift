import CLinux
package import Core
import Glibc
import Linux

extension RootFilesystem {
    /// A file as the container would see it before anything is mounted: from the topmost layer that has it, unless one above hides it.
    /// nil where it does not exist. Symlinks are followed within the layer they lie in.
    package func read(_ path: String, limit: Int = 4 << 20) throws(SystemFailure) -> [UInt8]? {
        let parts = path.split(separator: "/").map(String.init)
        for layer in layers {
            let root = try Descriptor.open(layer, Int32(JANGADA_O_PATH) | O_DIRECTORY)
            do throws(SystemFailure) {
                return try Files.openInRoot(root, path, O_RDONLY | O_NONBLOCK).readAll(limit: limit)
            } catch {
                // ENXIO: an overlay whiteout is a device 0:0 that nothing drives. It, or an opaque directory, ends the search.
                if error.errno == ENXIO || hides(layer, parts) { return nil }
                guard error.errno == ENOENT || error.errno == ENOTDIR else { throw error }
            }
        }
        return nil
    }

    private func hides(_ layer: String, _ parts: [String]) -> Bool {
        var at = layer
        for part in parts.dropLast() {
            at += "/\(part)"
            if jangada_is_opaque(at) == 1 { return true }
        }
        return false
    }
}

/// What the image's user files say about `USER`: "name", "uid", "name:group", "uid:gid".
package struct UserLookup: Sendable {
    package struct Found: Sendable, Equatable {
        package var user: ContainerUser
        package var home: String
        /// As in /etc/passwd; empty for a number that has no entry.
        package var name: String
    }

    private let passwd: [[Substring]]
    private let group: [[Substring]]

    package init(_ root: RootFilesystem) throws(SystemFailure) {
        self.init(
            passwd: String(decoding: try root.read("/etc/passwd") ?? [], as: UTF8.self),
            group: String(decoding: try root.read("/etc/group") ?? [], as: UTF8.self))
    }

    package init(passwd: String, group: String) {
        self.passwd = passwd.split(separator: "\n").map { $0.split(separator: ":", omittingEmptySubsequences: false) }
        self.group = group.split(separator: "\n").map { $0.split(separator: ":", omittingEmptySubsequences: false) }
    }

    /// A name without an entry is refused in runc's words; a number needs none. Supplementary groups are those that list the user.
    package func resolve(_ text: String) throws(SystemFailure) -> Found {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let wanted = parts.first ?? ""
        var found = Found(user: ContainerUser(), home: "/", name: "")
        let number = wanted.isEmpty ? 0 : UInt32(wanted)
        let entry =
            passwd.first { $0.count >= 4 && (wanted.isEmpty ? $0[2] == "0" : $0[0] == wanted) }
            ?? passwd.first { $0.count >= 4 && number != nil && UInt32($0[2]) == number }
        if let entry, let uid = UInt32(entry[2]), let gid = UInt32(entry[3]) {
            found.user = ContainerUser(uid: uid, gid: gid)
            found.name = String(entry[0])
            if entry.count > 5, !entry[5].isEmpty { found.home = String(entry[5]) }
        } else if let number {
            found.user = ContainerUser(uid: number, gid: 0)
        } else {
            throw SystemFailure(
                "find user", String(wanted), errno: ENOENT, hint: "unable to find user \(wanted): no matching entries in passwd file")
        }
        if parts.count == 2, !parts[1].isEmpty {
            found.user.gid = try resolveGroup(String(parts[1]))
        } else if !found.name.isEmpty {
            for line in group where line.count >= 4 && line[3].split(separator: ",").contains(Substring(found.name)) {
                if let gid = UInt32(line[2]), gid != found.user.gid { found.user.groups.append(gid) }
            }
        }
        return found
    }

    package func resolveGroup(_ name: String) throws(SystemFailure) -> UInt32 {
        if let line = group.first(where: { $0.count >= 3 && $0[0] == name }), let gid = UInt32(line[2]) { return gid }
        if let gid = UInt32(name) { return gid }
        throw SystemFailure("find group", name, errno: ENOENT, hint: "unable to find group \(name): no matching entries in group file")
    }
}

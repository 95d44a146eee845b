import Core
import Linux
import Tree

/// Names of users and groups as an image's own files give them.
struct ImageUsers: Sendable {
    private var users: [(name: String, uid: UInt32, gid: UInt32, home: String)] = []
    private var groups: [(name: String, gid: UInt32, members: [String])] = []

    init(passwd: String, group: String) {
        for line in passwd.split(separator: "\n") {
            let parts = line.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count >= 4, let uid = UInt32(parts[2]), let gid = UInt32(parts[3]) else { continue }
            users.append((String(parts[0]), uid, gid, parts.count > 5 ? String(parts[5]) : ""))
        }
        for line in group.split(separator: "\n") {
            let parts = line.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count >= 3, let gid = UInt32(parts[2]) else { continue }
            groups.append((String(parts[0]), gid, parts.count > 3 ? parts[3].split(separator: ",").map(String.init) : []))
        }
    }

    /// `layers` from the uppermost down. The file is looked up inside its layer: an image's links cannot lead out.
    init(layers: [String]) { self.init(passwd: ImageUsers.read("etc/passwd", layers), group: ImageUsers.read("etc/group", layers)) }

    private static func read(_ path: String, _ layers: [String]) -> String {
        for layer in layers {
            // O_RDONLY; O_PATH | O_DIRECTORY for the layer.
            guard let root = try? Descriptor.open(layer, 0o10200000), let file = try? Files.openInRoot(root, path, 0),
                let bytes = try? file.readAll(limit: 1 << 20)
            else { continue }
            return String(decoding: bytes, as: UTF8.self)
        }
        return ""
    }

    func uid(_ name: String) -> UInt32? { users.first { $0.name == name }?.uid }
    func gid(_ name: String) -> UInt32? { groups.first { $0.name == name }?.gid }
    func primaryGroup(of uid: UInt32) -> UInt32? { users.first { $0.uid == uid }?.gid }

    /// A user whom the image does not know, or gives no home, lives at the root.
    func home(of uid: UInt32) -> String { users.first { $0.uid == uid && !$0.home.isEmpty }?.home ?? "/" }

    /// Groups that list the user among their members.
    func memberships(of uid: UInt32) -> [UInt32] {
        guard let name = users.first(where: { $0.uid == uid })?.name else { return [] }
        return groups.filter { $0.members.contains(name) }.map(\.gid)
    }
}

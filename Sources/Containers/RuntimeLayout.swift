import Core
import Glibc
import Linux

/// Where a runtime keeps what: sockets, specs and states on a file system that a reboot empties; writable layers on disk.
struct RuntimeLayout: Sendable {
    let state: String
    let runtime: String

    var sandboxes: String { "\(runtime)/sandboxes" }
    var writable: String { "\(state)/containers" }

    func sandbox(_ id: String) -> String { "\(sandboxes)/\(id)" }
    func containers(_ sandbox: String) -> String { "\(self.sandbox(sandbox))/containers" }
    func container(_ sandbox: String, _ id: String) -> String { "\(containers(sandbox))/\(id)" }

    func paths(_ sandbox: String, _ id: String, _ given: WritableLayer? = nil) -> ContainerPaths {
        let own = "\(writable)/\(id)"
        return ContainerPaths(
            upper: given?.upper ?? "\(own)/upper", work: given?.work ?? "\(own)/work", root: "\(own)/root", state: "\(container(sandbox, id))/state")
    }

    /// Ids become file and cgroup names: letters, digits, `-`, `_`, `.`, at most 127, not starting with a dot.
    static func check(_ id: String) throws(SystemFailure) {
        let good = id.utf8.allSatisfy { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F: true
            default: false
            }
        }
        guard good, !id.isEmpty, id.utf8.count < 128, id.utf8.first != 0x2E else { throw SystemFailure("check id", id, errno: EINVAL) }
    }
}

import Core
import Glibc

/// The person at the keyboard: behind `sudo` not root, but who called it.
struct InvokingUser: Sendable, Equatable {
    var user: UInt32
    var group: UInt32
    var home: String

    static func current() -> InvokingUser {
        if getuid() == 0, let user = Environment["SUDO_UID"].flatMap(UInt32.init), let group = Environment["SUDO_GID"].flatMap(UInt32.init),
            let passwd = try? FileSystem.readFile("/etc/passwd"), let home = home(of: user, passwd: String(decoding: passwd, as: UTF8.self))
        {
            return InvokingUser(user: user, group: group, home: home)
        }
        return InvokingUser(user: getuid(), group: getgid(), home: Environment["HOME"] ?? "/root")
    }

    // A static program cannot ask NSS; people whose home only NSS knows set KUBECONFIG.
    static func home(of user: UInt32, passwd: String) -> String? {
        for line in passwd.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count >= 6, UInt32(fields[2]) == user { return String(fields[5]) }
        }
        return nil
    }

    /// `KUBECONFIG`'s first file, else `~/.kube/config`.
    var kubeconfig: String {
        let named = Environment["KUBECONFIG"]?.split(separator: ":").first.map(String.init)
        return named ?? "\(home)/.kube/config"
    }

    /// Runs `body` with this user's rights, not root's: a link in a home directory must not lead root anywhere.
    func acting<Result>(_ body: () throws -> Result) throws -> Result {
        guard geteuid() == 0, user != 0 else { return try body() }
        let ownGroup = getegid()
        guard setegid(group) == 0 else { throw SystemFailure("setegid", "\(group)") }
        guard seteuid(user) == 0 else {
            let failure = SystemFailure("seteuid", "\(user)")
            _ = setegid(ownGroup)
            throw failure
        }
        defer {
            precondition(seteuid(0) == 0 && setegid(ownGroup) == 0, "root cannot become root again")
        }
        return try body()
    }
}

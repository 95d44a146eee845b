package import Core

/// Who listens for TCP on this machine's 127.0.0.1.
package enum ListeningPorts {
    /// The sockets' inodes by port; a listener on every address counts.
    package static func onLoopback() throws(SystemFailure) -> [Int: UInt64] {
        var found: [Int: UInt64] = [:]
        for file in ["tcp", "tcp6"] {
            guard let text = try? Files.text("/proc/thread-self/net/\(file)") else { continue }
            for line in text.split(separator: "\n").dropFirst() {
                let fields = line.split(separator: " ")
                // 0A is LISTEN.
                guard fields.count > 9, fields[3] == "0A", let colon = fields[1].firstIndex(of: ":"),
                    let port = Int(fields[1][fields[1].index(after: colon)...], radix: 16), let inode = UInt64(fields[9])
                else { continue }
                let address = fields[1][..<colon]
                if address == "0100007F" || address.hasSuffix("FFFF00000100007F") || address.allSatisfy({ $0 == "0" }) { found[port] = inode }
            }
        }
        return found
    }

    /// The process that has a socket open; nil where it is not to be seen.
    package static func process(of inode: UInt64) -> (pid: Int32, name: String)? {
        for entry in (try? Files.list("/proc")) ?? [] {
            guard let pid = Int32(entry) else { continue }
            for file in (try? Files.list("/proc/\(entry)/fd")) ?? [] {
                guard (try? FileSystem.readLink("/proc/\(entry)/fd/\(file)")) == "socket:[\(inode)]" else { continue }
                let name = (try? Files.text("/proc/\(entry)/comm")) ?? ""
                return (pid, String(name.prefix { $0 != "\n" }))
            }
        }
        return nil
    }
}

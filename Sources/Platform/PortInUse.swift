import Linux

/// A port on 127.0.0.1 that somebody else listens on, and who.
package struct PortInUse: Error, CustomStringConvertible {
    package let port: Int
    package let process: String?

    /// Nil where the port is free; 0 always is.
    package init?(_ port: Int) {
        guard port != 0, let inode = try? ListeningPorts.onLoopback()[port] else { return nil }
        self.port = port
        process = ListeningPorts.process(of: inode).map { "\($0.name), pid \($0.pid)" }
    }

    package var description: String { "port \(port) is in use" + (process.map { " (\($0))" } ?? "") }
}

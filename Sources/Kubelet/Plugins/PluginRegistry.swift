import Core
import Linux
import Logging
import Synchronization
import Transport
import Tree

/// What a plugin of a node says of itself.
struct PluginInfo: Sendable, Equatable {
    var type = ""
    var name = ""
    /// Where it serves; its registration socket where it names none.
    var endpoint = ""
    var versions: [String] = []

    init() {}

    /// `pluginregistration.PluginInfo`
    init(wire: [UInt8]) throws(SyntaxError) {
        try WireMessage.read(wire) { reader, number throws(SyntaxError) in
            switch number {
            case 1: type = try reader.string()
            case 2: name = try reader.string()
            case 3: endpoint = try reader.string()
            case 4: versions.append(try reader.string())
            default: return false
            }
            return true
        }
    }
}

/// What is done with plugins of one type.
protocol PluginHandler: Sendable {
    /// `DRAPlugin`, `CSIPlugin`.
    var type: String { get }
    /// Throwing tells the plugin why it cannot be used.
    func register(_ plugin: PluginInfo, socket: String) async throws
    func deregister(_ plugin: PluginInfo, socket: String) async
}

/// Reads protobuf messages field by field.
enum WireMessage {
    /// `take` returns false for a field that it does not know.
    static func read(_ bytes: [UInt8], _ take: (inout WireReader, Int) throws(SyntaxError) -> Bool) throws(SyntaxError) {
        var failure: SyntaxError?
        bytes.withUnsafeBytes { buffer in
            do throws(SyntaxError) { try read(WireReader(buffer), take) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    static func read(_ reader: WireReader, _ take: (inout WireReader, Int) throws(SyntaxError) -> Bool) throws(SyntaxError) {
        var reader = reader
        while let (number, type) = try reader.nextField() { if try !take(&reader, number) { try reader.skip(type) } }
    }
}

/// Follows the sockets by which plugins announce themselves in a directory: each is asked who it is and told what came of it;
/// one that is gone is let go of.
final class PluginRegistry: Sendable {
    private let directory: String
    private let handlers: [any PluginHandler]
    private let log: Logger
    /// Where a path that a plugin names is: the plugin is in a container, or believes to have the machine for itself.
    private let machinePath: @Sendable (String) -> String
    private struct Known: Sendable {
        let info: PluginInfo
        /// A socket made anew is another plugin's start.
        let inode: UInt64
    }
    private let known = Mutex<[String: Known]>([:])

    init(directory: String, handlers: [any PluginHandler], log: Logger, machinePath: @escaping @Sendable (String) -> String) {
        self.directory = directory
        self.handlers = handlers
        self.log = log
        self.machinePath = machinePath
    }

    /// Until cancelled.
    func run() async {
        let watch: FileWatch
        do {
            try FileSystem.makeDirectories(directory, mode: 0o750)
            watch = try FileWatch()
            try watch.add(directory, [.created, .deleted, .movedFrom, .movedTo])
        } catch { return log.error("plugins are not followed", metadata: ["directory": "\(directory)", "error": "\(error)"]) }
        defer { watch.close() }
        await withDiscardingTaskGroup { group in
            let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
            group.addTask {
                while (try? await watch.next()) == true { wake.yield() }
                wake.finish()
            }
            var backoff = Backoff(base: .milliseconds(500), limit: .seconds(30))
            wake.yield()
            for await _ in wakes {
                if await look() { backoff.reset() } else {
                    // A socket that nobody serves yet: the directory will not tell when somebody does.
                    let delay = backoff.next()
                    group.addTask {
                        try? await Task.sleep(for: delay)
                        wake.yield()
                    }
                }
            }
            group.cancelAll()
        }
    }

    /// False when a plugin should be asked again.
    private func look() async -> Bool {
        var sockets: [String: UInt64] = [:]
        for name in (try? FileSystem.list(directory)) ?? [] where !name.hasPrefix(".") {
            guard let status = try? FileSystem.status("\(directory)/\(name)"), status.kind == .socket else { continue }
            sockets["\(directory)/\(name)"] = status.inode
        }
        let before = known.withLock { $0 }
        for (path, plugin) in before where sockets[path] != plugin.inode {
            known.withLock { _ = $0.removeValue(forKey: path) }
            await handlers.first { $0.type == plugin.info.type }?.deregister(plugin.info, socket: path)
            log.info("plugin is gone", metadata: ["plugin": "\(plugin.info.name)"])
        }
        var isComplete = true
        for (path, inode) in sockets where before[path]?.inode != inode {
            do { try await register(path, inode) } catch {
                isComplete = false
                log.debug("plugin not registered", metadata: ["socket": "\(path)", "error": "\(error)"])
            }
        }
        return isComplete
    }

    private func register(_ path: String, _ inode: UInt64) async throws {
        let client = GRPCClient(unixPath: path, connectTimeout: .seconds(10))
        defer { client.close() }
        var info = try PluginInfo(wire: try await client.call("/pluginregistration.Registration/GetInfo", [], timeout: .seconds(10)))
        info.endpoint = info.endpoint.isEmpty ? path : machinePath(info.endpoint)
        do {
            guard let handler = handlers.first(where: { $0.type == info.type }) else { throw PluginRefusal("no handler registered for plugin type: \(info.type)") }
            try await handler.register(info, socket: path)
        } catch {
            var writer = WireWriter()
            writer.string(2, "\(error)")
            _ = try? await client.call("/pluginregistration.Registration/NotifyRegistrationStatus", writer.finish(), timeout: .seconds(10))
            // It has been told; what it does about it shows in its socket.
            known.withLock { $0[path] = Known(info: info, inode: inode) }
            log.warning("plugin refused", metadata: ["plugin": "\(info.name)", "error": "\(error)"])
            return
        }
        known.withLock { $0[path] = Known(info: info, inode: inode) }
        var writer = WireWriter()
        writer.varint(1, 1)
        _ = try await client.call("/pluginregistration.Registration/NotifyRegistrationStatus", writer.finish(), timeout: .seconds(10))
        log.info("plugin registered", metadata: ["plugin": "\(info.name)", "type": "\(info.type)"])
    }
}

/// Why a plugin cannot be used.
struct PluginRefusal: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

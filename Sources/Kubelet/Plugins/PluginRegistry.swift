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
    private struct State: Sendable {
        var known: [String: Known] = [:]
        /// Sockets that are being asked, by their paths: which ones they were.
        var asked: [String: UInt64] = [:]
    }
    private let state = Mutex(State())
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    init(directory: String, handlers: [any PluginHandler], log: Logger, machinePath: @escaping @Sendable (String) -> String) {
        self.directory = directory
        self.handlers = handlers
        self.log = log
        self.machinePath = machinePath
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
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
            group.addTask {
                while (try? await watch.next()) == true { self.wake.yield() }
                self.wake.finish()
            }
            wake.yield()
            for await _ in wakes { await look(&group) }
            group.cancelAll()
        }
    }

    private func sockets() -> [String: UInt64] {
        var sockets: [String: UInt64] = [:]
        for name in (try? FileSystem.list(directory)) ?? [] where !name.hasPrefix(".") {
            guard let status = try? FileSystem.status("\(directory)/\(name)"), status.kind == .socket else { continue }
            sockets["\(directory)/\(name)"] = status.inode
        }
        return sockets
    }

    private func look(_ group: inout DiscardingTaskGroup) async {
        let sockets = sockets()
        let before = state.withLock { $0.known }
        for (path, plugin) in before where sockets[path] != plugin.inode {
            state.withLock { _ = $0.known.removeValue(forKey: path) }
            await handlers.first { $0.type == plugin.info.type }?.deregister(plugin.info, socket: path)
            log.info("plugin is gone", metadata: ["plugin": "\(plugin.info.name)"])
        }
        for (path, inode) in sockets {
            let isNew = state.withLock { state in
                guard state.known[path]?.inode != inode, state.asked[path] != inode else { return false }
                state.asked[path] = inode
                return true
            }
            // One that does not answer keeps no other waiting.
            if isNew { group.addTask { await self.ask(path, inode) } }
        }
    }

    /// Until it has said who it is, or is not there any more: the directory will not tell when somebody begins to serve a socket.
    private func ask(_ path: String, _ inode: UInt64) async {
        var backoff = Backoff(base: .milliseconds(500), limit: .seconds(30))
        while !Task.isCancelled, (try? FileSystem.status(path))?.inode == inode {
            do {
                try await register(path, inode)
                break
            } catch {
                log.debug("plugin not registered", metadata: ["socket": "\(path)", "error": "\(error)"])
                try? await Task.sleep(for: backoff.next())
            }
        }
        state.withLock { if $0.asked[path] == inode { $0.asked[path] = nil } }
        // It may have gone before it was known, when nobody missed it.
        wake.yield()
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
            state.withLock { $0.known[path] = Known(info: info, inode: inode) }
            log.warning("plugin refused", metadata: ["plugin": "\(info.name)", "error": "\(error)"])
            return
        }
        state.withLock { $0.known[path] = Known(info: info, inode: inode) }
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

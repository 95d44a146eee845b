import APIServer
import Client
import Core
import Logging
import Machinery
import Schema
import Store
import Synchronization
import Testing
import Transport
import Tree

@testable import Kubelet

/// Plugins that announce themselves by sockets in a directory.
@Suite struct PluginTests {
    private final class Handler: PluginHandler {
        let type = "DRAPlugin"
        let seen = Mutex<[String]>([])
        func register(_ plugin: PluginInfo, socket: String) async throws { seen.withLock { $0.append("+\(plugin.name)") } }
        func deregister(_ plugin: PluginInfo, socket: String) async { seen.withLock { $0.append("-\(plugin.name)") } }

        func waits(for wanted: String) async throws {
            while !seen.withLock({ $0.contains(wanted) }) { try await Task.sleep(for: .milliseconds(5)) }
        }
    }

    private struct Serving: HTTPHandler {
        let body: @Sendable (HTTPExchange) async -> Void
        func handle(_ exchange: HTTPExchange) async { await body(exchange) }
    }

    /// Says that it is `name`; without one it never says anything.
    private static func plugin(_ path: String, _ name: String?) async throws -> HTTPServer {
        let server = HTTPServer(
            listeners: [.unix(path: path, mode: 0o600)],
            handler: Serving { exchange in
                guard let name else {
                    try? await Task.sleep(for: .seconds(600))
                    return
                }
                var writer = WireWriter()
                writer.string(4, "v1.DRAPlugin")
                writer.string(2, name)
                writer.string(1, "DRAPlugin")
                let message = writer.finish()
                exchange.start(status: 200, headers: ["content-type": "application/grpc"])
                try? await exchange.write([0, 0, 0, 0, UInt8(message.count)] + message)
                exchange.finish(trailers: ["grpc-status": "0"])
            })
        try await server.start()
        return server
    }

    @Test func onePluginThatDoesNotAnswerKeepsNoOtherWaiting() async throws {
        let directory = "/tmp/jangada-plugins-\(Identifier.suffix(6))"
        try FileSystem.makeDirectories(directory, mode: 0o700)
        let mute = try await Self.plugin("\(directory)/a.sock", nil)
        let handler = Handler()
        let registry = PluginRegistry(directory: directory, handlers: [handler], log: Logger(label: "test"), machinePath: { $0 })
        let work = Task { await registry.run() }
        let first = try await Self.plugin("\(directory)/b.sock", "b")
        try await handler.waits(for: "+b")
        let second = try await Self.plugin("\(directory)/c.sock", "c")
        try await handler.waits(for: "+c")
        try FileSystem.unlink("\(directory)/b.sock")
        try await handler.waits(for: "-b")
        #expect(handler.seen.withLock { $0 } == ["+b", "+c", "-b"])
        work.cancel()
        await work.value
        for server in [mute, first, second] { await server.shutdown(grace: .zero) }
        try FileSystem.removeTree(directory)
    }

    @Test func devicesHaveTheHealthThatTheirDriverTellsWhileItIsThere() async throws {
        let directory = "/tmp/jangada-plugins-\(Identifier.suffix(6))"
        try FileSystem.makeDirectories(directory, mode: 0o700)
        // {device: {pool_name: "p", device_name: "d"}, health: UNHEALTHY, message: "m"}; nothing more, and no end.
        let report: [UInt8] = [10, 13, 10, 6, 10, 1, 112, 18, 1, 100, 16, 2, 42, 1, 109]
        let server = HTTPServer(
            listeners: [.unix(path: "\(directory)/dra.sock", mode: 0o600)],
            handler: Serving { exchange in
                exchange.start(status: 200, headers: ["content-type": "application/grpc"])
                try? await exchange.write([0, 0, 0, 0, UInt8(report.count)] + report)
                try? await Task.sleep(for: .seconds(600))
            })
        try await server.start()
        let store = try Store(.memory)
        let catalog = ResourceCatalog(graph: Graph.builtIn)
        let writer = ObjectWriter(store: store, admission: AdmissionChain([]), conversion: BuiltInConversion(), checks: ObjectChecks())
        let client = InProcessClient(store: store, catalog: catalog, writer: writer, posts: [:], user: UserInfo(name: "one", groups: ["system:masters"]))
        let plugins = DriverPlugins(node: "one", client: client, log: Logger(label: "test"))
        let work = Task { await plugins.run() }
        var info = PluginInfo()
        info.name = "x"
        info.endpoint = "\(directory)/dra.sock"
        info.versions = ["v1.DRAPlugin"]
        var device = PreparedDevice()
        device.pool = "p"
        device.device = "d"
        var changes = plugins.healthChanges.makeAsyncIterator()
        try await plugins.register(info, socket: "s")
        #expect(await changes.next() == "x")
        #expect(plugins.health("x", device) == DeviceHealth(state: .unhealthy, message: "m"))
        await plugins.deregister(info, socket: "s")
        #expect(await changes.next() == "x")
        #expect(plugins.health("x", device).state == .unknown)
        work.cancel()
        await work.value
        await server.shutdown(grace: .zero)
        store.close()
        try FileSystem.removeTree(directory)
    }

    @Test(.enabled(if: NodeFixture.isPossible, "needs root")) func aNodeThatIsBelievedSilentSaysOtherwise() async throws {
        try await NodeFixture.with { fixture in
            try await fixture.running { _ in
                func node() async throws -> Node { try await fixture.client.get(.nodes, .init("", "one")) }
                func isReady() async throws -> Bool { try await node()["status"]["conditions"].list.contains { $0["type"] == "Ready" && $0["status"] == "True" } }
                while (try? await isReady()) != true { try await Task.sleep(for: .milliseconds(20)) }
                let doubt: Node = ["status": ["conditions": [["type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"]]]]
                _ = try await fixture.client.patch(.nodes, .init("", "one"), .strategic, doubt, subresource: "status")
                while try await !isReady() { try await Task.sleep(for: .milliseconds(20)) }
            }
        }
    }
}

import APIServer
import Client
import Controllers
import Core
import Glibc
import HostNetwork
import Linux
import Machinery
import Schema
import Store
import Testing
import Tree

@testable import Platform

let isRoot = geteuid() == 0
let needsRoot: Comment = "needs root, for network namespaces"

/// An API over a store in memory, which outlives the networks that are started on it.
final class TestAPI: Sendable {
    let store: Store
    let client: InProcessClient

    init(cidr: String = "10.96.0.0/16") async throws {
        store = try Store(.memory)
        let services = try #require(ServiceAllocation(cidr: cidr, store: store))
        let catalog = ResourceCatalog(graph: Graph.builtIn)
        let writer = ObjectWriter(store: store, admission: AdmissionChain([]), stages: ["services": services], conversion: BuiltInConversion(), checks: ObjectChecks())
        client = InProcessClient(store: store, catalog: catalog, writer: writer, posts: [:], user: UserInfo(name: "system:admin", groups: ["system:masters"]))
        for name in ["default", "kube-system"] {
            _ = try await client.create(.namespaces, namespace: "", ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(name)]])
        }
    }

    func make(_ resource: GroupVersionResource, _ yaml: String) async throws {
        let object = try YAMLReader.read(Array(yaml.utf8))
        _ = try await client.create(resource, namespace: "default", object)
    }

    func patch(_ resource: GroupVersionResource, _ name: String, _ yaml: String, subresource: String? = nil) async throws {
        _ = try await client.patch(resource, ObjectKey("default", name), .merge, YAMLReader.read(Array(yaml.utf8)), subresource: subresource)
    }

    func delete(_ resource: GroupVersionResource, _ name: String) async throws {
        _ = try await client.delete(resource, ObjectKey("default", name), DeleteOptions())
    }

    func close() { store.close() }

    func service(_ name: String) async -> Node? { try? await client.get(.services, ObjectKey("default", name)) }

    func eventReasons(_ name: String) async throws -> Set<String> {
        Set(try await client.list(.events, ListOptions(namespace: "default")).items.filter { $0["involvedObject"]["name"].string == name }.compactMap { $0["reason"].string })
    }
}

/// A namespace in the machine's place, so that nothing of the real machine is touched.
func makeHost() throws -> NetworkNamespace {
    let host = try NetworkNamespace.create()
    try host.run { () throws(SystemFailure) in try RouteNetlink().apply { $0.setLink(.name("lo"), up: true) } }
    return host
}

/// A whole network on an API, run while the body runs.
struct TestPlane: Sendable {
    let api: TestAPI
    let host: NetworkNamespace
    let boot: NetworkBoot
    let nodes: [NodeNetwork]

    static func run(
        _ api: TestAPI, _ host: NetworkNamespace, directory: String = "/tmp/jangada-boot-\(Identifier.suffix(8))", cluster: String = "jangada",
        serviceCIDR: String = "10.96.0.0/16", dns: String = "10.96.0.10", destroys: Bool = true,
        _ body: @escaping @Sendable (TestPlane) async throws -> Void
    ) async throws {
        var options = NetworkBoot.Options(directory: directory)
        options.host = host
        options.clusterName = cluster
        options.serviceCIDR = serviceCIDR
        options.dnsAddress = dns
        options.resolvers = ResolverFile(path: "/nonexistent")
        let view = ClusterView(client: api.client)
        let boot = try NetworkBoot(options, view: view)
        defer {
            #expect(throws: Never.self) {
                if destroys { try boot.destroy() } else { boot.close() }
            }
            if destroys { #expect((try? boot.leftovers()) == []) }
        }
        let nodes = [try boot.addNode("one", warmPods: 0), try boot.addNode("two", warmPods: 0)]
        let plane = TestPlane(api: api, host: host, boot: boot, nodes: nodes)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await view.run() }
            group.addTask { await boot.run() }
            defer { group.cancelAll() }
            try await body(plane)
        }
    }

    static func run(_ body: @escaping @Sendable (TestPlane) async throws -> Void) async throws {
        let api = try await TestAPI()
        defer { api.close() }
        try await run(api, makeHost(), body)
    }

    func pod(_ name: String, on node: Int, port: UInt16 = 8080) throws -> TestPod {
        let attachment = try nodes[node].pods.attach(name)
        let space = try NetworkNamespace.open(attachment.path)
        return TestPod(address: try #require(attachment.addresses.first), node: nodes[node].name, namespace: space, server: try NameServer(name, port: port, in: space))
    }
}

struct TestPod: Sendable {
    let address: IPAddress
    let node: String
    let namespace: NetworkNamespace
    let server: NameServer

    /// As an EndpointSlice has it, in YAML's flow form.
    var endpoint: String { "{addresses: ['\(address)'], conditions: {ready: true}, nodeName: \(node)}" }
}

/// Asks again until it holds; three minutes at most.
func eventually(_ what: Comment, _ location: SourceLocation = #_sourceLocation, _ condition: @Sendable () async throws -> Bool) async throws {
    for _ in 0..<9000 {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(20))
    }
    Issue.record(what, sourceLocation: location)
    throw CancellationError()
}

// MARK: - Sockets

private func withAddress<T>(_ address: IPAddress, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> T) -> T {
    var raw = sockaddr_in()
    raw.sin_family = sa_family_t(AF_INET)
    raw.sin_port = port.bigEndian
    raw.sin_addr.s_addr = address.v4.bigEndian
    return withUnsafePointer(to: &raw) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
}

private func open(_ kind: __socket_type, in namespace: NetworkNamespace) throws -> Int32 {
    try namespace.run { () throws(SystemFailure) in
        let descriptor = socket(AF_INET, Int32(kind.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SystemFailure("socket") }
        var on: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
        var limit = timeval(tv_sec: 2, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        return descriptor
    }
}

/// Answers every connection with its name until it is released.
final class NameServer: Sendable {
    private let descriptor: Int32
    private let thread: WorkerThread

    init(_ name: String, port: UInt16, in namespace: NetworkNamespace) throws {
        let descriptor = try open(SOCK_STREAM, in: namespace)
        self.descriptor = descriptor
        guard withAddress(IPAddress(v4: 0), port, { Glibc.bind(descriptor, $0, $1) }) == 0, listen(descriptor, 128) == 0 else { throw SystemFailure("listen", name) }
        thread = try WorkerThread(name: "server") {
            while true {
                let connection = accept(descriptor, nil, nil)
                if connection < 0 { return }
                let text = Array(name.utf8)
                _ = send(connection, text, text.count, Int32(MSG_NOSIGNAL))
                close(connection)
            }
        }
    }

    deinit {
        shutdown(descriptor, Int32(SHUT_RDWR))
        thread.join()
        close(descriptor)
    }
}

private func exchange(_ kind: __socket_type, _ namespace: NetworkNamespace, _ address: IPAddress, _ port: UInt16, _ question: [UInt8]) throws -> [UInt8]? {
    let descriptor = try open(kind, in: namespace)
    defer { close(descriptor) }
    guard withAddress(address, port, { Glibc.connect(descriptor, $0, $1) }) == 0 else { return nil }
    var limit = timeval(tv_sec: 2, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    if !question.isEmpty { _ = send(descriptor, question, question.count, Int32(MSG_NOSIGNAL)) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = recv(descriptor, &bytes, bytes.count, 0)
    return count > 0 ? Array(bytes[..<count]) : nil
}

/// Who answers there; "" where nobody does.
func ask(_ namespace: NetworkNamespace, _ address: IPAddress, _ port: UInt16) async throws -> String {
    let answer = try await BlockingThreads.shared.run { () throws in try exchange(SOCK_STREAM, namespace, address, port, []) }
    return answer.map { String(decoding: $0, as: UTF8.self) } ?? ""
}

/// A DNS answer's bytes.
func question(_ namespace: NetworkNamespace, _ question: [UInt8]) async throws -> [UInt8]? {
    try await BlockingThreads.shared.run { () throws in try exchange(SOCK_DGRAM, namespace, IPAddress(10, 96, 0, 10), 53, question) }
}

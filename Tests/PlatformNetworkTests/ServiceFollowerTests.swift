import Client
import Core
import Machinery
import Synchronization
import Testing
import Tree

@testable import Platform

/// Remembers what it was told; refuses when asked to.
private final class Memory: ServiceSink {
    struct State {
        var present: Set<String> = []
        var applications = 0
        var replacements = 0
        var refusals = 0
    }
    let name = "memory"
    let state = Mutex(State())

    func replace(with all: [ServiceSnapshot]) throws(SystemFailure) {
        state.withLock { state in
            state.replacements += 1
            state.present = Set(all.map(\.key.name))
        }
    }

    func apply(_ changes: [ServiceSnapshot]) throws(SystemFailure) {
        let isRefused = state.withLock { state in
            if state.refusals > 0 {
                state.refusals -= 1
                return true
            }
            state.applications += 1
            for change in changes {
                if change.service == nil { state.present.remove(change.key.name) } else { state.present.insert(change.key.name) }
            }
            return false
        }
        if isRefused { throw SystemFailure("commit", "memory", errno: 16) }
    }
}

@Suite struct ServiceFollowerTests {
    private func run(_ body: @escaping @Sendable (TestAPI, Memory) async throws -> Void) async throws {
        let api = try await TestAPI()
        defer { api.close() }
        try await api.make(.services, "{metadata: {name: first}, spec: {clusterIP: None, ports: [{port: 80}]}}")
        let (view, sink) = (ClusterView(client: api.client), Memory())
        let follower = ServiceFollower(sink, view: view)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await view.run() }
            group.addTask { await follower.run() }
            defer { group.cancelAll() }
            try await eventually("begins with all") { sink.state.withLock { $0.replacements == 1 && $0.present == ["first"] } }
            try await body(api, sink)
        }
    }

    @Test func burstsGoTogether() async throws {
        try await run { api, sink in
            for index in 0..<200 { try await api.make(.services, "{metadata: {name: s\(index)}, spec: {clusterIP: None, ports: [{port: 80}]}}") }
            try await api.delete(.services, "first")
            try await eventually("all are told") { sink.state.withLock { $0.present.count == 200 && !$0.present.contains("first") } }
            #expect(sink.state.withLock { $0.applications } < 150, "not one application a change")
            #expect(sink.state.withLock { $0.replacements } == 1)
        }
    }

    @Test func aRefusalIsMadeGoodByTellingAll() async throws {
        try await run { api, sink in
            sink.state.withLock { $0.refusals = 1 }
            try await api.make(.services, "{metadata: {name: second}, spec: {clusterIP: None, ports: [{port: 80}]}}")
            try await eventually("told anew") { sink.state.withLock { $0.replacements == 2 && $0.present == ["first", "second"] } }
            try await api.delete(.services, "second")
            try await eventually("and on by differences") { sink.state.withLock { $0.present == ["first"] && $0.applications > 0 } }
            #expect(sink.state.withLock { $0.replacements } == 2)
        }
    }
}

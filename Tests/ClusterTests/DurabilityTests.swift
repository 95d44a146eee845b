import Core
import Glibc
import Testing
import Tree

/// SIGKILL in the middle of many concurrent writes over HTTPS, again and again on the same state. `JANGADA_CRASH_ROUNDS` and
/// `JANGADA_CRASH_WRITES` make it longer: 50 and 10000 are what is promised.
@Suite(.enabled(if: TestCluster.isPossible)) struct DurabilityTests {
    private static func number(_ variable: String, _ otherwise: Int) -> Int { getenv(variable).flatMap { Int(String(cString: $0)) } ?? otherwise }

    @Test func aServerKilledAmidWritesLosesNothingAcknowledgedAndRepeatsNothing() async throws {
        let rounds = Self.number("JANGADA_CRASH_ROUNDS", 2)
        let writes = Self.number("JANGADA_CRASH_WRITES", 1000)
        try await TestCluster.with { cluster in
            try await cluster.succeed("up")
            var reached: Int64 = 0
            for round in 0..<rounds {
                let fate = Int.random(in: 1...writes)
                let ledger = try await CrashRound(number: round, writes: writes, dies: fate, cluster: cluster, reached: reached).run()
                #expect(ledger.acknowledged >= min(fate, 10))
                reached = ledger.highest
                print("round \(round + 1) of \(rounds): \(ledger.said), revision \(reached)")
            }
        }
    }
}

/// One life of a server: 200 writers until it is killed, then what is found by the next.
private struct CrashRound {
    let number: Int
    let writes: Int
    /// The server dies when so many writes were acknowledged.
    let dies: Int
    let cluster: TestCluster
    /// What revisions had come to when the life began.
    let reached: Int64

    private static let path = "/api/v1/namespaces/default/configmaps"
    private static let ours = "?labelSelector=crash"

    func run() async throws -> CrashLedger {
        let api = try cluster.api
        let begin = try await list(api).revision
        #expect(begin >= reached)
        let history = Monitor(CrashHistory(last: begin))
        let ledger = Monitor(CrashLedger())
        let count = Monitor(0)
        let follower = Task { await follow(api, history) }
        await withTaskGroup(of: Void.self) { group in
            for writer in 0..<200 { group.addTask { await write(writer, api, count, ledger) } }
            group.addTask {
                while ledger.withLock({ $0.acknowledged < dies && !$0.isOver }) { try? await Task.sleep(for: .milliseconds(1)) }
                try? await cluster.killDaemon()
            }
        }
        await follower.value
        try await cluster.succeed("up")
        let next = try cluster.api
        let found = try await list(next)
        try await catchUp(next, history)
        var result = ledger.withLock { $0 }
        result.check(found, history.withLock { $0 }, begin: begin)
        try await next.send("DELETE", Self.path + Self.ours)
        return result
    }

    /// Creates, changes and deletes objects of its own until the server is gone or all is written.
    private func write(_ writer: Int, _ api: TestAPI, _ count: Monitor<Int>, _ ledger: Monitor<CrashLedger>) async {
        var own: (name: String, uid: String)?
        var step = 0
        while true {
            let index = count.change { count in
                defer { count += 1 }
                return count
            }
            guard index < writes else { return ledger.change { $0.isOver = true } }
            let token = "t\(number)-\(index)"
            step += 1
            do {
                if let (name, uid) = own, step % 5 == 4 {
                    ledger.change { $0.open[token] = .init(uid: uid, isDeletion: true) }
                    try await api.send("DELETE", "\(Self.path)/\(name)")
                    ledger.change { $0.acknowledge(token, uid: uid, revision: nil) }
                    own = nil
                } else if let (name, uid) = own {
                    ledger.change { $0.open[token] = .init(uid: uid, isDeletion: false) }
                    let object = try await api.send("PATCH", "\(Self.path)/\(name)", "{data: {token: \(token)}}", type: "application/merge-patch+json")
                    ledger.change { $0.acknowledge(token, uid: uid, revision: CrashHistory.revision(object)) }
                } else {
                    ledger.change { $0.open[token] = .init(uid: "", isDeletion: false) }
                    let object = try await api.send(
                        "POST", Self.path, "{apiVersion: v1, kind: ConfigMap, metadata: {generateName: crash-, labels: {crash: writes}}, data: {token: \(token)}}")
                    let uid = object["metadata"]["uid"].string ?? ""
                    own = (object["metadata"]["name"].string ?? "", uid)
                    ledger.change { $0.acknowledge(token, uid: uid, revision: CrashHistory.revision(object)) }
                }
            } catch let refused as TestAPI.Refused {
                // Told that nothing was done; 503 while the server ends.
                ledger.change { $0.refuse(token, refused) }
            } catch {
                return
            }
        }
    }

    /// Keeps what a watcher sees until the server is gone.
    private func follow(_ api: TestAPI, _ history: Monitor<CrashHistory>) async {
        while !Task.isCancelled {
            let from = history.withLock { $0.last }
            do {
                try await api.watch("\(Self.path)\(Self.ours)&watch=1&resourceVersion=\(from)") { event in
                    history.change { $0.add(event) }
                    return true
                }
            } catch is TestAPI.Refused {
                continue
            } catch {
                // Broken off: the watch, or the server with it.
                guard cluster.daemon != nil else { return }
            }
        }
    }

    /// The same watcher goes on with the next server where it stood.
    private func catchUp(_ api: TestAPI, _ history: Monitor<CrashHistory>) async throws {
        let name = "crash-end-\(number)"
        try await api.send("POST", Self.path, "{apiVersion: v1, kind: ConfigMap, metadata: {name: \(name), labels: {crash: end}}}")
        let from = history.withLock { $0.last }
        try await api.watch("\(Self.path)\(Self.ours)&watch=1&resourceVersion=\(from)") { event in
            history.change { $0.add(event) }
            return event["object"]["metadata"]["name"].string != name
        }
    }

    private func list(_ api: TestAPI) async throws -> (revision: Int64, items: [Node]) {
        let list = try await api.get(Self.path + Self.ours)
        return (CrashHistory.revision(list), list["items"].list)
    }
}

/// What one watcher was told over two servers.
private struct CrashHistory {
    struct Event { let kind: String, uid: String, token: String, revision: Int64 }

    private(set) var last: Int64
    private(set) var events: [Event] = []

    init(last: Int64) { self.last = last }

    static func revision(_ object: Node) -> Int64 { object["metadata"]["resourceVersion"].string.flatMap(Int64.init) ?? -1 }

    mutating func add(_ event: Node) {
        let object = event["object"]
        let revision = CrashHistory.revision(object)
        let kind = event["type"].string ?? ""
        #expect(kind != "ERROR" && revision > last, "\(kind) \(revision) after \(last): \(object["message"].string ?? "")")
        last = revision
        events.append(Event(kind: kind, uid: object["metadata"]["uid"].string ?? "", token: object["data"]["token"].string ?? "", revision: revision))
    }
}

/// What the writers of one life were promised, and what they do not know.
private struct CrashLedger {
    struct Write { var uid: String, isDeletion: Bool }

    /// Sent and not answered.
    var open: [String: Write] = [:]
    /// Acknowledged writes by token; a deletion has no revision.
    private var kept: [String: (uid: String, revision: Int64?)] = [:]
    private var refused: Set<String> = []
    private(set) var highest: Int64 = 0
    var isOver = false
    private var seen = 0

    var acknowledged: Int { kept.count }
    var said: String { "\(acknowledged) acknowledged, \(open.count) without an answer, \(refused.count) refused, \(seen) events" }

    mutating func acknowledge(_ token: String, uid: String, revision: Int64?) {
        open[token] = nil
        kept[token] = (uid, revision)
    }

    mutating func refuse(_ token: String, _ why: TestAPI.Refused) {
        #expect(why.status == 503 || why.status == 429, "\(why)")
        open[token] = nil
        refused.insert(token)
    }

    mutating func check(_ found: (revision: Int64, items: [Node]), _ history: CrashHistory, begin: Int64) {
        seen = history.events.count
        highest = max(found.revision, history.last)
        var written: [String: [CrashHistory.Event]] = [:]
        var deleted: [String: Int] = [:]
        var state: [String: CrashHistory.Event] = [:]
        for event in history.events {
            if event.kind == "DELETED" {
                deleted[event.uid, default: 0] += 1
                state[event.uid] = nil
            } else {
                written[event.token, default: []].append(event)
                if !event.token.isEmpty { state[event.uid] = event }
            }
        }
        let inDoubt = Set(open.values.filter(\.isDeletion).map(\.uid))
        for (token, write) in kept {
            guard let revision = write.revision else {
                #expect(deleted[write.uid] == 1, "deletion \(token) is lost or came twice")
                continue
            }
            #expect(revision > begin && revision <= found.revision, "\(token) at \(revision): the server before had \(begin), the next has \(found.revision)")
            let events = written[token] ?? []
            #expect(events.map(\.revision) == [revision], "\(token), acknowledged at \(revision), was written at \(events.map(\.revision))")
        }
        for token in open.keys { #expect((written[token] ?? []).count <= 1, "\(token) was written twice") }
        for token in refused { #expect(written[token] == nil, "\(token) was refused and written") }
        for uid in deleted.keys where !inDoubt.contains(uid) {
            #expect(kept.values.contains { $0.uid == uid && $0.revision == nil }, "\(uid) was deleted by nobody")
        }
        // What is listed is what the events made, object by object.
        let listed = Dictionary(found.items.map { ($0["metadata"]["uid"].string ?? "", CrashHistory.revision($0)) }) { first, _ in
            Issue.record("an object is listed twice")
            return first
        }
        #expect(listed == state.mapValues(\.revision))
    }
}

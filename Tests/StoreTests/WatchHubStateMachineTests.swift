import Testing

@testable import Store

/// Scripts of the hub: each line is an event or a check.
///
///     sub A pods [n=NAMESPACE] [m=NAME] [replay=N] [limit=N]   subscribe
///     replayed A → what the machine tells the replaying thread
///     commit 5 pods/default/x, 6 nodes//y → the actions, in order of the subscriber's name
///     drain A 2, cancel A, close → actions, live A → true or false
@Suite struct WatchHubStateMachineTests {
    struct Script: Sendable, CustomTestStringConvertible {
        let title: String
        let lines: [String]
        var testDescription: String { title }
        init(_ title: String, _ lines: String...) {
            self.title = title
            self.lines = lines
        }
    }

    @Test(arguments: scripts) func script(_ script: Script) throws {
        var machine = WatchHubStateMachine<String>(revision: 0)
        var ids: [String: Int] = [:]
        for line in script.lines {
            let sides = line.split(separator: "→", maxSplits: 1).map { $0.trimming() }
            let words = sides[0].split(separator: " ").map(String.init)
            let expected = sides.count > 1 ? sides[1] : nil
            let name = words.count > 1 ? words[1] : ""
            let id = ids[name] ?? -1
            var result = ""
            switch words[0] {
            case "sub":
                func option(_ key: String) -> String? {
                    words.first { $0.hasPrefix(key + "=") }.map { String($0.dropFirst(key.count + 1)) }
                }
                let interest = WatchInterest(words[2], namespace: option("n"), name: option("m"))
                let id = machine.subscribed(
                    name, interest, replay: Int(option("replay") ?? "0") ?? 0, limit: Int(option("limit") ?? "100") ?? 100)
                ids[name] = id
                result = id == nil ? "refused" : "ok"
            case "replayed":
                result =
                    switch machine.replayed(id) {
                    case .deliver(let batch): "deliver \(batch.text)"
                    case .live: "live"
                    case .end(let reason): "end \(reason)"
                    case .gone: "gone"
                    }
            case "commit":
                let events = try sides[0].dropFirst(6).split(separator: ",").map { try event($0.trimming()) }
                result = machine.committed(events, revision: events[events.count - 1].revision).text
            case "drain": machine.drained(id, Int(words[2]) ?? 0)
            case "cancel": result = "\(machine.cancelled(id))"
            case "close": result = machine.closed().text
            case "live": result = "\(machine.isLive(id))"
            case "count": result = "\(machine.count)"
            default: Issue.record("unknown line \(line)")
            }
            if let expected { #expect(result == expected, "\(line)") }
        }
    }

    private func event(_ text: String) throws -> WatchEvent {
        let parts = text.split(separator: " ")
        let path = parts[1].split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let revision = try #require(Int64(parts[0]))
        let record = Record(
            key: Key(path[0], namespace: path[1], name: path[2]), revision: revision, createRevision: revision, isDeletion: false,
            body: [], header: [])
        return WatchEvent(record: record, previous: nil)
    }
}

extension StringProtocol {
    fileprivate func trimming() -> String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}

extension WatchBatch {
    fileprivate var text: String { events.map { "\($0.revision)" }.joined(separator: "+") + "@\(revision)" }
}

extension [WatchHubStateMachine<String>.Action] {
    fileprivate var text: String {
        map { action in
            switch action {
            case .deliver(let handle, let batch): "\(handle):\(batch.text)"
            case .end(let handle, let reason): "\(handle):\(reason)"
            }
        }.sorted().joined(separator: " ")
    }
}

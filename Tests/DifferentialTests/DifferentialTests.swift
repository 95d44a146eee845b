import Core
import Differential
import DifferentialBare
import Testing
import Tree

/// The answers of upstream v1.36 to some thousand requests are in `Tests/Differential/Answers`: named requests with their
/// message, swept ones by a digest. What still differs is listed in `known-differences.txt`; nothing else may.
/// One file after the other: each keeps a processor busy by itself.
@Suite(.serialized) struct DifferentialTests {
    private static let folder = String(#filePath.dropLast("DifferentialTests/DifferentialTests.swift".count)) + "Differential"

    private static let known: Set<String> = {
        let bytes = (try? FileSystem.readFile("\(folder)/Answers/known-differences.txt")) ?? []
        return Set(String(decoding: bytes, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init))
    }()

    private static let files: [String] = {
        func names(_ folder: String, _ ending: String) -> [String] {
            ((try? FileSystem.list(folder)) ?? []).filter { $0.hasSuffix(ending) }.sorted().map { "\(folder)/\($0)" }
        }
        let sweeps = names("\(folder)/Requests", ".sweep")
        let all = sweeps + sweeps.map { "lifecycle:\($0)" } + names("\(folder)/Scripts", ".script")
        // What upstream was not asked yet cannot be compared.
        return all.filter { file in (try? Asking(file)).map { FileSystem.exists($0.answersPath) } ?? true }
    }()

    @Test(arguments: files)
    func answersAreThoseOfUpstream(_ file: String) async throws {
        let directory = "/tmp/jangada-differential-\(Identifier.uuid())"
        let cluster = try await BareCluster(directory: directory)
        let server = try Server(cluster.kubeconfig)
        try await Asking.prepare(server)
        let asking = try Asking(file)
        let recorded = try AnswerFile.read(asking.answersPath)
        let answers = try await asking.answers(server)
        server.close()
        await cluster.stop()
        try FileSystem.removeTree(directory)
        let given = Dictionary(answers.map { ($0.name, $0.answer) }) { first, _ in first }
        for expected in recorded where !Self.known.contains(expected.name) && expected.code != 0 {
            guard let answer = given[expected.name] else {
                Issue.record("\(expected.name): no such request; record the answers anew")
                continue
            }
            #expect(
                answer.digest == expected.digest && answer.code == expected.code,
                "\(expected.name): \(answer.code) \(answer.message ?? String(answer.body.jsonText.prefix(2000))) instead of \(expected.code) \(expected.message)")
        }
        let names = Set(recorded.map(\.name))
        for answer in answers where !names.contains(answer.name) && !Self.known.contains(answer.name) {
            Issue.record("\(answer.name): not asked of upstream, or more than it has")
        }
    }
}

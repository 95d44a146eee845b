import Core
import Differential
import Testing
import Transport
import Tree

/// The answers of upstream v1.36 to some thousand requests are in `Tests/Differential/Answers`: named requests with their
/// message, swept ones by a digest. What still differs is listed in `known-differences.txt`; nothing else may.
@Suite struct DifferentialTests {
    private static let folder = String(#filePath.dropLast("APIServerTests/DifferentialTests.swift".count)) + "Differential"

    private static let known: Set<String> = {
        let bytes = (try? FileSystem.readFile("\(folder)/Answers/known-differences.txt")) ?? []
        return Set(String(decoding: bytes, as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }.map(String.init))
    }()

    @Test(arguments: ["workloads", "core", "policy"])
    func answersAreThoseOfUpstream(_ file: String) async throws {
        let fixture = try await ServerFixture()
        try await Self.prepare(fixture)
        let requests = try RequestFile.read("\(Self.folder)/Requests/\(file).sweep")
        let recorded = try AnswerFile.read("\(Self.folder)/Answers/\(file).txt")
        try #require(requests.map(\.name) == recorded.map(\.name), "record the answers anew")
        let answers = try await Self.answers(to: requests, fixture)
        for (index, request) in requests.enumerated() where !Self.known.contains(request.name) {
            let (answer, expected) = (answers[index], recorded[index])
            // Upstream broke off the connection.
            if expected.code == 0 { continue }
            #expect(
                answer.digest == expected.digest && answer.code == expected.code,
                "\(request.name): \(answer.code) \(answer.message ?? answer.body.jsonText) instead of \(expected.code) \(expected.message)")
        }
        await fixture.stop()
    }

    /// What the recording server had.
    private static func prepare(_ fixture: ServerFixture) async throws {
        _ = try await fixture.send("POST", "/api/v1/namespaces", #"{"metadata": {"name": "other"}}"#)
        for namespace in ["default", "other"] {
            _ = try await fixture.send("POST", "/api/v1/namespaces/\(namespace)/serviceaccounts", #"{"metadata": {"name": "default"}}"#)
        }
    }

    private static func answers(to requests: [Request], _ fixture: ServerFixture) async throws -> [Answer] {
        let lanes = 8
        return try await withThrowingTaskGroup(of: [(Int, Answer)].self) { group in
            for lane in 0..<lanes {
                group.addTask {
                    var out: [(Int, Answer)] = []
                    for index in stride(from: lane, to: requests.count, by: lanes) { out.append((index, try await fixture.answer(to: requests[index]))) }
                    return out
                }
            }
            var all = [Answer?](repeating: nil, count: requests.count)
            for try await part in group { for (index, answer) in part { all[index] = answer } }
            return all.compactMap { $0 }
        }
    }
}

extension ServerFixture {
    fileprivate func answer(to request: Request) async throws -> Answer {
        var headers = HTTPHeaders()
        for (name, value) in request.headers { headers.append(name, value) }
        let answer = try await client.send(
            HTTPClientRequest(
                request.method, HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: server.port ?? 0), request.path, headers: headers,
                body: .bytes(JSONWriter.write(request.body))))
        return Answer(code: answer.status, warnings: answer.headers.values("warning"), body: try await answer.body())
    }
}

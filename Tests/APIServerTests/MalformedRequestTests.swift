@testable import APIServer
import Core
import Machinery
import Testing
import Tree

/// `Fixtures/malformed-requests.json` holds requests, a line each and in order, with what upstream v1.36 answered to them.
@Suite struct MalformedRequestTests {
    private static let folder = String(#filePath.dropLast("MalformedRequestTests.swift".count)) + "Fixtures"

    @Test func everyMalformedRequestIsAnsweredInUpstreamsWords() async throws {
        let fixture = try await ServerFixture()
        let cases = try JSONReader.read(try FileSystem.readFile("\(Self.folder)/malformed-requests.json")).list
        #expect(cases.count > 40)
        for item in cases {
            let name = item["name"].string ?? ""
            let (code, answer) = try await fixture.send(
                item["method"].string ?? "", item["path"].string ?? "", item["body"].string, type: item["contentType"].string ?? "",
                accept: item["accept"].string)
            #expect(Int64(code) == item["code"].int, "\(name)")
            guard code >= 300 else { continue }
            let message = answer.string ?? answer["message"].string ?? ""
            #expect(Self.withoutIdentifiers(message) == item["message"].string, "\(name)")
            #expect(answer["reason"].string ?? "" == item["reason"].string, "\(name)")
            if item.has("details") { #expect(answer["details"] == item["details"], "\(name)") }
        }
        await fixture.stop()
    }

    @Test func theLogQuotesNothingOfSecrets() {
        let error = APIError.internalError("unknown patch type: x in map: map[data:map[password:aHVudGVyMg==]]")
        func told(_ path: String) -> String { APIServer.told(error, of: RequestInfo(method: "PATCH", path: path) { _ in nil }) }
        #expect(!told("/api/v1/namespaces/default/secrets/s").contains("aHVudGVyMg"))
        #expect(told("/api/v1/namespaces/default/configmaps/s") == error.message)
        let long = APIError.internalError(String(repeating: "x", count: 100_000))
        #expect(APIServer.told(long, of: RequestInfo(method: "GET", path: "/api") { _ in nil }).count == 501)
    }

    /// Identifiers differ with each run: `UID` stands for them.
    private static func withoutIdentifiers(_ text: String) -> String {
        text.replacing(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/, with: "UID")
    }
}

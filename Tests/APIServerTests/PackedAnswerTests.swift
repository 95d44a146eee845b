import APIServer
import Core
import Machinery
import Schema
import Testing
import Transport
import Tree

@testable import OCI

/// Long answers are packed with gzip for who takes that, and say the same.
@Suite struct PackedAnswerTests {
    private static let path = "/api/v1/namespaces/default/configmaps"

    private func fetch(_ fixture: ServerFixture, _ path: String, encoding: String? = nil, accept: String = "application/json") async throws -> (HTTPHeaders, [UInt8]) {
        var headers: HTTPHeaders = ["accept": accept]
        if let encoding { headers.append("accept-encoding", encoding) }
        let answer = try await fixture.client.send(HTTPClientRequest("GET", HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: fixture.server.port ?? 0), path, headers: headers))
        return (answer.headers, try await answer.body())
    }

    private func unpacked(_ bytes: [UInt8]) throws -> [UInt8] {
        let source = try GzipSource(MemorySource(bytes))
        var out: [UInt8] = []
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            let count = try source.read(into: buffer)
            if count == 0 { return out }
            out += buffer[..<count]
        }
    }

    private func create(_ fixture: ServerFixture, _ numbers: Range<Int>) async throws {
        for number in numbers {
            _ = try await fixture.inside.create(
                .init(group: "", version: "v1", resource: "configmaps"), namespace: "default",
                ["kind": "ConfigMap", "apiVersion": "v1", "metadata": ["name": .string("c\(number)"), "labels": ["part": .string("\(number % 3)")]], "data": ["text": .string("\(number) " + String(repeating: "é\(number % 7)", count: 200))]])
        }
    }

    @Test func aLongListIsPackedAndSaysTheSame() async throws {
        let fixture = try await ServerFixture()
        try await create(fixture, 0..<20)
        let (short, _) = try await fetch(fixture, Self.path, encoding: "gzip")
        #expect(short["content-encoding"] == nil && short["vary"] == nil)
        try await create(fixture, 20..<500)
        // The second time from what was kept; then with one changed, one gone and one new.
        for round in 0..<4 {
            if round == 2 {
                _ = try await fixture.send("PATCH", Self.path + "/c250", "{\"data\":{\"text\":\"other\"}}", type: "application/merge-patch+json")
                _ = try await fixture.send("DELETE", Self.path + "/c77")
                try await create(fixture, 1000..<1001)
            }
            for query in ["", "?labelSelector=part%3D1", "?limit=450", "?pretty=true"] {
                for accept in ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/json;as=Table;v=v1;g=meta.k8s.io"] {
                    let plain = try await fetch(fixture, Self.path + query, accept: accept)
                    let packed = try await fetch(fixture, Self.path + query, encoding: "deflate, gzip", accept: accept)
                    #expect(plain.0["content-encoding"] == nil)
                    guard plain.1.count > 128 << 10 else {
                        #expect(packed.0["content-encoding"] == nil)
                        continue
                    }
                    #expect(packed.0["content-encoding"] == "gzip" && packed.0["vary"] == "Accept-Encoding")
                    #expect(packed.1.count < plain.1.count / 4)
                    // Ages are told in tables.
                    if !accept.contains("Table") { #expect(try unpacked(packed.1) == plain.1, "\(query) \(accept)") }
                }
            }
        }
        let (declined, body) = try await fetch(fixture, Self.path, encoding: "identity, br")
        #expect(declined["content-encoding"] == nil && body.first == 0x7B)
        await fixture.stop()
    }

    @Test func nobodyAsksForTheHeadOfAResource() async throws {
        let fixture = try await ServerFixture()
        for path in [Self.path, Self.path + "?watch=1", Self.path + "/a"] {
            for method in ["HEAD", "OPTIONS"] {
                let (code, _) = try await fixture.send(method, path)
                #expect(code == 405)
                // The connection is good for what follows.
                #expect(try await fixture.send("GET", Self.path).0 == 200)
            }
        }
        #expect(try await fixture.send("HEAD", "/healthz").0 == 200)
        await fixture.stop()
    }
}

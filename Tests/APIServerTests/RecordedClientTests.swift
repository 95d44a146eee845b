import APIServer
import Core
import Machinery
import Schema
import Store
import Testing
import Transport
import Tree

/// Requests as unchanged clients sent them: kubectl, a controller-runtime program, upstream's kubelet.
@Suite struct RecordedClientTests {
    private static let boats = """
        {"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"boats.toys.example.com"},
         "spec":{"group":"toys.example.com","scope":"Namespaced","names":{"plural":"boats","singular":"boat","kind":"Boat","listKind":"BoatList"},
          "versions":[
           {"name":"v1","served":true,"storage":true,
            "subresources":{"status":{},"scale":{"specReplicasPath":".spec.sails","statusReplicasPath":".status.ready"}},
            "schema":{"openAPIV3Schema":{"type":"object","properties":{
             "spec":{"type":"object","properties":{"sails":{"type":"integer"}},"x-kubernetes-validations":[{"rule":"self.sails >= 0","message":"no negative sails"}]},
             "status":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}}},
           {"name":"v2","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}},
           {"name":"v3beta1","served":true,"storage":false,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}
        """

    private func withServer(_ body: (ServerFixture) async throws -> Void) async throws {
        let fixture = try await ServerFixture()
        do { try await body(fixture) } catch {
            await fixture.stop()
            throw error
        }
        await fixture.stop()
    }

    @Test func clientsAreOfferedTheNewestReleasedVersionFirst() async throws {
        try await withServer { fixture in
            #expect(try await fixture.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", Self.boats).0 == 201)
            let group = try await fixture.answer("/apis/toys.example.com") { code, _ in code == 200 }
            #expect(group["versions"].list.compactMap { $0["version"].string } == ["v2", "v1", "v3beta1"])
            #expect(group["preferredVersion"]["version"].string == "v2")
        }
    }

    @Test func thePlacesOfScaleAreCheckedOnEveryWrite() async throws {
        try await withServer { fixture in
            #expect(try await fixture.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", Self.boats).0 == 201)
            let path = "/apis/toys.example.com/v1/namespaces/default/boats"
            _ = try await fixture.answer(path) { code, _ in code == 200 }
            func boat(_ rest: String) -> String { #"{"apiVersion":"toys.example.com/v1","kind":"Boat","metadata":{"name":"b"},\#(rest)}"# }
            let (code, answer) = try await fixture.send("POST", path, boat(#""spec":{"sails":-1}"#))
            #expect(code == 422)
            #expect(
                answer["message"].string
                    == #"Boat.toys.example.com "b" is invalid: [.spec.sails: Invalid value: -1: should be a non-negative integer, spec: Invalid value: no negative sails]"#)
            let large = try await fixture.send("POST", path, boat(#""spec":{"sails":3000000000}"#)).1
            #expect(large["message"].string?.hasSuffix(".spec.sails: Invalid value: 3000000000: should be less than or equal to 2147483647") == true)
            #expect(try await fixture.send("POST", path, boat(#""spec":{"sails":2}"#)).0 == 201)
            let (refused, why) = try await fixture.send(
                "PATCH", "\(path)/b/status", #"{"status":{"ready":"two"}}"#, type: "application/merge-patch+json")
            #expect(refused == 422)
            #expect(why["message"].string?.contains(".status.ready accessor error: two is of the type string, expected int64") == true)
        }
    }

    @Test func whoAsksForACertificateIsSaidByTheServerAlone() async throws {
        try await withServer { fixture in
            let request = try CertificateRequestText.pem()
            let body = """
                {"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"generateName":"csr-"},
                 "spec":{"request":"\(request)","signerName":"kubernetes.io/kube-apiserver-client-kubelet","usages":["digital signature","client auth"],
                  "username":"system:node:other","groups":["system:masters"],"uid":"x","extra":{"a":["b"]}}}
                """
            let (code, made) = try await fixture.send("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", body)
            #expect(code == 201)
            #expect(made["spec"]["username"].string == "admin")
            #expect(made["spec"]["groups"].stringList == ["system:masters", "system:authenticated"])
            #expect(made["spec"]["uid"].isEmpty)
            #expect(made["spec"]["extra"].isEmpty)
        }
    }

    @Test func aTokenInASecretIsGoodAsLongAsTheSecretHoldsIt() async throws {
        try await withServer { fixture in
            let tokens = ServiceAccountTokens(key: try PrivateKey(.ecdsaP256), store: fixture.store)
            let work = Task { await AccountTokenSecrets(client: fixture.inside, tokens: tokens, authority: Array("PEM".utf8)).run() }
            defer { work.cancel() }
            let base = "/api/v1/namespaces/default"
            #expect(try await fixture.send("POST", "\(base)/serviceaccounts", #"{"metadata":{"name":"robot"}}"#).0 == 201)
            let secret = #"{"metadata":{"name":"key","annotations":{"kubernetes.io/service-account.name":"robot"}},"type":"kubernetes.io/service-account-token"}"#
            #expect(try await fixture.send("POST", "\(base)/secrets", secret).0 == 201)
            let filled = try await fixture.answer("\(base)/secrets/key") { _, secret in !secret["data"]["token"].isEmpty }
            let token = String(decoding: Base64.decode(filled["data"]["token"].string ?? "") ?? [], as: UTF8.self)
            #expect(filled["data"]["ca.crt"].string == Base64.encode(Array("PEM".utf8)))
            #expect(filled["data"]["namespace"].string == Base64.encode(Array("default".utf8)))
            let known = tokens.user(of: token, audiences: [ServiceAccountTokens.issuer])
            #expect(known?.user.name == "system:serviceaccount:default:robot")
            #expect(known?.user.groups.contains("system:serviceaccounts:default") == true)
            #expect(tokens.user(of: token, audiences: ["other"]) == nil)
            _ = try await fixture.send(
                "PATCH", "\(base)/secrets/key", #"{"metadata":{"labels":{"kubernetes.io/legacy-token-invalid-since":"2026-01-01"}}}"#, type: "application/merge-patch+json")
            #expect(tokens.user(of: token, audiences: [ServiceAccountTokens.issuer]) == nil)
            #expect(try await fixture.send("DELETE", "\(base)/serviceaccounts/robot").0 == 200)
            _ = try await fixture.answer("\(base)/secrets/key") { code, _ in code == 404 }
            #expect(tokens.user(of: token, audiences: [ServiceAccountTokens.issuer]) == nil)
        }
    }

    private enum CertificateRequestText {
        /// What the request says does not matter here.
        static func pem() throws -> String {
            Base64.encode(Array("-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n".utf8))
        }
    }
}

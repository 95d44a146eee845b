import APIServer
import Machinery
import Testing
import Tree

/// Plugins that a person turns on and off.
@Suite struct AdmissionSelectionTests {
    private func withServer(_ enabled: [String], _ disabled: [String] = [], _ body: (ServerFixture) async throws -> Void) async throws {
        let fixture = try await ServerFixture(selection: try AdmissionSelection(enabled: enabled, disabled: disabled))
        do { try await body(fixture) } catch {
            await fixture.stop()
            throw error
        }
        await fixture.stop()
    }

    private static let pod = """
        {"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"spec":{"automountServiceAccountToken":false,"containers":[{"name":"c","image":"x:1","imagePullPolicy":"IfNotPresent"}],
        "initContainers":[{"name":"i","image":"y:1"}],"volumes":[{"name":"v","image":{"reference":"z:1","pullPolicy":"Never"}}]}}
        """

    @Test func withAlwaysPullImagesEveryImageIsAskedFor() async throws {
        try await withServer(["AlwaysPullImages"], ["ServiceAccount"]) { fixture in
            let (code, pod) = try await fixture.send("POST", "/api/v1/namespaces/default/pods", AdmissionSelectionTests.pod)
            #expect(code == 201, "\(pod)")
            #expect(pod["spec"]["containers"][0]["imagePullPolicy"].string == "Always")
            #expect(pod["spec"]["initContainers"][0]["imagePullPolicy"].string == "Always")
            #expect(pod["spec"]["volumes"][0]["image"]["pullPolicy"].string == "Always")
        }
    }

    @Test func withoutItPodsSayWhatTheyWant() async throws {
        try await withServer([], ["ServiceAccount"]) { fixture in
            let (_, pod) = try await fixture.send("POST", "/api/v1/namespaces/default/pods", AdmissionSelectionTests.pod)
            #expect(pod["spec"]["containers"][0]["imagePullPolicy"].string == "IfNotPresent")
        }
    }

    @Test func externalAddressesAreRefusedWhereAskedFor() async throws {
        let service = #"{"kind":"Service","apiVersion":"v1","metadata":{"name":"s"},"spec":{"ports":[{"port":80}],"externalIPs":["1.2.3.4"]}}"#
        try await withServer(["DenyServiceExternalIPs"]) { fixture in
            let (code, status) = try await fixture.send("POST", "/api/v1/namespaces/default/services", service)
            #expect(code == 403)
            #expect(status["message"].string == "services \"s\" is forbidden: Use of external IPs is denied by admission control.")
        }
    }

    @Test func namesThatMeanNothingAreRefused() {
        #expect(throws: APIError.self) { try AdmissionSelection(enabled: ["Nonsense"], disabled: []) }
        #expect(throws: APIError.self) { try AdmissionSelection(enabled: ["AlwaysPullImages"], disabled: ["AlwaysPullImages"]) }
        #expect(throws: APIError.self) { try AdmissionSelection(enabled: [], disabled: ["CertificateSigning"]) }
    }
}

import APIServer
import Core
import Machinery
import Store
import Testing
import Transport
import Tree

/// What the audit log is told of requests over real HTTP.
@Suite struct AuditTests {
    /// Keeps events where a test can look at them.
    private final class Kept: AuditBackend {
        private let state = Monitor([Node]())
        var name: String { "kept" }
        func take(_ event: Node) { state.change { $0.append(event) } }
        func close() async {}
        var events: [Node] { state.withLock { $0 } }
        func events(_ id: String) -> [Node] { events.filter { $0["auditID"].string == id } }

        /// The answer may be with the client before its last stage is told.
        func completed(_ id: String) async throws -> Node {
            for _ in 0..<200 {
                if let event = events(id).first(where: { $0["stage"].string == "ResponseComplete" }) { return event }
                try await Task.sleep(for: .milliseconds(10))
            }
            return .null
        }
    }

    private static let policy: Node = [
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitManagedFields": true,
        "rules": [
            ["level": "None", "resources": [["group": "", "resources": ["events"]]]],
            ["level": "Metadata", "resources": [["group": "", "resources": ["secrets"]]]],
            ["level": "RequestResponse", "resources": [["group": "", "resources": ["configmaps", "pods"]]], "omitStages": ["RequestReceived"]],
            ["level": "Request", "resources": [["group": "apps"]]],
            ["level": "Metadata"],
        ],
    ]

    private func audited(_ body: (ServerFixture, Kept) async throws -> Void) async throws {
        let kept = Kept()
        let fixture = try await ServerFixture(audit: AuditLog(policy: try AuditPolicy(AuditTests.policy), backends: [kept]))
        do { try await body(fixture, kept) } catch {
            await fixture.stop()
            throw error
        }
        await fixture.stop()
    }

    @Test func aCreationIsToldWithItsBodiesAndWithoutManagedFields() async throws {
        try await audited { fixture, kept in
            _ = try await fixture.send(
                "POST", "/api/v1/namespaces/default/configmaps", #"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"x":"y"}}"#, audit: "one")
            let event = try await kept.completed("one")
            #expect(kept.events("one").map { $0["stage"].string } == ["ResponseComplete"])
            #expect(event["level"].string == "RequestResponse")
            #expect(event["verb"].string == "create")
            #expect(event["requestURI"].string == "/api/v1/namespaces/default/configmaps")
            #expect(event["user"] == ["username": "admin", "groups": ["system:masters", "system:authenticated"]])
            #expect(event["objectRef"] == ["resource": "configmaps", "namespace": "default", "apiVersion": "v1", "name": "a"])
            #expect(event["responseStatus"] == ["metadata": [:], "code": 201])
            #expect(event["requestObject"]["data"] == ["x": "y"])
            #expect(event["responseObject"]["metadata"]["uid"].string != nil)
            #expect(!event["responseObject"]["metadata"].has("managedFields"))
            #expect(event["annotations"] == ["authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""])
            #expect(event["sourceIPs"] == ["127.0.0.1"])
            #expect(Timestamp(rfc3339: event["stageTimestamp"].string ?? "") != nil)
        }
    }

    @Test func aSecretIsNeverInAnEventOfLevelMetadata() async throws {
        try await audited { fixture, kept in
            _ = try await fixture.send(
                "POST", "/api/v1/namespaces/default/secrets", #"{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s"},"stringData":{"x":"geheimnis"}}"#, audit: "two")
            _ = try await fixture.send("GET", "/api/v1/namespaces/default/secrets", audit: "three")
            _ = try await kept.completed("two")
            _ = try await kept.completed("three")
            let text = kept.events.map(\.jsonText).joined()
            #expect(!text.contains("geheimnis"))
            #expect(!text.contains("Z2VoZWltbmlz"))
            #expect(kept.events("two").map { $0["stage"].string } == ["RequestReceived", "ResponseComplete"])
        }
    }

    @Test func aPatchIsToldAsItCameAlsoWhereItIsYAML() async throws {
        try await audited { fixture, kept in
            let (code, _) = try await fixture.send(
                "PATCH", "/api/v1/namespaces/default/configmaps/b?fieldManager=m", "apiVersion: v1\nkind: ConfigMap\ndata:\n  e: f\n", type: "application/apply-patch+yaml",
                audit: "four")
            #expect(code == 201)
            let event = try await kept.completed("four")
            #expect(event["requestObject"]["data"] == ["e": "f"])
            #expect(event["responseObject"]["data"] == ["e": "f"])
        }
    }

    @Test func aRefusalAndADeletionAreToldWithTheirStatus() async throws {
        try await audited { fixture, kept in
            _ = try await fixture.send("GET", "/api/v1/namespaces/default/configmaps/none", audit: "five")
            let missing = try await kept.completed("five")
            #expect(missing["responseStatus"]["reason"].string == "NotFound")
            #expect(missing["responseStatus"]["code"].int == 404)
            #expect(missing["responseObject"]["kind"].string == "Status")
            _ = try await fixture.send("POST", "/api/v1/namespaces/default/configmaps", #"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c"}}"#)
            _ = try await fixture.send("DELETE", "/api/v1/namespaces/default/configmaps/c", #"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background"}"#, audit: "six")
            let gone = try await kept.completed("six")
            #expect(gone["responseStatus"]["status"].string == "Success")
            #expect(gone["responseStatus"]["code"].int == 200)
            #expect(gone["requestObject"]["propagationPolicy"].string == "Background")
        }
    }

    @Test func aWatchIsToldWhenItStartsAndWhenItEnds() async throws {
        try await audited { fixture, kept in
            _ = try await fixture.send("GET", "/apis/apps/v1/deployments?watch=1&timeoutSeconds=1", audit: "seven")
            _ = try await kept.completed("seven")
            #expect(kept.events("seven").map { $0["stage"].string } == ["RequestReceived", "ResponseStarted", "ResponseComplete"])
            #expect(kept.events("seven").map { $0["verb"].string } == ["watch", "watch", "watch"])
        }
    }

    @Test func anImpersonatedUserIsToldBesideTheOneWhoAsked() async throws {
        try await audited { fixture, kept in
            let (code, _) = try await fixture.send("GET", "/api/v1/namespaces/default/configmaps", audit: "eight", headers: [("impersonate-user", "bob")])
            #expect(code == 403)
            let event = try await kept.completed("eight")
            #expect(event["user"]["username"].string == "admin")
            #expect(event["impersonatedUser"] == ["username": "bob", "groups": ["system:authenticated"]])
            #expect(event["authenticationMetadata"] == ["impersonationConstraint": "impersonate:user-info"])
            #expect(event["annotations"]["authorization.k8s.io/decision"].string == "forbid")
        }
    }

    @Test func whatPodSecurityFindsIsAnAnnotation() async throws {
        try await audited { fixture, kept in
            _ = try await fixture.send(
                "POST", "/api/v1/namespaces", #"{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"n","labels":{"pod-security.kubernetes.io/audit":"restricted","pod-security.kubernetes.io/enforce":"baseline"}}}"#)
            _ = try await fixture.send("POST", "/api/v1/namespaces/n/serviceaccounts", #"{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"default"}}"#)
            _ = try await fixture.send(
                "POST", "/api/v1/namespaces/n/pods?dryRun=All", #"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"x"}]}}"#, audit: "nine")
            let event = try await kept.completed("nine")
            #expect(event["annotations"]["pod-security.kubernetes.io/enforce-policy"].string == "baseline:latest")
            #expect(event["annotations"]["pod-security.kubernetes.io/audit-violations"].string?.hasPrefix("would violate PodSecurity \"restricted:latest\": ") == true)
        }
    }

    @Test(arguments: [
        (#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[]}"#, "0 rules"),
        (#"{"apiVersion":"audit.k8s.io/v1beta1","kind":"Policy","rules":[{"level":"None"}]}"#, "unknown group version"),
        (#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{"level":"Much"}]}"#, "rules[0].level: Unsupported value: \"Much\""),
        (#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{}]}"#, "rules[0].level: Required value"),
        (#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","omitStages":["Later"],"rules":[{"level":"None"}]}"#, "omitStages[0]: Invalid value: \"Later\""),
        (#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{"level":"None","nonResourceURLs":["x"]}]}"#, "must begin with a '/'"),
        (#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{"level":"None","nonResourceURLs":["/a*b"]}]}"#, "must be the final character"),
        (#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{"level":"None","nonResourceURLs":["/a"],"namespaces":["x"]}]}"#, "cannot apply to both"),
        (#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{"level":"None","resources":[{"group":"a/b"}]}]}"#, "resources.group"),
        (#"{"apiVersion":"audit.k8s.io/v1","kind":"Policy","rules":[{"level":"None","resources":[{"resourceNames":["x"]}]}]}"#, "requires at least one resource"),
    ])
    func aPolicyWithAMistakeIsRefused(_ text: String, _ words: String) throws {
        let node = try JSONReader.read(Array(text.utf8))
        do {
            _ = try AuditPolicy(node)
            Issue.record("\(text) was taken")
        } catch { #expect(error.message.contains(words), "\(error.message)") }
    }

    // MARK: - The file

    private func temporary() throws -> String {
        let path = "/tmp/jangada-audit-\(Identifier.uuid())"
        try FileSystem.makeDirectory(path)
        return path
    }

    @Test func everythingTakenIsInTheFilesWhenItIsClosed() async throws {
        let directory = try temporary()
        defer { try? FileSystem.removeTree(directory) }
        var options = AuditLogFile.Options(path: "\(directory)/deep/audit.log")
        options.maxSize = 1
        let file = try AuditLogFile(options)
        let filler = String(repeating: "x", count: 1000)
        await withTaskGroup(of: Void.self) { group in
            for writer in 0..<8 {
                group.addTask { for number in 0..<500 { file.take(["writer": .int(Int64(writer)), "number": .int(Int64(number)), "filler": .string(filler)]) } }
            }
        }
        await file.close()
        #expect(file.lost == 0)
        let names = try FileSystem.list("\(directory)/deep")
        #expect(names.count >= 4, "4 MB in files of 1 MB: \(names)")
        var seen: Set<[Int64]> = []
        for name in names {
            let bytes = try FileSystem.readFile("\(directory)/deep/\(name)")
            #expect(bytes.count <= 1 << 20)
            for line in bytes.split(separator: 0x0A) {
                let node = try JSONReader.read(Array(line))
                seen.insert([node["writer"].int ?? -1, node["number"].int ?? -1])
            }
        }
        #expect(seen.count == 4000)
        #expect(try FileSystem.status("\(directory)/deep/audit.log")?.permissions == 0o600)
    }

    @Test func onlySoManyOldFilesAreKept() async throws {
        let directory = try temporary()
        defer { try? FileSystem.removeTree(directory) }
        var options = AuditLogFile.Options(path: "\(directory)/audit.log")
        options.maxSize = 1
        options.maxBackups = 2
        try FileSystem.writeAtomically("\(directory)/audit-notes.log", [])
        try FileSystem.writeAtomically("\(directory)/audit-2001-01-01T00-00-00.000.log", [])
        let file = try AuditLogFile(options)
        let filler = String(repeating: "x", count: 100_000)
        for number in 0..<60 { file.take(["number": .int(Int64(number)), "filler": .string(filler)]) }
        await file.close()
        let names = try FileSystem.list(directory).sorted()
        #expect(names.count == 4, "\(names)")
        #expect(names.contains("audit-notes.log") && !names.contains { $0.hasPrefix("audit-2001") })
    }

    @Test func anOldFileIsContinued() async throws {
        let directory = try temporary()
        defer { try? FileSystem.removeTree(directory) }
        for number in 0..<2 {
            let file = try AuditLogFile(.init(path: "\(directory)/audit.log"))
            file.take(["number": .int(Int64(number))])
            await file.close()
        }
        let text = String(decoding: try FileSystem.readFile("\(directory)/audit.log"), as: UTF8.self)
        #expect(text == "{\"number\":0}\n{\"number\":1}\n")
    }

    // MARK: - The webhook

    private final class Receiver: HTTPHandler {
        let state = Monitor((lists: [Node](), failures: 1))
        func handle(_ exchange: HTTPExchange) async {
            let body = (try? await exchange.body(limit: 8 << 20)) ?? []
            let fails = state.change { state -> Bool in
                if state.failures > 0 {
                    state.failures -= 1
                    return true
                }
                if let node = try? JSONReader.read(body) { state.lists.append(node) }
                return false
            }
            exchange.respond(status: fails ? 500 : 200)
        }
    }

    @Test func aWebhookGetsAllEventsInListsAlsoWhereItFailsOnce() async throws {
        let receiver = Receiver()
        let server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: receiver)
        _ = try await server.start()
        let config: Node = [
            "current-context": "c", "contexts": [["name": "c", "context": ["cluster": "s"]]],
            "clusters": [["name": "s", "cluster": ["server": .string("http://127.0.0.1:\(server.port ?? 0)/audit")]]],
        ]
        var options = AuditWebhook.Options()
        options.maxBatch = 10
        options.maxWait = .seconds(3600)
        options.initialBackoff = .milliseconds(10)
        let webhook = AuditWebhook(try KubeconfigTarget(config, directory: "/"), options)
        let run = Task { await webhook.run() }
        for number in 0..<20 { webhook.take(["auditID": .string("\(number)")]) }
        // Ten are enough to be sent without waiting.
        for _ in 0..<500 where receiver.state.withLock({ $0.lists.count < 2 }) { try await Task.sleep(for: .milliseconds(10)) }
        webhook.take(["auditID": "last"])
        await webhook.close()
        await run.value
        await server.shutdown(grace: .zero)
        let lists = receiver.state.withLock { $0.lists }
        #expect(lists.allSatisfy { $0.kind == "EventList" && $0.apiVersion == "audit.k8s.io/v1" && $0["items"].list.count <= 10 })
        #expect(Set(lists.flatMap { $0["items"].list.compactMap { $0["auditID"].string } }).count == 21)
        #expect(webhook.lost == 0)
    }
}

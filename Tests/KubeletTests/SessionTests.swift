import APIServer
import Client
import Core
import Machinery
import Testing
import Transport
import Tree

@testable import Kubelet

@Suite(.serialized, .enabled(if: NodeFixture.isPossible, "needs root")) struct SessionTests {
    private struct Exec: HTTPHandler {
        let kubelet: Kubelet
        let pod: Node
        func handle(_ exchange: HTTPExchange) async {
            let options = RemoteCommandOptions(stdin: true, stdout: true, stderr: true, tty: exchange.request.path == "/tty")
            guard let session = try? await exchange.acceptRemoteCommand(options) else { return exchange.respond(status: 400) }
            await kubelet.exec(pod, container: "app", command: ["/bin/sh", "-c", "read x; echo got $x; exit 3"], session: session)
        }
    }

    @Test(arguments: ["/", "/tty"]) func anExecEndsWithItsProgramThoughTheClientCouldTypeMore(path: String) async throws {
        try await NodeFixture.with { fixture in
            try await fixture.running { kubelet in
                try await fixture.create("spec: {terminationGracePeriodSeconds: 1, containers: [{name: app}]}")
                let pod = try await fixture.wait("web", "ready", NodeFixture.isReady)
                let server = HTTPServer(listeners: [.tcp(host: "127.0.0.1", port: 0)], handler: Exec(kubelet: kubelet, pod: pod))
                _ = try await server.start()
                let client = HTTPClient()
                let endpoint = HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: server.port ?? 0)
                let socket = try await client.webSocket(HTTPClientRequest("GET", endpoint, path), protocols: ["v4.channel.k8s.io"])
                try await socket.send([0] + Array("hey\n".utf8))
                var said: [UInt8: String] = [:]
                while let message = try await socket.receive() {
                    guard let channel = message.bytes.first else { continue }
                    said[channel, default: ""] += String(decoding: message.bytes.dropFirst(), as: UTF8.self)
                }
                #expect(said[1]?.contains("got hey") == true)
                #expect(said[3]?.contains(#""reason":"ExitCode","message":"3""#) == true)
                client.close()
                await server.shutdown(grace: .zero)
                _ = try await fixture.client.delete(.pods, ObjectKey("default", "web"), DeleteOptions())
                _ = try await fixture.wait("web", "gone", \.isNull)
            }
        }
    }
}

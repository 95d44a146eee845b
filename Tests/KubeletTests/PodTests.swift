import APIServer
import Client
import Containers
import Core
import HostNetwork
import Linux
import Machinery
import OCI
import Schema
import Synchronization
import Testing
import Tree

@testable import Kubelet

@Suite(.serialized, .enabled(if: NodeFixture.isPossible, "needs root")) struct PodTests {
    @Test func aPodRunsAndIsDeletedWithoutATrace() async throws {
        try await NodeFixture.with { fixture in
            try await fixture.running { kubelet in
                try await fixture.create("spec: {terminationGracePeriodSeconds: 1, containers: [{name: app}]}")
                let pod = try await fixture.wait("web", "ready", NodeFixture.isReady)
                #expect(pod["status"]["phase"].string == "Running")
                #expect(pod["status"]["podIP"].string?.hasPrefix("10.244.0.") == true)
                let status = pod["status"]["containerStatuses"][0]
                #expect(status["image"].string == NodeFixture.image)
                #expect(status["imageID"].string?.hasPrefix("registry.test/shell@sha256:") == true)
                #expect(try fixture.log(pod) == ["from-image"])
                _ = try await fixture.client.delete(.pods, ObjectKey("default", "web"), DeleteOptions())
                _ = try await fixture.wait("web", "gone", \.isNull)
                // The worker ends a moment after the object.
                for _ in 0..<100 where !kubelet.workers.isEmpty { try await Task.sleep(for: .milliseconds(50)) }
                #expect(fixture.runtime.all.isEmpty)
                #expect(fixture.network.pods.attachments().isEmpty)
                #expect(kubelet.workers.isEmpty)
                #expect(try FileSystem.list("\(fixture.directory)/pods").isEmpty)
                #expect(try FileSystem.list("\(fixture.directory)/logs").isEmpty)
            }
            let node = try await fixture.client.get(.nodes, ObjectKey("", "one"))
            #expect(node["status"]["conditions"].list.first { $0["type"].string == "Ready" }?["status"].string == "True")
            let lease = try await fixture.client.get(.leases, ObjectKey("kube-node-lease", "one"))
            #expect(lease["spec"]["holderIdentity"].string == "one")
        }
    }

    @Test func containersSeeTheirConfigurationAndItsChanges() async throws {
        try await NodeFixture.with { fixture in
            _ = try await fixture.client.create(.configMaps, namespace: "default", ["metadata": ["name": "conf"], "data": ["mode": "dark", "file": "one"]])
            _ = try await fixture.client.create(.secrets, namespace: "default", ["metadata": ["name": "key"], "data": ["pass": "czNjcjN0"]])
            try await fixture.running { _ in
                try await fixture.create(
                    """
                    metadata: {labels: {app: web}}
                    spec:
                      hostname: box
                      serviceAccountName: default
                      securityContext: {fsGroup: 2000}
                      volumes:
                      - {name: conf, configMap: {name: conf}}
                      - {name: key, secret: {secretName: key, defaultMode: 256}}
                      - {name: scratch, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
                      - name: self
                        projected: {sources: [{downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}, {serviceAccountToken: {path: token, expirationSeconds: 3600}}]}
                      containers:
                      - name: app
                        securityContext: {runAsUser: 1000}
                        env:
                        - {name: MODE, valueFrom: {configMapKeyRef: {name: conf, key: mode}}}
                        - {name: PASS, valueFrom: {secretKeyRef: {name: key, key: pass}}}
                        - {name: ADDRESS, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
                        - {name: BOTH, value: "$(MODE)-$(PASS)-$(NONE)"}
                        volumeMounts:
                        - {name: conf, mountPath: /conf}
                        - {name: conf, mountPath: /one, subPath: file}
                        - {name: key, mountPath: /key}
                        - {name: scratch, mountPath: /scratch}
                        - {name: self, mountPath: /self}
                        command: [/bin/sh, -c]
                        args:
                        - |
                          echo $BOTH $FROM_IMAGE $HOSTNAME; echo addr=$ADDRESS; cat /conf/file; echo; cat /one; echo; cat /key/pass; echo; cat /self/labels; echo
                          echo x > /scratch/x && cat /scratch/x; test -s /self/token && echo has-token
                          echo $(cat /etc/hostname); cat /etc/resolv.conf
                          while test "$(cat /conf/file)" = one; do sleep 0.1; done; echo changed; echo bye > /dev/termination-log; exit 3
                      restartPolicy: Never
                    """)
                let pod = try await fixture.wait("web", "ready", NodeFixture.isReady)
                try await fixture.until { (try? fixture.log(pod))?.contains("options ndots:5") == true }
                let lines = try fixture.log(pod)
                #expect(lines.prefix(1) == ["dark-s3cr3t-$(NONE) yes box"])
                #expect(lines.contains("addr=\(pod["status"]["podIP"].string ?? "?")"))
                for line in ["one", "s3cr3t", "app=\"web\"", "x", "has-token", "box", "nameserver 10.96.0.10"] { #expect(lines.contains(line), "\(lines)") }
                _ = try await fixture.client.patch(.configMaps, ObjectKey("default", "conf"), .merge, ["data": ["file": "two"]], subresource: nil)
                let done = try await fixture.wait("web", "failed") { $0["status"]["phase"].string == "Failed" }
                let ended = done["status"]["containerStatuses"][0]["state"]["terminated"]
                #expect(ended["exitCode"].int == 3)
                #expect(ended["message"].string == "bye\n")
                #expect(ended["reason"].string == "Error")
                #expect(try fixture.log(pod).last == "changed")
                try await fixture.until { fixture.runtime.all.isEmpty }
            }
        }
    }

    @Test func whoeverHasNoHomeGetsTheImages() async throws {
        try await NodeFixture.with { fixture in
            try await fixture.running { _ in
                try await fixture.create(
                    """
                    spec:
                      restartPolicy: Never
                      containers:
                      - {name: root, command: [/bin/sh, -c, "echo $HOME"]}
                      - {name: app, command: [/bin/sh, -c, "echo $HOME"], securityContext: {runAsUser: 1000}}
                      - {name: stranger, command: [/bin/sh, -c, "echo $HOME"], securityContext: {runAsUser: 4000}}
                      - {name: empty, command: [/bin/sh, -c, "echo $HOME"], env: [{name: HOME, value: ""}]}
                      - {name: own, command: [/bin/sh, -c, "echo $HOME"], env: [{name: HOME, value: /own}]}
                    """)
                let pod = try await fixture.wait("web", "done") { $0["status"]["phase"].string == "Succeeded" }
                for (name, home) in ["root": "/root", "app": "/", "stranger": "/", "empty": "/root", "own": "/own"] {
                    #expect(try fixture.log(pod, name) == [home], "\(name)")
                }
            }
        }
    }

    @Test func probesInitContainersAndHooksTakeTheirTurns() async throws {
        try await NodeFixture.with { fixture in
            try await fixture.running { _ in
                try await fixture.create(
                    """
                    spec:
                      terminationGracePeriodSeconds: 5
                      volumes: [{name: v, emptyDir: {}}]
                      initContainers: [{name: first, image: "\(NodeFixture.image)", command: [/bin/sh, -c, "echo init > /v/f"], volumeMounts: [{name: v, mountPath: /v}]}]
                      containers:
                      - name: app
                        command: [/bin/sh, -c, "trap 'cat /v/f; exit 0' TERM; sleep 1; echo ok > /v/ready; while true; do sleep 0.05; done"]
                        volumeMounts: [{name: v, mountPath: /v}]
                        readinessProbe: {periodSeconds: 1, exec: {command: [/bin/cat, /v/ready]}}
                        lifecycle:
                          postStart: {exec: {command: [/bin/sh, -c, "echo post >> /v/f"]}}
                          preStop: {exec: {command: [/bin/sh, -c, "echo pre >> /v/f"]}}
                    """)
                let running = try await fixture.wait("web", "running") { $0["status"]["phase"].string == "Running" }
                #expect(!NodeFixture.isReady(running))
                let pod = try await fixture.wait("web", "ready", NodeFixture.isReady)
                #expect(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"].int == 0)
                let log = "\(fixture.directory)/kept.log"
                let path = "\(fixture.directory)/logs/default_web_\(pod.uid)/app/0.log"
                try FileSystem.link(path, to: log)
                _ = try await fixture.client.delete(.pods, ObjectKey("default", "web"), DeleteOptions())
                _ = try await fixture.wait("web", "gone", \.isNull)
                #expect(try Files.text(log).split(separator: "\n").compactMap { CRILine($0).map { String($0.text) } } == ["init", "post", "pre"])
            }
        }
    }

    @Test func anImageThatIsNotThereIsToldInUpstreamsWords() async throws {
        try await NodeFixture.with { fixture in
            try await fixture.running { _ in
                try await fixture.create("spec: {containers: [{name: app, image: 'registry.test/none:1', imagePullPolicy: Never}]}")
                let pod = try await fixture.wait { $0["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].string == "ErrImageNeverPull" }
                #expect(
                    pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].string
                        == "Container image \"registry.test/none:1\" is not present with pull policy of Never")
                try await fixture.create("{metadata: {name: bad}, spec: {containers: [{name: app, image: 'A B'}]}}")
                _ = try await fixture.wait("bad") { $0["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].string == "InvalidImageName" }
            }
        }
    }

    @Test func anotherKubeletAdoptsWhatRuns() async throws {
        try await NodeFixture.with { fixture in
            let first = Recorded()
            try await fixture.running { _ in
                try await fixture.create("spec: {containers: [{name: app}]}")
                try await fixture.create("{metadata: {name: gone}, spec: {containers: [{name: app}]}}")
                _ = try await fixture.wait("gone", "ready", NodeFixture.isReady)
                await first.set(try await fixture.wait("web", "ready", NodeFixture.isReady))
            }
            #expect(fixture.runtime.all.count == 2)
            _ = try await fixture.client.delete(.pods, ObjectKey("default", "gone"), DeleteOptions(gracePeriodSeconds: 0))
            let before = await first.pod
            try await fixture.running { kubelet in
                try await fixture.until { kubelet.worker(uid: before.uid)?.state.withLock { !$0.status.isNull } == true && fixture.runtime.all.count == 1 }
                let after = try await fixture.wait("web", "ready", NodeFixture.isReady)
                #expect(after["status"]["containerStatuses"][0]["containerID"] == before["status"]["containerStatuses"][0]["containerID"])
                #expect(after["status"]["containerStatuses"][0]["restartCount"].int == 0)
                #expect(after["status"]["podIP"] == before["status"]["podIP"])
                // The sandbox goes first, then its network.
                try await fixture.until { fixture.network.pods.attachments().count == 1 }
            }
        }
    }
}

actor Recorded {
    private(set) var pod = Node.null
    func set(_ pod: Node) { self.pod = pod }
}

extension NodeFixture {
    func until(_ holds: () -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(180)
        while !holds() {
            guard ContinuousClock.now < deadline else {
                Issue.record("it did not come to pass")
                return
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}

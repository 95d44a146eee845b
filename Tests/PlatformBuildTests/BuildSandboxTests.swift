import Containers
import Core
import ImageBuilder
import Linux
import OCI
import Synchronization
import Testing

@testable import Platform

@Suite(.enabled(if: BuildBench.isPossible, BuildBench.needs)) struct BuildSandboxTests {
    @Test func aCommandSeesItsStageAndLeavesOnlyWhatItWrote() async throws {
        try await BuildBench.with { bench in
            let (tree, _, manifest) = try await bench.build(
                """
                RUN mkdir -p /kept/below /gone && echo old > /kept/old && echo x > /gone/x && echo y > /kept/below/y
                ENV WHO=world
                ARG FROM_ARG=argued
                RUN rm -r /gone /kept/below && mkdir /kept/below && echo new > /kept/below/new && echo "$WHO $FROM_ARG" > /kept/words
                """)
            #expect(try bench.text(tree, "/kept/words") == "world argued\n")
            #expect(try bench.text(tree, "/kept/old") == "old\n" && bench.text(tree, "/kept/below/new") == "new\n")
            #expect(try tree.find("/gone") == nil && tree.find("/kept/below/y") == nil)
            // No mount point, no /etc/hosts, no /proc: only the change, removals by their OCI names.
            #expect(
                try bench.last(manifest) == [".wh.gone", "kept/", "kept/below/", "kept/below/.wh..wh..opq", "kept/below/new", "kept/words"])
            _ = try await bench.build("RUN mkdir -p /kept/below /gone && echo old > /kept/old && echo x > /gone/x && echo y > /kept/below/y\n")
            #expect(bench.lines.withLock { $0.count { $0.hasSuffix("CACHED") } } == 2)
            #expect(try bench.leftovers() == [])
        }
    }

    @Test func userDirectoryShellAndInputAreTheDockerfiles() async throws {
        try await BuildBench.with { bench in
            let (tree, _, _) = try await bench.build(
                """
                RUN mkdir -m 777 /open
                WORKDIR /open/work
                USER app
                RUN id -u > /open/id; echo "$HOME" > /open/home; cat /etc/hostname > /open/host; echo "$PWD" > /open/pwd; (echo x > /etc/no) 2>/dev/null || echo refused > /open/refused
                USER 0:1000
                RUN id -g > /open/gid; cat /proc/1/status > /open/status; ls /dev > /open/dev
                SHELL ["/bin/sh", "-ec"]
                RUN cat > /open/input <<EOF
                of a heredoc
                EOF
                RUN ["/bin/sh", "-c", "echo exec > /open/exec"]
                """)
            func text(_ name: String) throws -> String? { try bench.text(tree, "/open/\(name)") }
            #expect(try text("id") == "1000\n" && text("home") == "/home/app\n" && text("gid") == "1000\n")
            #expect(try text("pwd") == "/open/work\n")
            #expect(try text("host") == "buildsandbox\n")
            #expect(try text("refused") == "refused\n")
            #expect(try text("input") == "of a heredoc\n" && text("exec") == "exec\n")
            let status = try text("status") ?? ""
            #expect(status.contains("Seccomp:\t2") && status.contains("CapBnd:\t00000000a80425fb"))
            #expect(try text("dev")?.contains("null\n") == true && text("dev")?.contains("mem\n") == false)
        }
    }

    @Test func networksAreThoseAskedFor() async throws {
        try await BuildBench.with { bench in
            let (tree, _, _) = try await bench.build(
                """
                RUN cat /proc/net/dev /etc/resolv.conf > /default
                RUN --network=none cat /proc/net/dev > /none
                RUN --network=host ls /proc/self/ns/ -l > /host
                """)
            let pod = try bench.text(tree, "/default") ?? ""
            #expect(pod.contains("eth0:") && pod.contains("nameserver 10.96.0.10\n"))
            #expect(try bench.text(tree, "/none")?.contains("eth0:") == false)
            #expect(try bench.text(tree, "/host")?.contains("net:[\(try own("net"))]") == true)
        }
    }

    private func own(_ namespace: String) throws -> String {
        String(try FileSystem.readLink("/proc/self/ns/\(namespace)").dropFirst(namespace.count + 2).dropLast())
    }

    @Test(arguments: [
        ("RUN echo seen; exit 7", "The command '/bin/sh -c echo seen; exit 7' returned a non-zero code: 7", ["seen"]),
        ("RUN echo out; echo err >&2; echo out again; kill -9 $$; sleep 0; exit 1", "returned a non-zero code: 1", ["out", "err", "out again"]),
        ("RUN [\"/nothing\"]", "The command '/nothing' could not be started: exec: \"/nothing\": stat /nothing: no such file or directory", []),
        ("USER who\nRUN true", "could not be started: unable to find user who: no matching entries in passwd file", []),
        ("RUN --mount=type=secret,id=none,required cat /run/secrets/none", "secret none: not found", []),
        ("RUN --mount=type=bind,source=none,target=/x true", "\"none\": not found", []), ("RUN --mount=type=fish,target=/x true", "unsupported mount type \"fish\"", []),
        ("RUN --network=bridge true", "unsupported network mode \"bridge\"", []),
    ])
    func failuresAreWordedAndLeaveNothing(_ steps: String, _ words: String, _ output: [String]) async throws {
        try await BuildBench.with { bench in
            do {
                try await bench.build(steps)
                Issue.record("built")
            } catch let error as BuildError { #expect(error.message.contains(words), "\(error)") }
            for line in output { #expect(bench.has(line), "\(line)") }
            #expect(bench.images.list().isEmpty)
            #expect(try bench.leftovers() == [])
        }
    }

    @Test func aCancelledBuildEndsItsCommand() async throws {
        try await BuildBench.with { bench in
            let (started, start) = AsyncStream<Void>.makeStream()
            let build = Task {
                var request = BuildRequest(context: "\(bench.path)/context", dockerfile: "FROM scratch\nCOPY root/ /\nRUN echo started; sleep 1000\n")
                request.tags = ["built:1"]
                _ = try await bench.builder.build(request) { if $0.hasSuffix(" started") { start.yield() } }
            }
            for await _ in started { break }
            build.cancel()
            await #expect(throws: (any Error).self) { try await build.value }
            let left = try bench.leftovers()
            #expect(left == [])
            #expect(bench.images.list().isEmpty)
        }
    }

    @Test func theNextDaemonEndsWhatAKilledOneLeft() async throws {
        try await BuildBench.with { bench in
            let (started, start) = AsyncStream<Void>.makeStream()
            let build = Task {
                let request = BuildRequest(context: "\(bench.path)/context", dockerfile: "FROM scratch\nCOPY root/ /\nRUN echo started; while true; do mkdir -p /a/b; rm -r /a; done\n")
                _ = try await bench.builder.build(request) { if $0.hasSuffix(" started") { start.yield() } }
            }
            for await _ in started { break }
            let (runtime, sandbox) = try bench.successor()
            runtime.cgroups.group(BuildSandbox.cgroup(of: bench.name)).killAllAndWait()
            #expect(runtime.cgroups.group(BuildSandbox.cgroup(of: bench.name)).processes().isEmpty)
            // As it does at its start: the layers' scratch directory is emptied, and no process writes there any more.
            _ = try LayerStore(content: bench.images.content)
            try await runtime.adoptAll()
            await sandbox.removeStray()
            await #expect(throws: (any Error).self) { try await build.value }
            let left = try bench.leftovers()
            #expect(left == [])
        }
    }

    @Test func mountsAreThereForTheCommandAndNotInTheLayer() async throws {
        try await BuildBench.with { bench in
            try FileSystem.writeAtomically("\(bench.path)/context/file", Array("of the context\n".utf8), mode: 0o644)
            try FileSystem.writeAtomically("\(bench.path)/context/ignored", Array("no\n".utf8), mode: 0o644)
            let steps = """
                RUN mkdir /made && echo staged > /made/file
                FROM base
                COPY --from=base /bin/sh /bin/sh
                RUN --mount=type=cache,target=/cache --mount=type=tmpfs,target=/tmp,size=1m echo cached > /cache/file && echo gone > /tmp/file
                RUN --mount=type=cache,id=/cache,target=/other cat /other/file > /from-cache; ls / > /names
                RUN --mount=target=/context --mount=type=bind,from=0,source=/made,target=/stage,rw cat /context/file /stage/file > /bound; ls /context > /listed; echo x > /stage/written; (echo x > /context/no) 2>/dev/null || echo refused >> /bound
                USER app
                RUN --mount=type=secret,id=key,uid=1000 --mount=type=secret,id=key,env=KEY [ "$(cat /run/secrets/key)" = "$KEY" ] && echo "${KEY}" | cat > /dev/null
                """
            func build() async throws -> (tree: LayeredTree, config: ImageConfig, manifest: ImageManifest) {
                try await bench.build(steps) {
                    $0.ignore = "ignored\n"
                    $0.secrets = ["key": Array("hush-hush".utf8)]
                }
            }
            let (tree, config, manifest) = try await build()
            #expect(try bench.text(tree, "/from-cache") == "cached\n")
            #expect(try bench.text(tree, "/bound") == "of the context\nstaged\nrefused\n")
            let listed = try bench.text(tree, "/listed") ?? ""
            #expect(listed.contains("file\n") && !listed.contains("ignored"))
            for path in ["/cache", "/other", "/context", "/stage", "/run/secrets", "/tmp/file"] { #expect(try tree.find(path) == nil, "\(path)") }
            #expect(try bench.last(manifest) == [])
            #expect(!config.environment.contains { $0.hasPrefix("KEY=") })
            #expect(try bench.leftovers() == [])
            _ = try await build()
            #expect(bench.lines.withLock { $0.count { $0.hasSuffix("CACHED") } } == 7)
            // Other content under a bind mount is another step.
            try FileSystem.writeAtomically("\(bench.path)/context/file", Array("changed\n".utf8), mode: 0o644)
            #expect(try bench.text(try await build().tree, "/bound")?.hasPrefix("changed\n") == true)
        }
    }
}

import CLinux
import Core
import Glibc
import Testing

@testable import Containers
@testable import Linux

@Suite(.enabled(if: Machine.isPossible, "needs root"), .serialized)
struct IsolationTests {
    /// What a script prints inside, line by line.
    private func inside(_ script: String, _ change: (inout ContainerSpec, Machine) throws -> Void = { _, _ in }) async throws -> [String] {
        var out: [String] = []
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("{ \(script)\n} 2>&1")
            try change(&spec, machine)
            _ = try await machine.run(spec, in: sandbox)
            out = try machine.lines().map { String($0.dropFirst(9)) }
        }
        return out
    }

    @Test func capabilitySetsAreTheOnesAskedFor() async throws {
        let lines = try await inside("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status")
        // This kernel may lack one of the usual set itself.
        let usual = CapabilitySets.standard.bounding
        let hex = String(usual, radix: 16)
        let padded = String(repeating: "0", count: 16 - hex.count) + hex
        #expect(
            lines == [
                "CapInh:\t0000000000000000", "CapPrm:\t\(padded)", "CapEff:\t\(padded)", "CapBnd:\t\(padded)", "CapAmb:\t0000000000000000",
                "NoNewPrivs:\t0",
                "Seccomp:\t2",
            ])
    }

    @Test func anOrdinaryUserHasNoneAndNoNewPrivilegesHolds() async throws {
        let lines = try await inside("id -u; id -g; id -G; grep -E '^(CapPrm|CapEff|NoNewPrivs)' /proc/self/status; umask") { spec, _ in
            spec.process.user = ContainerUser(uid: 1000, gid: 2000, groups: [2000, 3000], umask: 0o027)
            spec.process.noNewPrivileges = true
        }
        #expect(lines == ["1000", "2000", "2000 3000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "0027"])
    }

    @Test func ambientCapabilitiesReachAnOrdinaryUser() async throws {
        let lines = try await inside("grep -E '^(CapEff|CapAmb)' /proc/self/status") { spec, _ in
            spec.process.user = ContainerUser(uid: 1000, gid: 1000)
            spec.process.capabilities = CapabilitySets(Capability.netBindService.bit, ambient: Capability.netBindService.bit)
        }
        #expect(lines == ["CapEff:\t0000000000000400", "CapAmb:\t0000000000000400"])
    }

    @Test func seccompDeniesNewNamespacesAndMounts() async throws {
        let lines = try await inside("unshare -U true; echo $?; mount -t tmpfs t /tmp; echo $?") { spec, _ in
            spec.process.capabilities = .standard
        }
        #expect(lines.contains { $0.contains("unshare") && $0.contains("not permitted") })
        #expect(lines.filter { $0 == "0" }.isEmpty)
        let open = try await inside("unshare -U true; echo $?") { spec, _ in
            spec.process.seccomp = nil
            spec.process.capabilities = .all
        }
        #expect(open == ["0"])
    }

    @Test func processesAndNamesAreTheContainersOwn() async throws {
        var lines: [String] = []
        try await Machine.with { machine in
            var box = machine.sandboxSpec()
            box.hostname = "web-0"
            box.sysctls = ["net.ipv4.ip_unprivileged_port_start": "80", "kernel.shm_rmid_forced": "1"]
            let sandbox = try await machine.runtime.createSandbox(box)
            lines = try await machine.run(
                try machine.shell(
                    "echo $$; hostname; set -- /proc/[0-9]*; echo $#; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/sys/kernel/shm_rmid_forced; ls /sys/class/net"
                ), in: sandbox
            ).lines.map { String($0.dropFirst(9)) }
        }
        #expect(Array(lines.prefix(5)) == ["1", "web-0", "1", "80", "1"])
        #expect(lines.dropFirst(5).contains("lo") && !lines.dropFirst(5).contains("eth0"))
    }

    @Test func devicesAreFewAndTheRestIsRefused() async throws {
        let lines = try await inside(
            "ls /dev | tr '\\n' ' '; echo; echo x > /dev/null && echo null; mknod /tmp/disk b 254 0 && head -c1 /tmp/disk; mknod /tmp/kmsg c 1 11; head -c1 /tmp/kmsg"
        )
        #expect(lines[0] == "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ")
        #expect(lines[1] == "null")
        #expect(lines.filter { $0.contains("not permitted") }.count == 2)
    }

    @Test func masksHideAndReadOnlyPathsRefuse() async throws {
        let lines = try await inside(
            "cat /proc/interrupts | wc -c; ls /sys/firmware | wc -l; echo 1 > /proc/sys/kernel/panic; mkdir /sys/fs/cgroup/x; touch /usr/x; touch /ok && echo ok"
        )
        #expect(lines.prefix(2) == ["0", "0"], "\(lines)")
        #expect(lines.filter { $0.contains("Read-only file system") }.count == 3)
        #expect(lines.last == "ok")
    }

    @Test func aReadOnlyRootAndVolumes() async throws {
        let lines = try await inside(
            "touch /x; touch /data/x; touch /volume/y && cat /volume/seed; echo z > /scratch/z && df -k /scratch | tail -1 | tr -s ' ' | cut -d' ' -f2"
        ) { spec, machine in
            let volume = "\(machine.directory)/volume"
            try Files.makeDirectories(volume)
            try Files.replace("\(volume)/seed", Array("seed\n".utf8))
            spec.root.readOnly = true
            spec.mounts.append(ContainerMount(target: "/data", .bind(source: volume), readOnly: true))
            spec.mounts.append(ContainerMount(target: "/volume", .bind(source: volume)))
            spec.mounts.append(ContainerMount(target: "/scratch", .tmpfs(options: "size=1024k,mode=1777")))
        }
        #expect(lines.filter { $0.contains("Read-only file system") }.count == 2)
        #expect(lines.suffix(2) == ["seed", "1024"])
    }

    @Test func subpathsStayInsideTheirVolume() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            let volume = "\(machine.directory)/volume"
            try Files.makeDirectories("\(volume)/good")
            try Files.replace("\(volume)/good/file", Array("fine\n".utf8))
            symlink("/etc", "\(volume)/absolute")
            symlink("../..", "\(volume)/relative")
            symlink("good", "\(volume)/inside")
            for (index, path) in ["absolute", "relative", "../image", "good/../../image"].enumerated() {
                var spec = try machine.shell("ls /data", id: "bad\(index)")
                spec.mounts.append(ContainerMount(target: "/data", .bind(source: volume, subpath: path)))
                let container = try sandbox.create(spec)
                let failure = await #expect(throws: ContainerFailure.self) { try await container.start() }
                #expect(failure?.errno == EXDEV)
            }
            var spec = try machine.shell("cat /data/file; ls -d /new", id: "good")
            spec.mounts.append(ContainerMount(target: "/data", .bind(source: volume, subpath: "inside")))
            spec.mounts.append(ContainerMount(target: "/new", .bind(source: volume, subpath: "made/deep", makeSubpath: true)))
            #expect(try await machine.run(spec, in: sandbox).lines == ["stdout F fine", "stdout F /new"])
            #expect(Files.isDirectory("\(volume)/made/deep"))
        }
    }

    @Test func aSymlinkOfTheImageCannotLeadAMountOutside() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            let outside = "\(machine.directory)/outside"
            try Files.makeDirectories(outside)
            symlink("\(outside)", "\(machine.directory)/image/link")
            symlink("/proc", "\(machine.directory)/image/trap")
            var spec = try machine.shell("cat /link/here/file")
            let volume = "\(machine.directory)/volume"
            try Files.makeDirectories(volume)
            try Files.replace("\(volume)/file", Array("fine\n".utf8))
            spec.mounts.append(ContainerMount(target: "/link/here", .bind(source: volume)))
            #expect(try await machine.run(spec, in: sandbox).lines == ["stdout F fine"])
            #expect(try Files.list(outside).isEmpty)
            var trapped = try machine.shell("true", id: "trapped")
            trapped.mounts.append(ContainerMount(target: "/trap/self", .bind(source: volume)))
            let container = try sandbox.create(trapped)
            await #expect(throws: ContainerFailure.self) { try await container.start() }
        }
    }

    @Test func limitsAreInTheCgroupFilesAndSeenInside() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("ulimit -n; cat /proc/self/oom_score_adj; exec sleep 100")
            spec.limits.memory = 64 << 20
            spec.limits.cpuShares = 512
            spec.limits.cpuQuota = 50_000
            spec.limits.cpuPeriod = 100_000
            spec.limits.pids = 77
            spec.process.limits = [ResourceLimit(resource: 7 /* RLIMIT_NOFILE */, soft: 111, hard: 222)]
            spec.process.oomScoreAdjustment = 500
            let container = try sandbox.create(spec)
            try await container.start()
            let group = container.cgroup
            while try machine.lines().count < 2 { try await Task.sleep(for: .milliseconds(5)) }
            #expect(try machine.lines() == ["stdout F 111", "stdout F 500"])
            let stats = group.stats()
            #expect(stats.memoryLimit == 64 << 20 && stats.pids == 1 && stats.memoryWorkingSet > 0)
            if group.hierarchy.version == .v1 {
                #expect(group.current("pids", "pids.max") == 77 && group.current("cpu", "cpu.shares") == 512)
                #expect(group.current("cpu", "cpu.cfs_quota_us") == 50_000)
            }
        }
    }

    @Test func runningOutOfMemoryIsNoticed() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("exec tail /dev/zero > /dev/null")
            spec.limits.memory = 20 << 20
            let (exit, _) = try await machine.run(spec, in: sandbox)
            #expect(exit.oomKilled && exit.code == 137)
            let (calm, _) = try await machine.run(try machine.shell("true", id: "calm"), in: sandbox)
            #expect(!calm.oomKilled)
        }
    }

    @Test func sharedProcessesAndMemoryAreSharedInTheSandbox() async throws {
        try await Machine.with { machine in
            var box = machine.sandboxSpec()
            box.processIDs = .shared
            let sandbox = try await machine.runtime.createSandbox(box)
            var first = try machine.shell("echo hi > /dev/shm/note; exec sleep 1234", id: "first")
            first.processIDs = .sandbox
            let one = try sandbox.create(first)
            try await one.start()
            while one.cgroup.processes().isEmpty { try await Task.sleep(for: .milliseconds(5)) }
            var second = try machine.shell(
                "until [ -s /dev/shm/note ]; do sleep 0.01; done; cat /dev/shm/note; cat /proc/1/comm; grep -l 1234 /proc/[0-9]*/cmdline | wc -l",
                id: "second")
            second.processIDs = .sandbox
            let lines = try await machine.run(second, in: sandbox).lines
            #expect(lines.prefix(2) == ["stdout F hi", "stdout F pause"])
            #expect(Int(lines.last?.dropFirst(9) ?? "") ?? 0 >= 1)
        }
    }

    @Test func manyLayersStackInOrder() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("cat /top; ls /layers | wc -l; rm /top; ls /top")
            var layers: [String] = []
            for index in 0..<40 {
                let layer = "\(machine.directory)/layers/\(String(repeating: "x", count: 180))/\(index)"
                try Files.makeDirectories("\(layer)/layers")
                try Files.replace("\(layer)/layers/\(index)", [], mode: 0o644)
                try Files.replace("\(layer)/top", Array("\(index)\n".utf8), mode: 0o644)
                layers.append(layer)
            }
            spec.root.layers = layers + spec.root.layers
            #expect(try await machine.run(spec, in: sandbox).lines.prefix(2) == ["stdout F 0", "stdout F 40"])
            #expect(try Files.text("\(layers[0])/top") == "0\n")
        }
    }

    @Test func deviceProgramsAreTakenByTheKernel() throws {
        guard let unified = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].first(where: { Files.exists("\($0)/cgroup.controllers") }) else {
            return
        }
        let directory = "\(unified)/jangada-test-\(Identifier.suffix(6))"
        try Files.makeDirectories(directory)
        defer { rmdir(directory) }
        let group = try Descriptor.open(directory, O_RDONLY | O_DIRECTORY)
        let program = DeviceProgram.instructions(DeviceRule.standard)
        #expect(jangada_cgroup_attach_devices(group.raw, program, UInt32(program.count)) == 0)
        let output = "\(directory.replacing("/", with: "_"))"
        var spawn = Spawn(
            .path("/bin/sh"), arguments: ["sh", "-c", "head -c1 /dev/zero >/dev/null || exit 3; head -c1 /dev/kmsg && exit 4; exit 0"])
        spawn.cgroup = group
        let child = try spawn.start()
        var code: Int32?
        while code == nil {
            code = try child.reap()
            usleep(2000)
        }
        #expect(code == 0, "\(output)")
    }

    /// On a machine with v1 the unified tree is there too, only without controllers: joining, killing and devices work as on v2.
    @Test func theUnifiedHierarchyServesAsWell() async throws {
        let unified = CgroupHierarchy(version: .v2, mounts: [:], root: "/sys/fs/cgroup/unified", controllers: [])
        guard Files.exists("\(unified.root)/cgroup.controllers") else { return }
        try await Machine.with(cgroups: unified) { machine in
            let sandbox = try await machine.sandbox()
            let container = try sandbox.create(
                try machine.shell(
                    "cat /proc/self/cgroup | grep '^0:'; mknod /tmp/kmsg c 1 11; head -c1 /tmp/kmsg && echo open; exec sleep 100"))
            try await container.start()
            while try machine.lines().count < 2 { try await Task.sleep(for: .milliseconds(5)) }
            #expect(try machine.lines().first == "stdout F 0::/")
            #expect(try machine.lines().last?.contains("not permitted") == true)
            let session = try await container.exec(ExecSpec(arguments: ["sleep", "100"]))
            #expect(Set(container.cgroup.processes()).contains(session.pid) && container.cgroup.processes().count == 2)
            #expect(sandbox.cgroup.child("init").processes() == [sandbox.pid])
            container.cgroup.killAll()
            #expect(try await container.wait().code == 137)
            #expect(try await session.wait() == 137)
        }
    }

    @Test func theHostsProcessesAreNotSharedByAccident() async throws {
        try await Machine.with { machine in
            let sandbox = try await machine.sandbox()
            var spec = try machine.shell("true")
            spec.processIDs = .sandbox
            #expect(throws: SystemFailure.self) { _ = try sandbox.create(spec) }
        }
    }
}

import CLinux
import Containers
import Glibc
import Linux

// What jangada's own main does before anything else.
if jangada_is_sandbox(CommandLine.argc, CommandLine.unsafeArgv) != 0 {
    exit(jangada_sandbox_main(CommandLine.argc, CommandLine.unsafeArgv))
}

// A daemon to be killed: sandbox-probe DIRECTORY CGROUP LAYER LOG SCRIPT starts one container and waits for its end.
let arguments = CommandLine.arguments
guard arguments.count == 6 else { exit(64) }
let runtime = try ContainerRuntime(stateDirectory: "\(arguments[1])/state", runtimeDirectory: "\(arguments[1])/run")
let sandbox = try await runtime.createSandbox(SandboxSpec(id: "box", cgroup: arguments[2]))
var spec = ContainerSpec(
    id: "main", root: RootFilesystem(layers: [arguments[3]]),
    process: ProcessSpec(arguments: ["/bin/sh", "-c", arguments[5]], seccomp: nil))
for path in ["/usr", "/bin", "/lib", "/lib64"] where Files.isDirectory(path) {
    spec.mounts.append(ContainerMount(target: path, .bind(source: path), readOnly: true))
}
spec.log = ContainerLog(path: arguments[4])
spec.labels = ["pod": "demo"]
let container = try sandbox.create(spec)
try await container.start()
try Descriptor(dup(1)).writeAll(Array("running\n".utf8))
while true { try await Task.sleep(for: .seconds(60)) }

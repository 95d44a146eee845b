import CLinux
import Glibc

/// Hands the process over to the C code of a pod's init when it was started as one.
enum SandboxEntry {
    static func runIfAsked() {
        if jangada_is_sandbox(CommandLine.argc, CommandLine.unsafeArgv) != 0 {
            exit(jangada_sandbox_main(CommandLine.argc, CommandLine.unsafeArgv))
        }
    }
}

import CLinux
import Glibc

// What jangada's own main does before anything else.
exit(jangada_sandbox_main(CommandLine.argc, CommandLine.unsafeArgv))

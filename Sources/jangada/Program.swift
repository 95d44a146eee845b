import ArgumentParser
import Glibc

@main
enum Program {
    static func main() {
        // Before anything else: a pod's init is this same program, but none of its Swift.
        SandboxEntry.runIfAsked()
        // A reader that goes away (`| head`) ends a write with EPIPE, which is handled, not the process.
        signal(SIGPIPE, SIG_IGN)
        // Detached: main belongs to the main actor, whose queue nobody serves here.
        Task.detached {
            await run()
            exit(EXIT_SUCCESS)
        }
        // An async main would end in dispatch_main, whose pthread_exit unwinds this thread: in a static executable the unwinder
        // first sorts the tables of all functions, which takes tens of milliseconds and megabytes that nothing else ever needs.
        while true { pause() }
    }

    private nonisolated static func run() async {
        do {
            var command = try Jangada.parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let failure as CommandFailure {
            Terminal.error.write(failure.rendered(Terminal.error.style))
            exit(failure.code)
        } catch {
            if let failure = CommandFailure(unexpected: error) {
                Terminal.error.write(failure.rendered(Terminal.error.style))
                exit(failure.code)
            }
            Jangada.exit(withError: error)
        }
    }
}

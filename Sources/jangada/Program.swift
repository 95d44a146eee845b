import ArgumentParser
import Glibc

@main
enum Program {
    static func main() async {
        // Before anything else: a pod's init is this same program, but none of its Swift.
        SandboxEntry.runIfAsked()
        // A reader that goes away (`| head`) ends a write with EPIPE, which is handled, not the process.
        signal(SIGPIPE, SIG_IGN)
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

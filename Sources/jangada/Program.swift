import ArgumentParser

@main
enum Program {
    static func main() async {
        // Before anything else: a pod's init is this same program, but none of its Swift.
        SandboxEntry.runIfAsked()
        await Jangada.main()
    }
}

import Core
import Glibc
import Store

// A process of its own for the store's tests: `crash` writes until it kills itself at a given step and prints what was
// acknowledged; `hold` keeps a database open; `bench` measures.
let arguments = CommandLine.arguments
switch (arguments.dropFirst().first, arguments.count) {
case ("crash", 5): await CrashWriter(path: arguments[2], step: arguments[3], after: Int(arguments[4]) ?? 1).run()
case ("hold", 3): try holdOpen(arguments[2])
case ("bench", 3): try await Benchmark(folder: arguments[2]).run()
default:
    print("usage: StoreDriver crash PATH STEP COUNT | hold PATH | bench FOLDER")
    exit(2)
}

func holdOpen(_ path: String) throws {
    let store = try Store(.file(path, .durable))
    _ = write(1, "open\n", 5)
    _ = getchar()
    store.close()
}

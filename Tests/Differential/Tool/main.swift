import Core
import Differential
import DifferentialBare

// differential-tool record KUBECONFIG FILES…              writes the answers of one server to Answers/ beside the files' folder
// differential-tool compare KUBECONFIG KUBECONFIG FILES…  prints what differs between two
// differential-tool names KUBECONFIG KUBECONFIG FILES…    prints only the names of what differs
// differential-tool serve DIRECTORY PORT                  an API server alone, with DIRECTORY/kubeconfig
// A file is a .sweep, a .script, or lifecycle:FILE.sweep.

let arguments = Array(CommandLine.arguments.dropFirst())
do {
    switch arguments.first {
    case "record" where arguments.count > 2:
        let server = try Server(arguments[1])
        try await Asking.prepare(server)
        for file in arguments[2...] { try await Asking(file).record(server) }
    case "compare" where arguments.count > 3, "names" where arguments.count > 3:
        let servers = (try Server(arguments[1]), try Server(arguments[2]))
        try await Asking.prepare(servers.0)
        try await Asking.prepare(servers.1)
        var (count, different) = (0, 0)
        for file in arguments[3...] {
            let asking = try Asking(file)
            async let first = asking.answers(servers.0)
            async let second = asking.answers(servers.1)
            let (one, two) = (try await first, try await second)
            let others = Dictionary(two.map { ($0.name, $0.answer) }) { first, _ in first }
            for (name, answer) in one {
                let found = others[name].map { Answer.differences(answer, $0) } ?? ["only in the first"]
                count += 1
                guard !found.isEmpty else { continue }
                different += 1
                print(arguments[0] == "names" ? name : "## \(name)")
                if arguments[0] == "compare" { for line in found.prefix(12) { print("    \(line.prefix(600))") } }
            }
            let names = Set(one.map(\.name))
            for (name, _) in two where !names.contains(name) {
                (count, different) = (count + 1, different + 1)
                print(arguments[0] == "names" ? name : "## \(name)\n    only in the second")
            }
        }
        print("# \(count) requests, \(different) differ")
    case "serve" where arguments.count == 3:
        let cluster = try await BareCluster(directory: arguments[1], port: Int(arguments[2]) ?? 0)
        print("ready: \(cluster.kubeconfig)")
        while true { try await Task.sleep(for: .seconds(3600)) }
    default: print("usage: differential-tool record KUBECONFIG FILES… | compare KUBECONFIG KUBECONFIG FILES… | names … | serve DIRECTORY PORT")
    }
} catch {
    print("error: \(error)")
}

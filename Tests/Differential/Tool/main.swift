import Core
import Differential
import Transport
import Tree

// differential record KUBECONFIG REQUESTS...            prints the answers of one server
// differential compare KUBECONFIG KUBECONFIG REQUESTS... prints what differs between two

let arguments = Array(CommandLine.arguments.dropFirst())
do {
    switch arguments.first {
    case "record" where arguments.count > 2:
        let server = try Server(arguments[1])
        for path in arguments[2...] {
            for request in try RequestFile.read(path) { print(AnswerFile.line(request, try await server.send(request))) }
        }
    case "compare" where arguments.count > 3:
        let (first, second) = (try Server(arguments[1]), try Server(arguments[2]))
        var (count, different) = (0, 0)
        for path in arguments[3...] {
            for request in try RequestFile.read(path) {
                let found = Answer.differences(try await first.send(request), try await second.send(request))
                count += 1
                guard !found.isEmpty else { continue }
                different += 1
                print("## \(request.name)")
                for line in found.prefix(8) { print("    \(line)") }
            }
        }
        print("\(count) requests, \(different) differ")
    default: print("usage: differential record KUBECONFIG REQUESTS… | compare KUBECONFIG KUBECONFIG REQUESTS…")
    }
} catch {
    print("error: \(error)")
}

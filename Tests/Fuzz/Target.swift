import Core
import Differential
import Tree

/// Something that reads what others send: how inputs for it are made, and how it is given one. Errors are fine, ends of the process
/// are not.
struct Target: Sendable {
    let name: String
    /// How many inputs it gets beside the others.
    let share: Int
    let make: @Sendable (inout Random) -> [UInt8]
    let run: @Sendable ([UInt8]) -> Void

    static func all() throws -> [Target] {
        let corpus = try Corpus()
        return syntaxes(corpus) + expressions(corpus) + objects(corpus) + images(corpus) + texts(corpus) + [try wire(), try requests(corpus)]
    }

    /// A target whose inputs are `samples` with bytes changed.
    static func text(_ name: String, share: Int = 3, _ samples: [String], words: [String] = [], _ run: @escaping @Sendable (String) -> Void) -> Target {
        bytes(name, share: share, samples.map { Array($0.utf8) }, words: words) { run(String(decoding: $0, as: UTF8.self)) }
    }

    static func bytes(_ name: String, share: Int = 3, _ samples: [[UInt8]], words: [String] = [], _ run: @escaping @Sendable ([UInt8]) -> Void) -> Target {
        let mutator = ByteMutator(corpus: samples, words: words.map { Array($0.utf8) })
        return Target(name: name, share: share, make: { mutator.make(&$0) }, run: run)
    }
}

/// Right objects of every kind that the differential tests send, and where they go.
struct Corpus: Sendable {
    let requests: [Request]
    let objects: [Node]
    let json: [[UInt8]]
    let yaml: [[UInt8]]

    init() throws {
        let folder = #filePath.split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 } + "/Differential/Requests"
        var requests: [Request] = []
        for name in try FileSystem.list(folder).sorted() where name.hasSuffix(".sweep") { requests += try RequestFile.read("\(folder)/\(name)").filter { !$0.isSwept } }
        self.requests = requests
        objects = requests.map(\.body).filter { $0.has("kind") }
        json = objects.map { JSONWriter.write($0) }
        yaml = objects.map { YAMLWriter.write($0) }
    }
}

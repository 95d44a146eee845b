import Core
import Tree

/// Recorded answers: for a named request all of it, for one of a sweep its code and digest, a line each in the requests' order.
package enum AnswerFile {
    package struct Recorded: Sendable {
        package let name: String
        package let code: Int
        package let digest: String
        /// The error's text, for people.
        package let message: String
    }

    package static func line(_ name: String, _ answer: Answer, isSwept: Bool) -> String {
        let head = "\(name)\t\(answer.code)\t\(answer.digest)"
        return isSwept ? head : head + "\t" + (answer.message ?? "").replacing("\n", with: "\\n")
    }

    package static func read(_ path: String) throws -> [Recorded] {
        let text = String(decoding: try FileSystem.readFile(path), as: UTF8.self)
        return text.split(separator: "\n").compactMap { line in
            let parts = line.split(separator: "\t", maxSplits: 3, omittingEmptySubsequences: false)
            guard parts.count >= 3, let code = Int(parts[1]) else { return nil }
            return Recorded(name: String(parts[0]), code: code, digest: String(parts[2]), message: parts.count > 3 ? String(parts[3]) : "")
        }
    }
}

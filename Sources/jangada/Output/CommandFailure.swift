import ArgumentParser
import Core
import Platform
import Transport
import Tree

/// Why a command ends without having done its work: one line for a person, and the next step where there is one.
struct CommandFailure: Error, Equatable {
    var message: String
    var hint: String?
    var code: Int32 = 1

    init(_ message: String, hint: String? = nil, code: Int32 = 1) {
        self.message = message
        self.hint = hint
        self.code = code
    }

    /// The line for an error that no command foresaw; nil for what the argument parser words better.
    init?(unexpected error: any Error) {
        switch error {
        case let failure as SystemFailure:
            self.init(failure.description, hint: failure.errno == 13 || failure.errno == 1 ? "This needs root: put sudo before it." : nil)
        case let failure as ControlFailure: self.init(failure.message, hint: failure.hint)
        case let error as TransportError: self.init("the connection broke off: \(error)")
        case let error as SyntaxError: self.init("\(error)")
        default: return nil
        }
    }

    func rendered(_ style: Style) -> String {
        "\(style.red("error:")) \(message)\n" + (hint.map { "  \($0)\n" } ?? "")
    }
}

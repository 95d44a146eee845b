import Glibc

/// What a failed system call or file operation tells: which one, on what, and why.
/// `operation` is a constant that names the call ("mount", "clone3", "open"); `subject` the path, pid or link it was about.
package struct SystemFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package let operation: String
    package let subject: String
    package let errno: Int32
    package let hint: String?

    package init(_ operation: String, _ subject: String = "", errno code: Int32? = nil, hint: String? = nil) {
        self.operation = operation
        self.subject = subject
        self.errno = code ?? Glibc.errno
        self.hint = hint
    }

    /// Whether there was no room on a disk, or no more for this user: it works again once there is.
    package var isDiskFull: Bool { errno == ENOSPC || errno == EDQUOT }

    package var reason: String { String(cString: strerror(errno)) }

    package var description: String {
        var text = operation
        if !subject.isEmpty { text += " \(subject)" }
        text += ": \(reason.lowercased())"
        if let hint { text += " (\(hint))" }
        return text
    }
}

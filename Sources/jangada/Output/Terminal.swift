import Glibc

/// Colours, where the output is a terminal that wants them.
struct Style: Sendable {
    let isOn: Bool

    func bold(_ text: String) -> String { wrap(text, "1") }
    func dim(_ text: String) -> String { wrap(text, "2") }
    func red(_ text: String) -> String { wrap(text, "31") }
    func green(_ text: String) -> String { wrap(text, "32") }
    func yellow(_ text: String) -> String { wrap(text, "33") }
    func cyan(_ text: String) -> String { wrap(text, "36") }

    private func wrap(_ text: String, _ code: String) -> String { isOn ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text }
}

/// One of the two output streams. Writes are whole and unbuffered; a reader that went away is ignored.
struct Terminal: Sendable {
    let descriptor: Int32
    let isTerminal: Bool
    let style: Style

    static let output = Terminal(STDOUT_FILENO)
    static let error = Terminal(STDERR_FILENO)

    private init(_ descriptor: Int32) {
        self.descriptor = descriptor
        isTerminal = isatty(descriptor) == 1
        // https://no-color.org
        let plain = Environment["NO_COLOR"].map { !$0.isEmpty } ?? false
        style = Style(isOn: isTerminal && !plain && Environment["TERM"] != "dumb")
    }

    func write(_ text: String) { write(Array(text.utf8)) }

    func line(_ text: String = "") { write(text + "\n") }

    func write(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count < 0 {
                    if errno == EINTR { continue }
                    return
                }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// Columns of the terminal; 80 where nobody knows.
    var width: Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}

/// Variables of the process's environment.
enum Environment {
    static subscript(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}

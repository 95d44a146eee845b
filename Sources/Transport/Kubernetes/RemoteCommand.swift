/// Which streams an exec or attach has.
package struct RemoteCommandOptions: Sendable, Equatable {
    package var stdin: Bool
    package var stdout: Bool
    package var stderr: Bool
    package var tty: Bool

    package init(stdin: Bool, stdout: Bool, stderr: Bool, tty: Bool) {
        self.stdin = stdin
        self.stdout = stdout
        // A terminal has one output.
        self.stderr = stderr && !tty
        self.tty = tty
    }

    /// The API's names (`stdin=true&stdout=true&tty=true`).
    package init(query: [QueryItem]) {
        func flag(_ name: String) -> Bool {
            guard let value = query.first(where: { $0.name == name })?.value else { return false }
            return value == "true" || value == "1"
        }
        self.init(stdin: flag("stdin"), stdout: flag("stdout"), stderr: flag("stderr"), tty: flag("tty"))
    }

    /// The kubelet's names (`input=1&output=1&error=1&tty=1`).
    package init(kubeletQuery query: [QueryItem]) {
        func flag(_ name: String) -> Bool { query.contains { $0.name == name && $0.value == "1" } }
        self.init(stdin: flag("input"), stdout: flag("output"), stderr: flag("error"), tty: flag("tty"))
    }

    /// Upstream refuses a session without any stream.
    package var isEmpty: Bool { !stdin && !stdout && !stderr }
}

/// The size a client's terminal has now.
package struct TerminalSize: Sendable, Equatable {
    package let width: Int
    package let height: Int

    package init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }

    /// The sizes in a run of `{"Width":80,"Height":24}` texts; what is not one is skipped.
    static func parse(_ text: [UInt8]) -> [TerminalSize] {
        text.split(separator: 0x7D).compactMap { object in
            guard let width = number(after: "\"Width\":", in: object), let height = number(after: "\"Height\":", in: object) else { return nil }
            return TerminalSize(width: width, height: height)
        }
    }

    private static func number(after key: String, in object: ArraySlice<UInt8>) -> Int? {
        let key = Array(key.utf8)
        let text = object.filter { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }
        guard text.count > key.count else { return nil }
        for at in 0..<(text.count - key.count) where text[at..<(at + key.count)].elementsEqual(key) {
            let digits = text[(at + key.count)...].prefix { $0 >= 48 && $0 <= 57 }
            return digits.count <= 5 ? Int(String(decoding: digits, as: UTF8.self)) : nil
        }
        return nil
    }
}

/// How a remote command ended.
package enum RemoteCommandOutcome: Sendable, Equatable {
    case exited(code: Int)
    /// It could not be run or watched to its end; the text names why.
    case failed(String)

    /// The `Status` of protocols v4 and v5.
    var status: String {
        switch self {
        case .exited(0): return #"{"metadata":{},"status":"Success"}"#
        case .exited(let code):
            return #"{"metadata":{},"status":"Failure","message":"\#(message)","reason":"NonZeroExitCode","#
                + #""details":{"causes":[{"reason":"ExitCode","message":"\#(code)"}]}}"#
        case .failed:
            return #"{"metadata":{},"status":"Failure","message":"\#(JSONText.escaped("Internal error occurred: " + message))","#
                + #""reason":"InternalError","details":{"causes":[{"message":"\#(JSONText.escaped(message))"}]},"code":500}"#
        }
    }

    /// What protocols before v4 write, in failure only.
    var message: String {
        switch self {
        case .exited(let code): "command terminated with non-zero exit code: exit status \(code)"
        case .failed(let text): "error executing command in container: \(text)"
        }
    }
}

/// The few JSON texts this target writes.
enum JSONText {
    static func escaped(_ text: String) -> String {
        var out: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x22: out += [0x5C, 0x22]
            case 0x5C: out += [0x5C, 0x5C]
            case 0x0A: out += [0x5C, 0x6E]
            case 0x09: out += [0x5C, 0x74]
            case 0x0D: out += [0x5C, 0x72]
            case 0..<0x20: out += Array("\\u00".utf8) + [48 + (byte >> 4), Array("0123456789abcdef".utf8)[Int(byte & 15)]]
            default: out.append(byte)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

/// The subprotocols of exec and attach, newest first.
package enum RemoteCommandProtocol {
    static let webSocket = [
        "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io", "",
    ]
    static let spdy = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"]
}

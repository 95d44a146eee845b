import NIOCore

/// Splits an HTTP/1 byte stream into messages. No IO: bytes go in, events come out, at most one head of look-ahead is kept.
/// Strict where leniency lets requests be smuggled: both lengths at once, odd transfer codings, folded lines and control
/// characters are errors; a bare LF ends a line, as most servers accept.
struct HTTP1Parser {
    enum Role { case request, response }

    /// How the body of the message that is being read ends.
    enum Framing: Equatable {
        case none
        case length(Int)
        case chunked
        case untilClose
    }

    struct Head {
        /// Method and target, or empty in a response.
        var method = ""
        var target = ""
        var status = 0
        var minorVersion = 1
        var headers = HTTPHeaders()
        var framing = Framing.none

        var keepsAlive: Bool {
            minorVersion == 0 ? headers.hasToken("connection", "keep-alive") : !headers.hasToken("connection", "close")
        }
    }

    enum Event {
        case head(Head)
        case body(ByteBuffer)
        case end
    }

    struct Failure: Error {
        let status: Int
        let text: String

        init(_ text: String, status: Int = 400) {
            self.text = text
            self.status = status
        }
    }

    private enum State: Equatable {
        case head
        case fixed(Int)
        case chunkSize
        case chunk(Int)
        case chunkEnd
        case trailers
        case untilClose
        case end
    }

    static let maximumHead = 256 * 1024
    static let maximumFields = 1000

    private let role: Role
    private var state = State.head
    private var scanned = 0
    private var trailerBytes = 0
    /// The method of the request that the next response answers: HEAD has no body whatever its head says.
    var answersHead = false

    init(_ role: Role) { self.role = role }

    var isBetweenMessages: Bool { state == .head }

    /// The next event of what is in `buffer`, nil where more bytes are needed.
    mutating func next(_ buffer: inout ByteBuffer) throws(Failure) -> Event? {
        while true {
            switch state {
            case .head:
                guard let head = try head(&buffer) else { return nil }
                return .head(head)
            case .fixed(let left):
                guard buffer.readableBytes > 0, let part = buffer.readSlice(length: min(left, buffer.readableBytes)) else { return nil }
                let rest = left - part.readableBytes
                state = rest == 0 ? .end : .fixed(rest)
                return .body(part)
            case .untilClose:
                guard buffer.readableBytes > 0 else { return nil }
                return buffer.readSlice(length: buffer.readableBytes).map { .body($0) }
            case .chunkSize:
                guard let line = try line(&buffer, limit: 4096) else { return nil }
                let size = try HTTP1Parser.chunkSize(line)
                trailerBytes = 0
                state = size == 0 ? .trailers : .chunk(size)
            case .chunk(let left):
                guard buffer.readableBytes > 0, let part = buffer.readSlice(length: min(left, buffer.readableBytes)) else { return nil }
                let rest = left - part.readableBytes
                state = rest == 0 ? .chunkEnd : .chunk(rest)
                return .body(part)
            case .chunkEnd:
                guard let line = try line(&buffer, limit: 2) else { return nil }
                guard line.isEmpty else { throw Failure("chunk longer than its size") }
                state = .chunkSize
            case .trailers:
                guard let line = try line(&buffer, limit: HTTP1Parser.maximumHead) else { return nil }
                trailerBytes += line.count
                guard trailerBytes <= HTTP1Parser.maximumHead else { throw Failure("trailers too large", status: 431) }
                if line.isEmpty { state = .end }
            case .end:
                state = .head
                scanned = 0
                return .end
            }
        }
    }

    /// The stream has ended: whether that ends the message properly.
    mutating func finished() -> Bool {
        if state == .untilClose {
            state = .head
            return true
        }
        return state == .head
    }

    private mutating func line(_ buffer: inout ByteBuffer, limit: Int) throws(Failure) -> [UInt8]? {
        let view = buffer.readableBytesView
        guard let feed = view.firstIndex(of: 0x0A) else {
            if view.count > limit { throw Failure("line too long") }
            return nil
        }
        var line = Array(view[view.startIndex..<feed])
        buffer.moveReaderIndex(forwardBy: line.count + 1)
        if line.last == 0x0D { line.removeLast() }
        guard line.count <= limit else { throw Failure("line too long") }
        return line
    }

    private static func chunkSize(_ line: [UInt8]) throws(Failure) -> Int {
        var size = 0
        var digits = 0
        for byte in line {
            let value: Int
            switch byte {
            case 48...57: value = Int(byte) - 48
            case 65...70: value = Int(byte) - 55
            case 97...102: value = Int(byte) - 87
            case 0x3B, 0x20, 0x09:
                guard digits > 0 else { throw Failure("chunk without a size") }
                return size
            default: throw Failure("chunk size is not a number")
            }
            digits += 1
            guard digits <= 15 else { throw Failure("chunk size too large") }
            size = size << 4 | value
        }
        guard digits > 0 else { throw Failure("chunk without a size") }
        return size
    }

    // MARK: - Heads

    private mutating func head(_ buffer: inout ByteBuffer) throws(Failure) -> Head? {
        // RFC 9112 2.2: empty lines before a request line are ignored.
        while role == .request, let byte = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self), byte == 0x0D || byte == 0x0A {
            buffer.moveReaderIndex(forwardBy: 1)
            scanned = 0
        }
        guard let length = try headLength(buffer) else { return nil }
        guard let bytes = buffer.readSlice(length: length) else { return nil }
        scanned = 0
        let result: Result<Head, Failure> = bytes.withUnsafeReadableBytes { raw in
            do throws(Failure) { return .success(try HTTP1HeadReader(raw).read(role)) } catch { return .failure(error) }
        }
        var head = try result.get()
        head.framing = try framing(of: head)
        switch head.framing {
        case .none, .length(0): state = .end
        case .length(let count): state = .fixed(count)
        case .chunked: state = .chunkSize
        case .untilClose: state = .untilClose
        }
        return head
    }

    /// The head's length with its empty line; remembers how far it looked, so that dribbled heads cost no more than whole ones.
    private mutating func headLength(_ buffer: ByteBuffer) throws(Failure) -> Int? {
        let from = max(0, scanned - 3)
        let found: Int? = buffer.withUnsafeReadableBytes { raw in
            var at = from
            while at < raw.count {
                if raw[at] == 0x0A {
                    if at + 1 < raw.count, raw[at + 1] == 0x0A { return at + 2 }
                    if at + 2 < raw.count, raw[at + 1] == 0x0D, raw[at + 2] == 0x0A { return at + 3 }
                }
                at += 1
            }
            return nil
        }
        scanned = buffer.readableBytes
        if found ?? scanned > HTTP1Parser.maximumHead { throw Failure("header fields too large", status: 431) }
        return found
    }

    private func framing(of head: Head) throws(Failure) -> Framing {
        if role == .response {
            if answersHead || head.status == 204 || head.status == 304 || (100..<200).contains(head.status) { return .none }
        }
        let codings = head.headers.list("transfer-encoding")
        let lengths = Set(head.headers.list("content-length"))
        if !codings.isEmpty {
            guard codings.count == 1, HTTPHeaders.equal(codings[0], "chunked"), head.minorVersion == 1 else {
                throw Failure("unknown transfer coding", status: role == .request ? 501 : 400)
            }
            guard lengths.isEmpty else { throw Failure("both a length and a transfer coding") }
            return .chunked
        }
        if !lengths.isEmpty {
            guard lengths.count == 1, let text = lengths.first, text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }), let length = Int(text) else {
                throw Failure("content length is not a number")
            }
            return .length(length)
        }
        if head.headers.contains("content-length") { throw Failure("content length is not a number") }
        return role == .request ? .none : .untilClose
    }
}

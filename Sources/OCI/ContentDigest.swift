package import Core

/// A content address, `sha256:…` or `sha512:…`, always well formed: its hex may be used as a file name.
package struct ContentDigest: Sendable, Hashable, CustomStringConvertible, Comparable {
    package typealias Algorithm = MessageDigest.Algorithm

    package let algorithm: Algorithm
    package let hex: String

    private init(algorithm: Algorithm, hex: String) {
        self.algorithm = algorithm
        self.hex = hex
    }

    package init(_ algorithm: Algorithm = .sha256, bytes: [UInt8]) {
        precondition(bytes.count == (algorithm == .sha256 ? 32 : 64), "a digest of the wrong length")
        self.init(algorithm: algorithm, hex: Encoding.hex(bytes))
    }

    /// The digest of bytes.
    package init(of bytes: [UInt8], _ algorithm: Algorithm = .sha256) {
        var digest = MessageDigest(algorithm)
        digest.update(bytes)
        self.init(algorithm, bytes: digest.finish())
    }

    /// Parses `algorithm:hex`; the errors are those of go-digest.
    package init(parsing text: String) throws(ImageError) {
        let parts = text.utf8.split(separator: 0x3A, maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty, ContentDigest.isAlgorithm(parts[0]),
            parts[1].allSatisfy(ContentDigest.isEncoded)
        else { throw ImageError(.invalid, "invalid checksum digest format") }
        guard let algorithm = Algorithm(rawValue: String(Substring(parts[0]))) else {
            throw ImageError(.invalid, "unsupported digest algorithm")
        }
        guard parts[1].count == (algorithm == .sha256 ? 64 : 128) else { throw ImageError(.invalid, "invalid checksum digest length") }
        guard parts[1].allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }) else {
            throw ImageError(.invalid, "invalid checksum digest format")
        }
        self.init(algorithm: algorithm, hex: String(Substring(parts[1])))
    }

    package init?(_ text: String) {
        guard let parsed = try? ContentDigest(parsing: text) else { return nil }
        self = parsed
    }

    package var description: String { "\(algorithm.rawValue):\(hex)" }
    package static func < (a: ContentDigest, b: ContentDigest) -> Bool { (a.algorithm.rawValue, a.hex) < (b.algorithm.rawValue, b.hex) }

    private static func isAlgorithm(_ text: Substring.UTF8View) -> Bool {
        var wordStarts = true
        for byte in text {
            switch byte {
            case 0x61...0x7A, 0x30...0x39: wordStarts = false
            case 0x2E, 0x2B, 0x5F, 0x2D:
                if wordStarts { return false }
                wordStarts = true
            default: return false
            }
        }
        return !wordStarts
    }

    private static func isEncoded(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x61...0x7A, 0x41...0x5A, 0x30...0x39, 0x3D, 0x5F, 0x2D: true
        default: false
        }
    }
}

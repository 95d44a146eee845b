import CCrypto

/// SHA-1, which the WebSocket handshake demands; for nothing else.
enum SHA1 {
    static func hash(_ bytes: [UInt8]) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 20)
        var count: UInt32 = 20
        EVP_Digest(bytes, bytes.count, &out, &count, EVP_sha1(), nil)
        return out
    }
}

import CCrypto

/// A running SHA-256 or SHA-512; `finish` may be called once.
package struct MessageDigest: ~Copyable {
    package enum Algorithm: String, Sendable, CaseIterable { case sha256, sha512 }

    package let algorithm: Algorithm
    private let context: OpaquePointer

    package init(_ algorithm: Algorithm) {
        self.algorithm = algorithm
        let kind = algorithm == .sha256 ? EVP_sha256() : EVP_sha512()
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, kind, nil) == 1 else {
            preconditionFailure("libcrypto has no SHA-2")
        }
        self.context = context
    }

    deinit { EVP_MD_CTX_free(context) }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        EVP_DigestUpdate(context, base, bytes.count)
    }

    package mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    package mutating func finish() -> [UInt8] {
        var out = [UInt8](repeating: 0, count: algorithm == .sha256 ? 32 : 64)
        var count = UInt32(out.count)
        EVP_DigestFinal_ex(context, &out, &count)
        return out
    }
}

/// Keyed and slow hashes, and a comparison that tells nothing by its time.
package enum Secrets {
    package static func hmacSHA256(key: [UInt8], _ message: [UInt8]) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 32
        HMAC(EVP_sha256(), key, Int32(key.count), message, message.count, &out, &count)
        return out
    }

    package static func pbkdf2SHA256(password: String, salt: [UInt8], rounds: Int) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 32)
        let bytes = Array(password.utf8).map { CChar(bitPattern: $0) }
        let done = PKCS5_PBKDF2_HMAC(bytes, Int32(bytes.count), salt, Int32(salt.count), Int32(rounds), EVP_sha256(), 32, &out)
        precondition(done == 1, "libcrypto has no PBKDF2")
        return out
    }

    package static func equal(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        var difference: UInt8 = 0
        for index in a.indices { difference |= a[index] ^ b[index] }
        return difference == 0
    }
}

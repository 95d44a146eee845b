import CCrypto
import Core

/// Passwords and tokens at rest: PBKDF2 with HMAC-SHA-256 and a random salt, as `pbkdf2-sha256$rounds$salt$hash`.
package enum PasswordHash {
    package static func make(_ password: String, rounds: Int = 100_000) -> String {
        let salt = Identifier.randomBytes(16)
        return "pbkdf2-sha256$\(rounds)$\(Encoding.base64URL(salt))$\(Encoding.base64URL(derive(password, salt, rounds)))"
    }

    package static func matches(_ password: String, _ stored: String) -> Bool {
        let parts = stored.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0] == "pbkdf2-sha256", let rounds = Int(parts[1]), (1...10_000_000).contains(rounds),
            let salt = Encoding.decodeBase64(String(parts[2])), let hash = Encoding.decodeBase64(String(parts[3]))
        else { return false }
        return constantTimeEqual(derive(password, salt, rounds), hash)
    }

    /// Compares secrets without telling by its duration where they differ.
    package static func constantTimeEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool { a.count == b.count && CRYPTO_memcmp(a, b, a.count) == 0 }
    package static func constantTimeEqual(_ a: String, _ b: String) -> Bool { constantTimeEqual(Array(a.utf8), Array(b.utf8)) }

    private static func derive(_ password: String, _ salt: [UInt8], _ rounds: Int) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: 32)
        let text = Array(password.utf8).map { CChar(bitPattern: $0) }
        PKCS5_PBKDF2_HMAC(text, Int32(text.count), salt, Int32(salt.count), Int32(rounds), EVP_sha256(), 32, &out)
        return out
    }
}

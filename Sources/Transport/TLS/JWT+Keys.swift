import CCrypto
import Core

/// Keys and signatures of other issuers: every algorithm that upstream takes from them.
extension JWT {
    /// RSA with PKCS#1 v1.5 or PSS, and elliptic curves, each with three digests.
    package enum Algorithm: String, Sendable, CaseIterable {
        case rs256 = "RS256", rs384 = "RS384", rs512 = "RS512"
        case es256 = "ES256", es384 = "ES384", es512 = "ES512"
        case ps256 = "PS256", ps384 = "PS384", ps512 = "PS512"

        var digest: OpaquePointer? {
            switch self {
            case .rs256, .es256, .ps256: EVP_sha256()
            case .rs384, .es384, .ps384: EVP_sha384()
            case .rs512, .es512, .ps512: EVP_sha512()
            }
        }

        var isElliptic: Bool { rawValue.hasPrefix("ES") }
        var isPSS: Bool { rawValue.hasPrefix("PS") }

        /// Bytes of each of the two numbers of an elliptic signature.
        var width: Int {
            switch self {
            case .es384: 48
            case .es512: 66
            default: 32
            }
        }
    }

    /// Whether a key signed it by an algorithm that such a key may use.
    package static func verify(_ parts: Parts, key: PublicKey, by algorithm: Algorithm) -> Bool {
        guard key.isRSA != algorithm.isElliptic else { return false }
        guard algorithm.isElliptic else { return key.verify(parts.signature, of: parts.signed, by: algorithm) }
        guard key.coordinateWidth == algorithm.width, let der = derSignature(parts.signature, width: algorithm.width) else { return false }
        return key.verify(der, of: parts.signed, by: algorithm)
    }

    static func derSignature(_ raw: [UInt8], width: Int) -> [UInt8]? {
        guard raw.count == 2 * width, let signature = ECDSA_SIG_new() else { return nil }
        defer { ECDSA_SIG_free(signature) }
        let size = Int32(width)
        // The signature owns the numbers once they are set.
        guard ECDSA_SIG_set0(signature, BN_bin2bn(Array(raw[0..<width]), size, nil), BN_bin2bn(Array(raw[width...]), size, nil)) == 1 else { return nil }
        return CryptoMemory.der { i2d_ECDSA_SIG(signature, $0) }
    }
}

extension PublicKey {
    /// The numbers of an entry of a JSON Web Key Set.
    package enum Numbers: Sendable {
        case rsa(modulus: [UInt8], exponent: [UInt8])
        /// The curve by its name in such sets: P-256, P-384 or P-521.
        case elliptic(curve: String, x: [UInt8], y: [UInt8])
    }

    package convenience init(_ numbers: Numbers) throws(TransportError) {
        let info: [UInt8]
        switch numbers {
        case .rsa(let modulus, let exponent):
            let key = PublicKey.element(0x30, PublicKey.integer(modulus) + PublicKey.integer(exponent))
            info = PublicKey.info([0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01, 0x05, 0x00], key)
        case .elliptic(let curve, let x, let y):
            let ecPublicKey: [UInt8] = [0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01]
            let known: (name: [UInt8], width: Int)
            switch curve {
            case "P-256": known = ([0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07], 32)
            case "P-384": known = ([0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x22], 48)
            case "P-521": known = ([0x06, 0x05, 0x2B, 0x81, 0x04, 0x00, 0x23], 66)
            default: throw TransportError.identity("curve of a public key is not known")
            }
            guard x.count <= known.width, y.count <= known.width else { throw TransportError.identity("public key does not fit its curve") }
            func padded(_ bytes: [UInt8]) -> [UInt8] { [UInt8](repeating: 0, count: known.width - bytes.count) + bytes }
            info = PublicKey.info(ecPublicKey + known.name, [0x04] + padded(x) + padded(y))
        }
        let handle = info.withUnsafeBufferPointer { buffer -> OpaquePointer? in
            var cursor = buffer.baseAddress
            return d2i_PUBKEY(nil, &cursor, buffer.count)
        }
        ERR_clear_error()
        guard let handle else { throw TransportError.identity("public key is not usable") }
        self.init(adopting: handle)
    }

    /// SubjectPublicKeyInfo.
    private static func info(_ algorithm: [UInt8], _ key: [UInt8]) -> [UInt8] {
        element(0x30, element(0x30, algorithm) + element(0x03, [0x00] + key))
    }

    private static func integer(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = Array(bytes.drop { $0 == 0 })
        if (bytes.first ?? 0x80) >= 0x80 { bytes.insert(0, at: 0) }
        return element(0x02, bytes)
    }

    private static func element(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        let count = content.count
        if count < 0x80 { return [tag, UInt8(count)] + content }
        var length: [UInt8] = []
        var rest = count
        while rest > 0 {
            length.insert(UInt8(rest & 0xFF), at: 0)
            rest >>= 8
        }
        return [tag, 0x80 | UInt8(length.count)] + length + content
    }

    /// Bytes of a coordinate; 0 for a key that has none.
    var coordinateWidth: Int { isRSA ? 0 : (Int(EVP_PKEY_get_bits(handle)) + 7) / 8 }

    func verify(_ signature: [UInt8], of bytes: [UInt8], by algorithm: JWT.Algorithm) -> Bool {
        guard let context = EVP_MD_CTX_new() else { return false }
        defer {
            EVP_MD_CTX_free(context)
            ERR_clear_error()
        }
        var options: OpaquePointer?
        guard EVP_DigestVerifyInit(context, &options, algorithm.digest, nil, handle) == 1 else { return false }
        if algorithm.isPSS {
            // The salt is as long as the digest.
            guard EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1, EVP_PKEY_CTX_set_rsa_pss_saltlen(options, -1) == 1 else { return false }
        }
        return EVP_DigestVerify(context, signature, signature.count, bytes, bytes.count) == 1
    }
}

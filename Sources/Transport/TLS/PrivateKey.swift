import CCrypto

/// An asymmetric key pair. The private half leaves only through `pem`, whose file its caller keeps at mode 0600.
package final class PrivateKey: @unchecked Sendable {
    package enum Kind: Sendable {
        case ecdsaP256
        case rsa2048
    }

    // Immutable after init; libcrypto's keys may be used by several threads at once.
    let handle: OpaquePointer

    init(adopting handle: OpaquePointer) { self.handle = handle }

    deinit { EVP_PKEY_free(handle) }

    /// A new key.
    package convenience init(_ kind: Kind) throws(TransportError) {
        let type = kind == .ecdsaP256 ? EVP_PKEY_EC : EVP_PKEY_RSA
        guard let context = EVP_PKEY_CTX_new_id(type, nil) else { throw TransportError.identity("key generation") }
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        guard EVP_PKEY_keygen_init(context) == 1,
            kind == .ecdsaP256
                ? EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1) == 1 : EVP_PKEY_CTX_set_rsa_keygen_bits(context, 2048) == 1,
            EVP_PKEY_keygen(context, &key) == 1, let key
        else { throw TransportError.identity("key generation") }
        self.init(adopting: key)
    }

    /// PKCS#8, PKCS#1 or SEC 1, not encrypted.
    package convenience init(pem: [UInt8]) throws(TransportError) {
        // Without a callback libcrypto would ask the terminal for a passphrase.
        let key = CryptoMemory.reading(pem) { PEM_read_bio_PrivateKey($0, nil, { _, _, _, _ in 0 }, nil) }
        guard let key else { throw TransportError.identity("private key is not readable PEM") }
        self.init(adopting: key)
    }

    /// PKCS#8.
    package var pem: [UInt8] { CryptoMemory.writing { PEM_write_bio_PKCS8PrivateKey($0, handle, nil, nil, 0, nil, nil) } ?? [] }

    package var publicKey: PublicKey {
        EVP_PKEY_up_ref(handle)
        return PublicKey(adopting: handle)
    }

    /// SHA-256 of the bytes, signed: PKCS#1 v1.5 by an RSA key, DER by an elliptic one.
    func sign(_ bytes: [UInt8]) throws(TransportError) -> [UInt8] {
        guard let context = EVP_MD_CTX_new() else { throw TransportError.identity("signing") }
        defer { EVP_MD_CTX_free(context) }
        var count = 0
        guard EVP_DigestSignInit(context, nil, EVP_sha256(), nil, handle) == 1, EVP_DigestSign(context, nil, &count, bytes, bytes.count) == 1
        else { throw TransportError.identity("signing") }
        var out = [UInt8](repeating: 0, count: count)
        guard EVP_DigestSign(context, &out, &count, bytes, bytes.count) == 1 else { throw TransportError.identity("signing") }
        return Array(out[0..<count])
    }
}

/// The public half of a key.
package final class PublicKey: @unchecked Sendable {
    // Immutable after init.
    let handle: OpaquePointer

    init(adopting handle: OpaquePointer) { self.handle = handle }

    deinit { EVP_PKEY_free(handle) }

    /// A public key, a private key or a certificate in PEM.
    package convenience init(pem: [UInt8]) throws(TransportError) {
        let key =
            CryptoMemory.reading(pem) { PEM_read_bio_PUBKEY($0, nil, { _, _, _, _ in 0 }, nil) }
            ?? CryptoMemory.reading(pem) { PEM_read_bio_PrivateKey($0, nil, { _, _, _, _ in 0 }, nil) }
            ?? CryptoMemory.reading(pem) { bio -> OpaquePointer? in
                guard let certificate = PEM_read_bio_X509(bio, nil, nil, nil) else { return nil }
                defer { X509_free(certificate) }
                return X509_get_pubkey(certificate)
            }
        ERR_clear_error()
        guard let key else { throw TransportError.identity("public key is not readable PEM") }
        self.init(adopting: key)
    }

    package var pem: [UInt8] { CryptoMemory.writing { PEM_write_bio_PUBKEY($0, handle) } ?? [] }
    /// SubjectPublicKeyInfo.
    package var der: [UInt8] { CryptoMemory.der { i2d_PUBKEY(handle, $0) } ?? [] }
    package var isRSA: Bool { EVP_PKEY_get_base_id(handle) == EVP_PKEY_RSA }

    func verify(_ signature: [UInt8], of bytes: [UInt8]) -> Bool {
        guard let context = EVP_MD_CTX_new() else { return false }
        defer {
            EVP_MD_CTX_free(context)
            ERR_clear_error()
        }
        return EVP_DigestVerifyInit(context, nil, EVP_sha256(), nil, handle) == 1
            && EVP_DigestVerify(context, signature, signature.count, bytes, bytes.count) == 1
    }

    func number(_ name: String) -> OpaquePointer? {
        var number: OpaquePointer?
        return EVP_PKEY_get_bn_param(handle, name, &number) == 1 ? number : nil
    }
}

import CCrypto
import Core

/// Compact JSON Web Signatures, RS256 by RSA keys and ES256 by elliptic ones. What the claims say is the caller's business.
package enum JWT {
    /// A token's parts after its signature has been found good, or before.
    package struct Parts: Sendable {
        /// JSON.
        package let header: [UInt8]
        /// JSON.
        package let payload: [UInt8]
        let signed: [UInt8]
        let signature: [UInt8]
    }

    /// `payload` is the claims as JSON.
    package static func sign(_ payload: [UInt8], key: PrivateKey) throws(TransportError) -> String {
        let publicKey = key.publicKey
        let header = #"{"alg":"\#(publicKey.isRSA ? "RS256" : "ES256")","kid":"\#(keyID(publicKey))"}"#
        let signed = Encoding.base64URL(Array(header.utf8)) + "." + Encoding.base64URL(payload)
        var signature = try key.sign(Array(signed.utf8))
        if !publicKey.isRSA {
            guard let raw = rawSignature(signature) else { throw TransportError.identity("signing a token") }
            signature = raw
        }
        return signed + "." + Encoding.base64URL(signature)
    }

    /// Takes a token apart without looking at its signature; nil where it is none.
    package static func parse(_ token: String) -> Parts? {
        let parts = token.utf8.split(separator: 0x2E, omittingEmptySubsequences: false)
        guard parts.count == 3, token.utf8.count <= 65536 else { return nil }
        func decode(_ part: Substring.UTF8View) -> [UInt8]? { Encoding.decodeBase64(String(decoding: part, as: UTF8.self)) }
        guard let header = decode(parts[0][...]), let payload = decode(parts[1][...]), let signature = decode(parts[2][...]) else { return nil }
        let signed = Array(token.utf8.prefix(parts[0].count + 1 + parts[1].count))
        return Parts(header: header, payload: payload, signed: signed, signature: signature)
    }

    /// Whether one of the keys signed it. The algorithm is the key's, never the header's.
    package static func verify(_ parts: Parts, keys: [PublicKey]) -> Bool {
        keys.contains { key in
            if key.isRSA { return key.verify(parts.signature, of: parts.signed) }
            guard let der = derSignature(parts.signature, width: 32) else { return false }
            return key.verify(der, of: parts.signed)
        }
    }

    /// Upstream's key id: the digest of the key's DER form.
    package static func keyID(_ key: PublicKey) -> String { Encoding.base64URL(SHA256.hash(key.der)) }

    /// One entry of a JSON Web Key Set.
    package static func jwk(_ key: PublicKey) -> String {
        func field(_ name: String, _ size: Int? = nil) -> String {
            guard let number = key.number(name) else { return "" }
            defer { BN_free(number) }
            return Encoding.base64URL(CryptoMemory.bytes(number, padded: size))
        }
        if key.isRSA {
            return #"{"use":"sig","kty":"RSA","kid":"\#(keyID(key))","alg":"RS256","n":"\#(field("n"))","e":"\#(field("e"))"}"#
        }
        return #"{"use":"sig","kty":"EC","kid":"\#(keyID(key))","crv":"P-256","alg":"ES256","x":"\#(field("qx", 32))","y":"\#(field("qy", 32))"}"#
    }

    /// DER to the two numbers side by side that ES256 wants.
    private static func rawSignature(_ der: [UInt8]) -> [UInt8]? {
        let parsed = der.withUnsafeBufferPointer { buffer -> OpaquePointer? in
            var cursor = buffer.baseAddress
            return d2i_ECDSA_SIG(nil, &cursor, buffer.count)
        }
        guard let parsed else { return nil }
        defer { ECDSA_SIG_free(parsed) }
        guard let r = ECDSA_SIG_get0_r(parsed), let s = ECDSA_SIG_get0_s(parsed) else { return nil }
        return CryptoMemory.bytes(r, padded: 32) + CryptoMemory.bytes(s, padded: 32)
    }
}

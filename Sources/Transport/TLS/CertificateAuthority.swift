import CCrypto
import Core

/// What a certificate is for.
package enum CertificateUsage: Sendable, Equatable {
    case server
    case client
}

/// Issues certificates with its key. Times begin five minutes early, for clocks that are behind.
package struct CertificateAuthority: Sendable {
    package let identity: TLSIdentity
    package let certificate: Certificate
    private let key: PrivateKey

    /// An authority from what `identity` saved.
    package init(identity: TLSIdentity) throws(TransportError) {
        self.identity = identity
        key = try PrivateKey(pem: identity.keyPEM)
        guard let first = try Certificate.parse(pem: identity.certificatePEM).first else { throw TransportError.identity("empty chain") }
        certificate = first
    }

    /// A new self-signed authority.
    package static func create(commonName: String, validity: Duration = .seconds(10 * 365 * 86400)) throws(TransportError) -> CertificateAuthority {
        let key = try PrivateKey(.ecdsaP256)
        let draft = CertificateDraft(
            subject: .init(commonName: commonName), names: .init(), usages: [], isAuthority: true, validity: validity)
        let pem = try CertificateWriting.certificate(draft, publicKey: key.handle, issuer: nil, signer: key.handle)
        return try CertificateAuthority(identity: TLSIdentity(certificatePEM: pem, keyPEM: key.pem))
    }

    /// A new key with a certificate for these names.
    package func issueServer(
        commonName: String, organizations: [String] = [], dns: [String], addresses: [String], validity: Duration = .seconds(365 * 86400),
        alsoClient: Bool = false
    ) throws(TransportError) -> TLSIdentity {
        try issue(
            CertificateDraft(
                subject: .init(commonName: commonName, organizations: organizations), names: .init(dns: dns, addresses: addresses),
                usages: alsoClient ? [.server, .client] : [.server], isAuthority: false, validity: validity))
    }

    /// A new key with a certificate for a user (`commonName`) and its groups (`organizations`).
    package func issueClient(
        commonName: String, organizations: [String] = [], validity: Duration = .seconds(365 * 86400)
    ) throws(TransportError) -> TLSIdentity {
        try issue(
            CertificateDraft(
                subject: .init(commonName: commonName, organizations: organizations), names: .init(), usages: [.client], isAuthority: false,
                validity: validity))
    }

    /// Signs what was asked for; whether it may be had is the caller's decision. Returns the certificate as PEM.
    package func sign(_ request: CertificateRequest, usages: [CertificateUsage], validity: Duration) throws(TransportError) -> [UInt8] {
        guard let handle = CertificateRequest.handle(request.der) else { throw TransportError.identity("certificate request is not readable") }
        defer { X509_REQ_free(handle) }
        let draft = CertificateDraft(
            subject: request.subject, names: request.names, usages: usages, isAuthority: false, validity: validity)
        return try CertificateWriting.certificate(draft, publicKey: X509_REQ_get0_pubkey(handle), issuer: certificate, signer: key.handle)
    }

    private func issue(_ draft: CertificateDraft) throws(TransportError) -> TLSIdentity {
        let own = try PrivateKey(.ecdsaP256)
        let pem = try CertificateWriting.certificate(draft, publicKey: own.handle, issuer: certificate, signer: key.handle)
        return TLSIdentity(certificatePEM: pem, keyPEM: own.pem)
    }
}

/// Certificates that are trusted to vouch for others.
package final class CertificatePool: @unchecked Sendable {
    // Filled once in init; a store may be read by several verifications at once.
    private let store: OpaquePointer

    package init(pem: [UInt8]) throws(TransportError) {
        guard let store = X509_STORE_new() else { throw TransportError.identity("certificate store") }
        self.store = store
        for certificate in try Certificate.parse(pem: pem) {
            guard let handle = CertificateReading.x509(certificate.der) else { continue }
            X509_STORE_add_cert(store, handle)
            X509_free(handle)
        }
    }

    deinit { X509_STORE_free(store) }

    /// nil where `chain` (DER, leaf first) leads to one of ours, holds now and may be used so; else why not.
    package func refusal(of chain: [[UInt8]], usage: CertificateUsage) -> String? {
        guard let first = chain.first, let leaf = CertificateReading.x509(first) else { return "certificate is not readable" }
        defer { X509_free(leaf) }
        let others = OPENSSL_sk_new_null()
        defer {
            while let item = OPENSSL_sk_pop(others) { X509_free(OpaquePointer(item)) }
            OPENSSL_sk_free(others)
            ERR_clear_error()
        }
        for der in chain.dropFirst().prefix(10) {
            if let handle = CertificateReading.x509(der) { OPENSSL_sk_push(others, UnsafeRawPointer(handle)) }
        }
        guard let context = X509_STORE_CTX_new() else { return "out of memory" }
        defer { X509_STORE_CTX_free(context) }
        guard X509_STORE_CTX_init(context, store, leaf, others) == 1 else { return "certificate store" }
        X509_STORE_CTX_set_purpose(context, usage == .client ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER)
        // As Go does: anything in the pool is an anchor, self-signed or not.
        X509_STORE_CTX_set_flags(context, UInt(X509_V_FLAG_PARTIAL_CHAIN))
        if X509_verify_cert(context) == 1 { return nil }
        return String(cString: X509_verify_cert_error_string(Int(X509_STORE_CTX_get_error(context))))
    }
}

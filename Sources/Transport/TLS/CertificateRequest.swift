import CCrypto

/// A certificate signing request (PKCS#10) whose signature by its own key holds.
package struct CertificateRequest: Sendable, Equatable {
    package let der: [UInt8]
    package let subject: Certificate.Name
    package let names: Certificate.SubjectNames

    package init(pem: [UInt8]) throws(TransportError) {
        let der: [UInt8]? = CryptoMemory.reading(pem) { bio in
            guard let handle = PEM_read_bio_X509_REQ(bio, nil, nil, nil) else { return nil }
            defer { X509_REQ_free(handle) }
            return CryptoMemory.der { i2d_X509_REQ(handle, $0) }
        }
        ERR_clear_error()
        guard let der else { throw TransportError.identity("no certificate request in PEM text") }
        try self.init(der: der)
    }

    package init(der: [UInt8]) throws(TransportError) {
        guard let handle = CertificateRequest.handle(der) else { throw TransportError.identity("certificate request is not readable") }
        defer { X509_REQ_free(handle) }
        guard let key = X509_REQ_get0_pubkey(handle), X509_REQ_verify(handle, key) == 1 else {
            ERR_clear_error()
            throw TransportError.identity("certificate request is not signed by its key")
        }
        self.der = der
        subject = CertificateReading.name(X509_REQ_get_subject_name(handle))
        var names = Certificate.SubjectNames()
        if let extensions = X509_REQ_get_extensions(handle) {
            names = CertificateReading.alternativeNames(X509V3_get_d2i(extensions, NID_subject_alt_name, nil, nil))
            CertificateRequest.release(extensions)
        }
        self.names = names
    }

    /// A request for this key; what a kubelet sends to be let in.
    package static func make(key: PrivateKey, subject: Certificate.Name, names: Certificate.SubjectNames = .init()) throws(TransportError) -> [UInt8] {
        guard let handle = X509_REQ_new() else { throw TransportError.identity("certificate request") }
        defer { X509_REQ_free(handle) }
        guard X509_REQ_set_version(handle, 0) == 1, CertificateWriting.write(subject, to: X509_REQ_get_subject_name(handle)),
            X509_REQ_set_pubkey(handle, key.handle) == 1
        else { throw TransportError.identity("certificate request") }
        if !names.isEmpty {
            let stack = OPENSSL_sk_new_null()
            defer { if let stack { release(stack) } }
            guard let item = X509V3_EXT_conf_nid(nil, nil, NID_subject_alt_name, try CertificateWriting.text(names)),
                OPENSSL_sk_push(stack, UnsafeRawPointer(item)) > 0, X509_REQ_add_extensions(handle, stack) == 1
            else { throw TransportError.identity("alternative names") }
        }
        guard X509_REQ_sign(handle, key.handle, EVP_sha256()) > 0, let pem = CryptoMemory.writing({ PEM_write_bio_X509_REQ($0, handle) })
        else { throw TransportError.identity("signing a certificate request") }
        return pem
    }

    static func handle(_ der: [UInt8]) -> OpaquePointer? {
        defer { ERR_clear_error() }
        return der.withUnsafeBufferPointer { buffer in
            var cursor = buffer.baseAddress
            return d2i_X509_REQ(nil, &cursor, buffer.count)
        }
    }

    private static func release(_ stack: OpaquePointer) {
        while let item = OPENSSL_sk_pop(stack) { X509_EXTENSION_free(OpaquePointer(item)) }
        OPENSSL_sk_free(stack)
    }
}

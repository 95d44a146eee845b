import CCrypto
import Core

/// A certificate before it is signed.
struct CertificateDraft {
    let subject: Certificate.Name
    let names: Certificate.SubjectNames
    let usages: [CertificateUsage]
    let isAuthority: Bool
    let validity: Duration
}

/// Builds and signs X.509 structures.
enum CertificateWriting {
    static let skew = 300

    /// PEM. `issuer` nil makes it self-signed.
    static func certificate(
        _ draft: CertificateDraft, publicKey: OpaquePointer?, issuer: Certificate?, signer: OpaquePointer
    ) throws(TransportError) -> [UInt8] {
        guard let handle = X509_new() else { throw TransportError.identity("certificate") }
        defer {
            X509_free(handle)
            ERR_clear_error()
        }
        let issuerHandle = issuer.flatMap { CertificateReading.x509($0.der) }
        defer { X509_free(issuerHandle) }
        var serial = Identifier.randomBytes(16)
        serial[0] = serial[0] & 0x7F | 0x40
        let number = BN_bin2bn(serial, 16, nil)
        defer { BN_free(number) }
        guard X509_set_version(handle, 2) == 1, BN_to_ASN1_INTEGER(number, X509_get_serialNumber(handle)) != nil,
            write(draft.subject, to: X509_get_subject_name(handle)),
            X509_set_issuer_name(handle, X509_get_subject_name(issuerHandle ?? handle)) == 1,
            X509_gmtime_adj(X509_getm_notBefore(handle), -skew) != nil,
            X509_gmtime_adj(X509_getm_notAfter(handle), Int(draft.validity.components.seconds)) != nil, X509_set_pubkey(handle, publicKey) == 1
        else { throw TransportError.identity("certificate") }
        for (nid, value) in try extensions(draft) {
            var context = X509V3_CTX()
            X509V3_set_ctx(&context, issuerHandle ?? handle, handle, nil, nil, 0)
            guard let item = X509V3_EXT_conf_nid(nil, &context, nid, value) else { throw TransportError.identity("certificate extension \(value)") }
            let added = X509_add_ext(handle, item, -1)
            X509_EXTENSION_free(item)
            guard added == 1 else { throw TransportError.identity("certificate extension") }
        }
        guard X509_sign(handle, signer, EVP_sha256()) > 0, let pem = CryptoMemory.writing({ PEM_write_bio_X509($0, handle) }) else {
            throw TransportError.identity("signing a certificate")
        }
        return pem
    }

    private static func extensions(_ draft: CertificateDraft) throws(TransportError) -> [(Int32, String)] {
        var out: [(Int32, String)] = [(NID_basic_constraints, draft.isAuthority ? "critical,CA:TRUE" : "critical,CA:FALSE")]
        out.append((NID_key_usage, draft.isAuthority ? "critical,digitalSignature,keyEncipherment,keyCertSign,cRLSign" : "critical,digitalSignature,keyEncipherment"))
        if !draft.usages.isEmpty {
            out.append((NID_ext_key_usage, draft.usages.map { $0 == .server ? "serverAuth" : "clientAuth" }.joined(separator: ",")))
        }
        out.append((NID_subject_key_identifier, "hash"))
        if !draft.isAuthority { out.append((NID_authority_key_identifier, "keyid")) }
        if !draft.names.isEmpty { out.append((NID_subject_alt_name, try text(draft.names))) }
        return out
    }

    static func write(_ name: Certificate.Name, to handle: OpaquePointer?) -> Bool {
        func add(_ field: String, _ value: String) -> Bool {
            X509_NAME_add_entry_by_txt(handle, field, MBSTRING_UTF8, Array(value.utf8), Int32(value.utf8.count), -1, 0) == 1
        }
        for organization in name.organizations where !add("O", organization) { return false }
        for unit in name.organizationalUnits where !add("OU", unit) { return false }
        return name.commonName.isEmpty || add("CN", name.commonName)
    }

    /// libcrypto's own notation, whose separators must not come from a name.
    static func text(_ names: Certificate.SubjectNames) throws(TransportError) -> String {
        var parts: [String] = []
        for (kind, values) in [("DNS", names.dns), ("IP", names.addresses), ("email", names.emails), ("URI", names.uris)] {
            for value in values {
                guard !value.isEmpty, !value.utf8.contains(where: { $0 == 0x2C || $0 < 0x21 || $0 > 0x7E }) else {
                    throw TransportError.identity("alternative name is not usable")
                }
                parts.append("\(kind):\(value)")
            }
        }
        return parts.joined(separator: ",")
    }

    /// MBSTRING_UTF8 is a macro Swift does not see.
    private static let MBSTRING_UTF8: Int32 = 0x1000
}

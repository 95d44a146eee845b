import CCrypto
package import Core

/// A parsed X.509 certificate: what authentication and rotation look at.
package struct Certificate: Sendable, Equatable {
    /// The parts of a distinguished name that Kubernetes reads.
    package struct Name: Sendable, Equatable {
        package var commonName = ""
        package var organizations: [String] = []
        package var organizationalUnits: [String] = []

        package init(commonName: String = "", organizations: [String] = []) {
            self.commonName = commonName
            self.organizations = organizations
        }
    }

    package let der: [UInt8]
    package let subject: Name
    package let issuer: Name
    /// Lowercase hexadecimal without leading zeros.
    package let serial: String
    package let notBefore: Timestamp
    package let notAfter: Timestamp
    package let names: SubjectNames
    package let isAuthority: Bool

    /// The alternative names of a certificate or a request.
    package struct SubjectNames: Sendable, Equatable {
        package var dns: [String] = []
        /// Textual form, IPv6 as RFC 5952 shortens it or not.
        package var addresses: [String] = []
        package var emails: [String] = []
        package var uris: [String] = []

        package init(dns: [String] = [], addresses: [String] = []) {
            self.dns = dns
            self.addresses = addresses
        }

        package var isEmpty: Bool { dns.isEmpty && addresses.isEmpty && emails.isEmpty && uris.isEmpty }
    }

    package init(der: [UInt8]) throws(TransportError) {
        guard let handle = CertificateReading.x509(der) else { throw TransportError.identity("certificate is not readable") }
        defer { X509_free(handle) }
        self.init(handle, der)
    }

    /// All certificates of a PEM text, in order.
    package static func parse(pem: [UInt8]) throws(TransportError) -> [Certificate] {
        let found: [Certificate]? = CryptoMemory.reading(pem) { bio in
            var out: [Certificate] = []
            while let handle = PEM_read_bio_X509(bio, nil, nil, nil) {
                defer { X509_free(handle) }
                guard let der = CryptoMemory.der({ i2d_X509(handle, $0) }) else { return nil }
                out.append(Certificate(handle, der))
            }
            return out
        }
        ERR_clear_error()
        guard let found, !found.isEmpty else { throw TransportError.identity("no certificate in PEM text") }
        return found
    }

    private init(_ handle: OpaquePointer, _ der: [UInt8]) {
        self.der = der
        subject = CertificateReading.name(X509_get_subject_name(handle))
        issuer = CertificateReading.name(X509_get_issuer_name(handle))
        let number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(handle), nil)
        let hex = number.map { Encoding.hex(CryptoMemory.bytes($0)) } ?? ""
        BN_free(number)
        serial = hex.hasPrefix("0") ? String(hex.dropFirst()) : hex
        notBefore = CertificateReading.time(X509_get0_notBefore(handle))
        notAfter = CertificateReading.time(X509_get0_notAfter(handle))
        names = CertificateReading.alternativeNames(X509_get_ext_d2i(handle, NID_subject_alt_name, nil, nil))
        isAuthority = X509_check_ca(handle) == 1
    }

    package var pem: [UInt8] {
        guard let handle = CertificateReading.x509(der) else { return [] }
        defer { X509_free(handle) }
        return CryptoMemory.writing { PEM_write_bio_X509($0, handle) } ?? []
    }

    /// SHA-256 of the DER form, lowercase hexadecimal.
    package var fingerprint: String { Encoding.hex(SHA256.hash(der)) }
}

/// Reads libcrypto's structures.
enum CertificateReading {
    static func x509(_ der: [UInt8]) -> OpaquePointer? {
        defer { ERR_clear_error() }
        return der.withUnsafeBufferPointer { buffer in
            var cursor = buffer.baseAddress
            return d2i_X509(nil, &cursor, buffer.count)
        }
    }

    static func name(_ name: OpaquePointer?) -> Certificate.Name {
        var out = Certificate.Name()
        guard let name else { return out }
        for index in 0..<X509_NAME_entry_count(name) {
            guard let entry = X509_NAME_get_entry(name, index), let data = X509_NAME_ENTRY_get_data(entry) else { continue }
            var text: UnsafeMutablePointer<UInt8>?
            let count = ASN1_STRING_to_UTF8(&text, data)
            guard count >= 0, let text else { continue }
            let value = String(decoding: UnsafeBufferPointer(start: text, count: Int(count)), as: UTF8.self)
            CRYPTO_free(text, "", 0)
            switch OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)) {
            case NID_commonName: out.commonName = value
            case NID_organizationName: out.organizations.append(value)
            case NID_organizationalUnitName: out.organizationalUnits.append(value)
            default: break
            }
        }
        return out
    }

    static func time(_ time: UnsafePointer<ASN1_TIME>?) -> Timestamp {
        guard let time, let epoch = ASN1_TIME_set(nil, 0) else { return Timestamp(seconds: 0) }
        defer { ASN1_STRING_free(epoch) }
        var days: Int32 = 0
        var seconds: Int32 = 0
        guard ASN1_TIME_diff(&days, &seconds, epoch, time) == 1 else { return Timestamp(seconds: 0) }
        return Timestamp(seconds: Int64(days) * 86400 + Int64(seconds))
    }

    /// Takes ownership of a `GENERAL_NAMES`.
    static func alternativeNames(_ raw: UnsafeMutableRawPointer?) -> Certificate.SubjectNames {
        var out = Certificate.SubjectNames()
        guard let raw else { return out }
        let stack = OpaquePointer(raw)
        defer { GENERAL_NAMES_free(stack) }
        for index in 0..<OPENSSL_sk_num(stack) {
            guard let item = OPENSSL_sk_value(stack, index) else { continue }
            let name = item.assumingMemoryBound(to: GENERAL_NAME.self)
            var type: Int32 = 0
            guard let value = GENERAL_NAME_get0_value(name, &type) else { continue }
            guard type == GEN_DNS || type == GEN_IPADD || type == GEN_EMAIL || type == GEN_URI else { continue }
            let string = value.assumingMemoryBound(to: ASN1_STRING.self)
            let bytes = Array(UnsafeBufferPointer(start: ASN1_STRING_get0_data(string), count: Int(ASN1_STRING_length(string))))
            let text = String(decoding: bytes, as: UTF8.self)
            switch type {
            case GEN_DNS: out.dns.append(text)
            case GEN_EMAIL: out.emails.append(text)
            case GEN_URI: out.uris.append(text)
            default: if let address = address(bytes) { out.addresses.append(address) }
            }
        }
        return out
    }

    private static func address(_ bytes: [UInt8]) -> String? {
        if bytes.count == 4 { return bytes.map { String($0) }.joined(separator: ".") }
        guard bytes.count == 16 else { return nil }
        let groups = (0..<8).map { Int(bytes[$0 * 2]) << 8 | Int(bytes[$0 * 2 + 1]) }
        // RFC 5952: the longest run of two or more zero groups becomes "::".
        var best = (start: -1, count: 1)
        var start = -1
        for index in 0...8 {
            if index < 8, groups[index] == 0 {
                if start < 0 { start = index }
            } else if start >= 0 {
                if index - start > best.count { best = (start, index - start) }
                start = -1
            }
        }
        let text = groups.map { String($0, radix: 16) }
        guard best.start >= 0 else { return text.joined(separator: ":") }
        return text[..<best.start].joined(separator: ":") + "::" + text[(best.start + best.count)...].joined(separator: ":")
    }
}

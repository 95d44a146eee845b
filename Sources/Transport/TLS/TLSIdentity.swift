import NIOSSL

/// A certificate chain and its key, both PEM. The key is secret: never log one of these.
package struct TLSIdentity: Sendable, Equatable {
    /// Leaf first.
    package let certificatePEM: [UInt8]
    package let keyPEM: [UInt8]

    package init(certificatePEM: [UInt8], keyPEM: [UInt8]) {
        self.certificatePEM = certificatePEM
        self.keyPEM = keyPEM
    }

    func sources() throws(TransportError) -> (chain: [NIOSSLCertificateSource], key: NIOSSLPrivateKeySource) {
        do {
            let chain = try NIOSSLCertificate.fromPEMBytes(certificatePEM).map { NIOSSLCertificateSource.certificate($0) }
            return (chain, .privateKey(try NIOSSLPrivateKey(bytes: keyPEM, format: .pem)))
        } catch {
            throw TransportError.identity("certificate or key is not readable PEM")
        }
    }
}

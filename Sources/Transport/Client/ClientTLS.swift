import NIOCore
import NIOSSL

/// Whom a client trusts and who it is.
package struct ClientTLS: Sendable {
    /// PEM; nil trusts the machine's own roots.
    package var roots: [UInt8]?
    /// Accepts any server. For `insecure-skip-tls-verify` only.
    package var insecure: Bool
    package var identity: TLSIdentity?
    /// The name to expect (and ask for) instead of the endpoint's host.
    package var serverName: String?

    package init(roots: [UInt8]? = nil, insecure: Bool = false, identity: TLSIdentity? = nil, serverName: String? = nil) {
        self.roots = roots
        self.insecure = insecure
        self.identity = identity
        self.serverName = serverName
    }

    func context(protocols: [String]) throws(TransportError) -> NIOSSLContext {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.minimumTLSVersion = .tlsv12
        configuration.shutdownTimeout = .seconds(2)
        configuration.applicationProtocols = protocols
        if insecure {
            configuration.certificateVerification = .none
            configuration.trustRoots = .certificates([])
        } else if let roots {
            do { configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(roots)) } catch {
                throw TransportError.identity("trusted certificates are not readable PEM")
            }
        }
        if let identity {
            let (chain, key) = try identity.sources()
            configuration.certificateChain = chain
            configuration.privateKey = key
        }
        do { return try NIOSSLContext(configuration: configuration) } catch { throw TransportError.identity("certificate and key do not fit together") }
    }
}

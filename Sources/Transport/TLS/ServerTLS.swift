import NIOCore
import NIOSSL
import Synchronization

/// How a server proves who it is, exchangeable while it runs: connections made after `replace` use the new identity.
/// Client certificates are asked for but never checked here; the handler sees them and answers 401 itself.
package final class ServerTLS: Sendable {
    private let names: Names
    private let context: Mutex<NIOSSLContext>
    private let requestsCertificates: Bool
    private let protocols: [String]

    /// `identities` are chosen by the name the client asks for (`*.example` matches one label); `identity` serves all others.
    package init(
        identity: TLSIdentity, identities: [String: TLSIdentity] = [:], requestClientCertificates: Bool = false,
        protocols: [String] = ["h2", "http/1.1"]
    ) throws(TransportError) {
        names = try Names(identities)
        requestsCertificates = requestClientCertificates
        self.protocols = protocols
        context = Mutex(try ServerTLS.context(identity, requestClientCertificates, protocols, names))
    }

    package func replace(identity: TLSIdentity, identities: [String: TLSIdentity] = [:]) throws(TransportError) {
        let next = try ServerTLS.context(identity, requestsCertificates, protocols, names)
        try names.replace(identities)
        context.withLock { $0 = next }
    }

    /// The handler for one new connection; what the client shows goes into `seen`.
    func handler(_ seen: HandshakeRecord) -> NIOSSLServerHandler {
        let context = context.withLock { $0 }
        guard requestsCertificates else { return NIOSSLServerHandler(context: context) }
        return NIOSSLServerHandler(context: context, customVerificationCallback: { chain, promise in
            seen.certificates = chain.compactMap { try? $0.toDERBytes() }
            promise.succeed(.certificateVerified)
        })
    }

    private static func context(
        _ identity: TLSIdentity, _ asks: Bool, _ protocols: [String], _ names: Names
    ) throws(TransportError) -> NIOSSLContext {
        let (chain, key) = try identity.sources()
        var configuration = TLSConfiguration.makeServerConfiguration(certificateChain: chain, privateKey: key)
        configuration.minimumTLSVersion = .tlsv12
        configuration.shutdownTimeout = .seconds(2)
        configuration.applicationProtocols = protocols
        configuration.trustRoots = .certificates([])
        if asks { configuration.certificateVerification = .optionalVerification }
        configuration.sslContextCallback = { hello, promise in promise.succeed(names.override(for: hello.serverHostname)) }
        do { return try NIOSSLContext(configuration: configuration) } catch { throw TransportError.identity("certificate and key do not fit together") }
    }

    /// Identities by name, shared by all contexts of one server.
    private final class Names: Sendable {
        private let table: Mutex<[String: NIOSSLContextConfigurationOverride]>

        init(_ identities: [String: TLSIdentity]) throws(TransportError) { table = Mutex(try Names.overrides(identities)) }

        func replace(_ identities: [String: TLSIdentity]) throws(TransportError) {
            let next = try Names.overrides(identities)
            table.withLock { $0 = next }
        }

        func override(for name: String?) -> NIOSSLContextConfigurationOverride {
            guard let name = name.map(HTTPHeaders.lowercased) else { return .noChanges }
            return table.withLock { table in
                if table.isEmpty { return .noChanges }
                if let exact = table[name] { return exact }
                guard let dot = name.firstIndex(of: ".") else { return .noChanges }
                return table["*" + name[dot...]] ?? .noChanges
            }
        }

        private static func overrides(_ identities: [String: TLSIdentity]) throws(TransportError) -> [String: NIOSSLContextConfigurationOverride] {
            var out: [String: NIOSSLContextConfigurationOverride] = [:]
            for (name, identity) in identities {
                let (chain, key) = try identity.sources()
                var override = NIOSSLContextConfigurationOverride()
                override.certificateChain = chain
                override.privateKey = key
                out[HTTPHeaders.lowercased(name)] = override
            }
            return out
        }
    }
}

/// What a handshake brought to light, filled in by callbacks on the connection's event loop.
final class HandshakeRecord: @unchecked Sendable {
    var certificates: [[UInt8]] = []
}

package import Transport

/// Where the images of each registry's name are really fetched from.
package struct RegistryHosts: Sendable {
    /// Another place for a registry's name: `container-registry.br-se1.magalu.cloud` → `http://127.0.0.1:5000`. Replaces the name's own.
    package var aliases: [String: HTTPEndpoint] = [:]
    /// Tried before a registry's own host, in order; only for pulls.
    package var mirrors: [String: [HTTPEndpoint]] = [:]
    /// Served over plain HTTP or with certificates that nobody vouches for.
    package var insecure: Set<String> = []
    /// PEM of authorities to trust, for all registries; nil trusts the machine's own.
    package var roots: [UInt8]?

    package init() {}

    struct Host: Sendable, Hashable {
        let endpoint: HTTPEndpoint
        /// Takes any certificate.
        let lenient: Bool
        /// Plain HTTP may be tried where TLS does not answer.
        let fallsBack: Bool

        var url: String { "\(endpoint.isTLS ? "https" : "http")://\(endpoint.authority)" }
        var plain: Host {
            Host(
                endpoint: HTTPEndpoint(isTLS: false, host: endpoint.host, port: endpoint.port == 443 ? 80 : endpoint.port), lenient: false,
                fallsBack: false)
        }
    }

    func hosts(for reference: ImageReference, pushing: Bool = false) -> [Host] {
        let domain = reference.domain
        if let alias = aliases[domain] { return [Host(endpoint: alias, lenient: false, fallsBack: false)] }
        var hosts: [Host] =
            pushing ? [] : (mirrors[domain] ?? []).map { Host(endpoint: $0, lenient: insecure.contains($0.authority), fallsBack: false) }
        let address = HTTPAddress("https://\(reference.host)")?.endpoint ?? HTTPEndpoint(isTLS: true, host: reference.host)
        if insecure.contains(domain) {
            hosts.append(Host(endpoint: address, lenient: true, fallsBack: true))
        } else if RegistryHosts.isLoopback(address.host) {
            var plain = address
            plain.isTLS = false
            if address.port == 443 { plain.port = 80 }
            hosts.append(Host(endpoint: plain, lenient: false, fallsBack: false))
        } else {
            hosts.append(Host(endpoint: address, lenient: false, fallsBack: false))
        }
        return hosts
    }

    static func isLoopback(_ host: String) -> Bool { host == "localhost" || host == "::1" || host.hasPrefix("127.") }
}

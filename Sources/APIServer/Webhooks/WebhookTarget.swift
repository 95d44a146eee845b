import Machinery
import Transport
import Tree

/// Where a webhook is: what `clientConfig` says.
struct WebhookTarget: Sendable, Hashable {
    enum Place: Sendable, Hashable {
        case service(namespace: String, name: String, port: Int)
        case url(String)
        case none
    }

    let place: Place
    /// Of a service; empty for a URL, which has its own.
    let path: String
    /// PEM; nil trusts the machine's roots.
    let authorities: [UInt8]?

    init(_ config: Node) {
        authorities = config["caBundle"].string.flatMap { Base64.decode($0) }.flatMap { $0.isEmpty ? nil : $0 }
        let service = config["service"]
        if case .map = service {
            place = .service(
                namespace: service["namespace"].string ?? "", name: service["name"].string ?? "", port: Int(service["port"].int ?? 443))
            let path = service["path"].string ?? ""
            self.path = path.hasPrefix("/") ? path : "/" + path
        } else if let url = config["url"].string, !url.isEmpty {
            place = .url(url)
            path = ""
        } else {
            place = .none
            path = ""
        }
    }

    /// The name that the server's certificate must be good for, where it is not the URL's host.
    var serverName: String? {
        if case .service(let namespace, let name, _) = place { return "\(name).\(namespace).svc" }
        return nil
    }

    /// As error texts show it.
    var url: String {
        switch place {
        case .service(_, _, let port): "https://\(serverName ?? ""):\(port)\(path)"
        case .url(let url): url
        case .none: ""
        }
    }
}

/// Why a webhook could not be asked, in the words of Go's client.
struct WebhookFailure: Error, Sendable, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

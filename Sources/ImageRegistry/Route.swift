import OCI
import Transport
import Tree

/// What a path of the distribution API names.
enum Route: Sendable, Equatable {
    case base
    case catalog
    case token
    case tags(String)
    case manifest(String, reference: String)
    case blob(String, digest: String)
    case uploads(String)
    case upload(String, id: String)
    case referrers(String, digest: String)

    /// Nil for what is none of the API's.
    init?(path: String) throws(RegistryError) {
        if path == "/token" {
            self = .token
            return
        }
        guard path == "/v2" || path.hasPrefix("/v2/") else { return nil }
        let parts = path.dropFirst(3).split(separator: "/", omittingEmptySubsequences: true).map { PercentEncoding.decode(String($0)) }
        if parts.isEmpty {
            self = .base
            return
        }
        if parts == ["_catalog"] {
            self = .catalog
            return
        }
        guard parts.count >= 3 else { return nil }
        let count = parts.count
        let name: ArraySlice<String>
        if parts[count - 1] == "uploads", parts[count - 2] == "blobs" {
            name = parts[..<(count - 2)]
            self = .uploads(name.joined(separator: "/"))
        } else if count >= 4, parts[count - 2] == "uploads", parts[count - 3] == "blobs" {
            name = parts[..<(count - 3)]
            self = .upload(name.joined(separator: "/"), id: parts[count - 1])
        } else {
            name = parts[..<(count - 2)]
            let joined = name.joined(separator: "/")
            switch parts[count - 2] {
            case "tags" where parts[count - 1] == "list": self = .tags(joined)
            case "manifests": self = .manifest(joined, reference: parts[count - 1])
            case "blobs": self = .blob(joined, digest: parts[count - 1])
            case "referrers": self = .referrers(joined, digest: parts[count - 1])
            default: return nil
            }
        }
        let repository = name.joined(separator: "/")
        guard repository.utf8.count <= 255, Grammar.isPath(Substring(repository)) else {
            throw RegistryError(.nameInvalid, detail: ["name": .string(repository)])
        }
    }

    var repository: String? {
        switch self {
        case .base, .catalog, .token: nil
        case .tags(let name), .uploads(let name): name
        case .manifest(let name, _), .blob(let name, _), .upload(let name, _), .referrers(let name, _): name
        }
    }

    /// What a method does to it, in the words of scopes.
    func actions(_ method: String) -> Set<RegistryScope> {
        switch method {
        case "GET", "HEAD": if case .upload = self { [.pull, .push] } else { [.pull] }
        case "DELETE": if case .upload = self { [.pull, .push] } else { [.delete] }
        default: [.pull, .push]
        }
    }
}

import Core
import OCI
import Transport
import Tree

/// Other registries' names that stand for the built-in one, so that manifests written for them run unchanged. Kept on disk.
extension RegistryService {
    private var file: String { "\(images.content.root)/aliases.json" }

    package func aliases() throws -> [String] {
        guard FileSystem.exists(file) else { return [] }
        return try JSONReader.read(try FileSystem.readFile(file))["aliases"].stringList
    }

    /// Tells the puller of the aliases; called when the registry listens, and after every change.
    package func applyAliases() throws {
        var hosts = RegistryHosts()
        for name in try aliases() { hosts.aliases[name] = HTTPEndpoint(isTLS: false, host: "127.0.0.1", port: port) }
        images.client.setHosts(hosts)
    }

    package func setAlias(_ host: String, _ isSet: Bool) throws {
        guard (try? ImageReference(parsing: "\(host)/x/y"))?.domain == host else {
            throw ControlFailure(400, "\"\(host)\" is no registry's name", hint: "A host name, with its port where it has one.")
        }
        var names = try aliases().filter { $0 != host }
        if isSet { names.append(host) }
        try FileSystem.writeAtomically(file, JSONWriter.writePretty(["aliases": Node(names.sorted())]))
        try applyAliases()
    }
}

import Core
package import Tree
package import Transport

/// The file by which kubectl finds a cluster. Merging touches only the entries of our own name.
package struct Kubeconfig: Sendable {
    package var node: Node

    package static func make(name: String, server: String, authorityPEM: [UInt8], client: TLSIdentity) -> Kubeconfig {
        Kubeconfig(node: [
            "apiVersion": "v1", "kind": "Config",
            "clusters": [
                ["name": .string(name), "cluster": ["certificate-authority-data": .string(Encoding.base64(authorityPEM)), "server": .string(server)]]
            ],
            "contexts": [["name": .string(name), "context": ["cluster": .string(name), "user": .string(name)]]],
            "current-context": .string(name),
            "preferences": [:],
            "users": [
                [
                    "name": .string(name),
                    "user": [
                        "client-certificate-data": .string(Encoding.base64(client.certificatePEM)),
                        "client-key-data": .string(Encoding.base64(client.keyPEM)),
                    ],
                ]
            ],
        ])
    }

    package init(node: Node) { self.node = node }

    package init(path: String) throws { node = try YAMLReader.read(try FileSystem.readFile(path)) }

    /// Adds or replaces another file's entries, and makes its context the current one.
    package mutating func merge(_ other: Kubeconfig) {
        for section in ["clusters", "contexts", "users"] {
            var entries = node[section].list
            for entry in other.node[section].list {
                if let index = entries.firstIndex(where: { $0["name"] == entry["name"] }) { entries[index] = entry } else { entries.append(entry) }
            }
            node[section] = .list(entries)
        }
        node["current-context"] = other.node["current-context"]
        if node["apiVersion"].isNull { node["apiVersion"] = "v1" }
        if node["kind"].isNull { node["kind"] = "Config" }
    }

    /// Takes the entries of a name out again.
    package mutating func remove(name: String) {
        for section in ["clusters", "contexts", "users"] {
            guard !node[section].isNull else { continue }
            node[section] = .list(node[section].list.filter { $0["name"].string != name })
        }
        if node["current-context"].string == name { node["current-context"] = "" }
    }

    package func write(_ path: String) throws { try FileSystem.writeAtomically(path, YAMLWriter.write(node), mode: 0o600) }
}

package import Transport

/// How this server introduces users to the servers it aggregates: a certificate of an authority of its own, and headers with the user.
package struct FrontProxy: Sendable {
    package static let commonName = "front-proxy-client"

    package let identity: TLSIdentity
    /// PEM; vouches for `identity` and for nothing else.
    package let authority: [UInt8]

    package init(identity: TLSIdentity, authority: [UInt8]) {
        self.identity = identity
        self.authority = authority
    }

    static func headers(_ user: UserInfo) -> HTTPHeaders {
        var headers: HTTPHeaders = ["X-Remote-User": user.name]
        if !user.uid.isEmpty { headers.append("X-Remote-Uid", user.uid) }
        for group in user.groups { headers.append("X-Remote-Group", group) }
        for (key, values) in user.extra.sorted(by: { $0.key < $1.key }) {
            for value in values { headers.append("X-Remote-Extra-" + escaped(key), value) }
        }
        return headers
    }

    /// Header names are tokens: what else a key holds is percent-encoded.
    private static func escaped(_ key: String) -> String {
        var out = ""
        for byte in key.utf8 {
            let character = Character(Unicode.Scalar(byte))
            if byte < 0x80, character.isLetter || character.isNumber || "!#$&'*+-.^_`|~".contains(character) {
                out.append(character)
            } else {
                let hex = String(byte, radix: 16, uppercase: true)
                out += "%" + (hex.count == 1 ? "0" + hex : hex)
            }
        }
        return out
    }
}

package import Tree

/// An operating system and processor, as image indexes name them.
package struct Platform: Sendable, Hashable, CustomStringConvertible {
    package let os: String
    package let architecture: String
    package let variant: String

    package init(os: String = "linux", architecture: String, variant: String = "") {
        self.os = os.lowercased()
        (self.architecture, self.variant) = Platform.normalized(architecture.lowercased(), variant.lowercased())
    }

    package init(_ node: Node) {
        self.init(os: node["os"].string ?? "", architecture: node["architecture"].string ?? "", variant: node["variant"].string ?? "")
    }

    /// Parses `linux/amd64`, `arm64`, `linux/arm/v7`.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard (1...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty }) else { return nil }
        if parts.count == 1 {
            self.init(architecture: parts[0])
        } else {
            self.init(os: parts[0], architecture: parts[1], variant: parts.count == 3 ? parts[2] : "")
        }
    }

    /// Of the machine this binary was built for.
    package static var host: Platform {
        #if arch(x86_64)
            Platform(architecture: "amd64")
        #elseif arch(arm64)
            Platform(architecture: "arm64")
        #else
            Platform(architecture: "unknown")
        #endif
    }

    package var description: String { variant.isEmpty ? "\(os)/\(architecture)" : "\(os)/\(architecture)/\(variant)" }

    package var node: Node {
        var node: Node = ["architecture": .string(architecture), "os": .string(os)]
        if !variant.isEmpty { node["variant"] = .string(variant) }
        return node
    }

    /// How well an image of `other` runs here: higher is better, nil not at all. arm64 takes no 32-bit images.
    package func preference(for other: Platform) -> Int? {
        guard os == other.os, architecture == other.architecture else { return nil }
        if variant == other.variant { return 100 }
        if other.variant.isEmpty { return 50 }
        // amd64/v2 and later need instructions that the host may lack.
        guard let wanted = Int(other.variant.dropFirst()) else { return nil }
        let have = Int(variant.dropFirst()) ?? (architecture == "arm" ? 7 : 1)
        return wanted <= have ? wanted : nil
    }

    private static func normalized(_ architecture: String, _ variant: String) -> (String, String) {
        switch architecture {
        case "x86_64", "x86-64": ("amd64", variant == "v1" ? "" : variant)
        case "amd64": ("amd64", variant == "v1" ? "" : variant)
        case "aarch64", "arm64": ("arm64", variant == "v8" || variant == "8" ? "" : variant)
        case "armhf": ("arm", "v7")
        case "armel": ("arm", "v6")
        case "arm": ("arm", variant.isEmpty || variant == "7" ? "v7" : variant == "6" ? "v6" : variant == "5" ? "v5" : variant)
        case "i386": ("386", "")
        default: (architecture, variant)
        }
    }
}

/// The prefixes by which everything of ours in the kernel is known.
package enum NetworkNames {
    package static let link = "jgd"
    package static let table = "jangada"
}

package import Machinery

/// The printed cells of each kind; a kind that is not here prints its name and age.
package enum KindCells {
    package static func of(group: String, kind: String) -> (any Cells)? { table["\(group)/\(kind)"] }

    private static let table: [String: any Cells] = [:]
}

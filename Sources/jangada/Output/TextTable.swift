/// Rows under headings, columns aligned as kubectl aligns them: three spaces between, none at the end of a line.
struct TextTable {
    private var rows: [[String]]

    init(_ headings: String...) { rows = [headings] }

    var isEmpty: Bool { rows.count == 1 }

    mutating func add(_ cells: String...) { rows.append(cells.map { $0.isEmpty ? "-" : $0 }) }

    func rendered(_ style: Style = Style(isOn: false)) -> String {
        var widths = [Int](repeating: 0, count: rows.map(\.count).max() ?? 0)
        for row in rows { for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) } }
        var out = ""
        for (index, row) in rows.enumerated() {
            var line = ""
            for (column, cell) in row.enumerated() {
                line += cell
                if column < row.count - 1 { line += String(repeating: " ", count: widths[column] - cell.count + 3) }
            }
            out += (index == 0 ? style.bold(line) : line) + "\n"
        }
        return out
    }
}

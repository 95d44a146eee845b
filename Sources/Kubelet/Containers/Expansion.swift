/// `$(NAME)` in commands, arguments and values.
enum Expansion {
    /// Names that are not known stay as they are written; `$$` is one dollar.
    static func expand(_ text: String, _ value: (String) -> String?) -> String {
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        var at = 0
        while at < bytes.count {
            guard bytes[at] == 0x24, at + 1 < bytes.count else {
                out.append(bytes[at])
                at += 1
                continue
            }
            switch bytes[at + 1] {
            case 0x24:
                out.append(0x24)
                at += 2
            case 0x28:
                guard let close = bytes[(at + 2)...].firstIndex(of: 0x29) else {
                    // Never closed: taken as it stands.
                    out += [0x24, 0x28]
                    at += 2
                    continue
                }
                let name = String(decoding: bytes[(at + 2)..<close], as: UTF8.self)
                out += value(name).map { Array($0.utf8) } ?? Array(bytes[at...close])
                at = close + 1
            default:
                out += [0x24, bytes[at + 1]]
                at += 2
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

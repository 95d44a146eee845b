/// The characters that one place of a pattern takes.
struct PatternSet: Sendable {
    var ranges: [ClosedRange<UInt32>] = []
    var categories: [(category: PatternCategory, isNegated: Bool)] = []
    /// Sets within a set that are themselves negated, such as `\D` in `[\Dx]`.
    var parts: [PatternSet] = []
    var isNegated = false
    var foldsCase = false
    /// Membership of the first 128 characters, most of all text.
    private var ascii: (UInt64, UInt64) = (0, 0)

    init(_ ranges: [ClosedRange<UInt32>] = []) { self.ranges = ranges }

    static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "a"..."z", "A"..."Z", "0"..."9", "_": true
        default: false
        }
    }

    static let digits = PatternSet([48...57])
    static let words = PatternSet([48...57, 65...90, 95...95, 97...122])
    static let spaces = PatternSet([9...10, 12...13, 32...32])
    static let anything = PatternSet([0...0x10FFFF])
    static let notNewline = PatternSet([0...9, 11...0x10FFFF])

    var negated: PatternSet {
        var out = self
        out.isNegated.toggle()
        return out
    }

    /// The one character that it takes; nil for more.
    var single: UInt32? {
        guard ranges.count == 1, ranges[0].count == 1, categories.isEmpty, parts.isEmpty, !isNegated, !foldsCase else { return nil }
        return ranges[0].lowerBound
    }

    /// Fills the table that `contains` reads; after the last change.
    mutating func prepare() {
        for value in UInt32(0)..<128 where slowContains(value) {
            if value < 64 { ascii.0 |= 1 << UInt64(value) } else { ascii.1 |= 1 << UInt64(value - 64) }
        }
    }

    func contains(_ value: UInt32) -> Bool {
        if value < 64 { return ascii.0 & (1 << UInt64(value)) != 0 }
        if value < 128 { return ascii.1 & (1 << UInt64(value - 64)) != 0 }
        return slowContains(value)
    }

    private func slowContains(_ value: UInt32) -> Bool {
        var isIn = plainContains(value)
        if !isIn, foldsCase, let scalar = Unicode.Scalar(value) {
            isIn = PatternSet.folds(scalar).contains { plainContains($0) }
        }
        return isIn != isNegated
    }

    private func plainContains(_ value: UInt32) -> Bool {
        for range in ranges where range.contains(value) { return true }
        for part in parts where part.slowContains(value) { return true }
        guard !categories.isEmpty, let scalar = Unicode.Scalar(value) else { return false }
        for (category, isNegated) in categories where category.contains(scalar) != isNegated { return true }
        return false
    }

    /// The other cases of a character, as Unicode's simple folding has them.
    private static func folds(_ scalar: Unicode.Scalar) -> [UInt32] {
        var out: [UInt32] = []
        for mapping in [scalar.properties.lowercaseMapping, scalar.properties.uppercaseMapping] {
            if mapping.unicodeScalars.count == 1, let first = mapping.unicodeScalars.first, first != scalar { out.append(first.value) }
        }
        switch scalar.value {
        case 0x4B, 0x6B: out.append(0x212A)  // K and the Kelvin sign
        case 0x53, 0x73: out.append(0x17F)  // s and the long s
        default: break
        }
        return out
    }
}

/// One of Unicode's general categories, a group of them, or a script, by the name a pattern gives.
struct PatternCategory: Sendable {
    private let name: String
    private let script: [ClosedRange<UInt32>]

    init?(_ name: String) {
        self.name = name
        script = PatternCategory.scripts[name] ?? []
        guard name == "Any" || !script.isEmpty || PatternCategory.names.contains(name) else { return nil }
    }

    private static let names: Set<String> = [
        "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf",
        "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
    ]

    /// The scripts that patterns name in practice, by their blocks.
    private static let scripts: [String: [ClosedRange<UInt32>]] = [
        "Latin": [0x41...0x5A, 0x61...0x7A, 0xAA...0xAA, 0xBA...0xBA, 0xC0...0xD6, 0xD8...0xF6, 0xF8...0x2B8, 0x1E00...0x1EFF, 0x2C60...0x2C7F, 0xA722...0xA787, 0xFF21...0xFF3A, 0xFF41...0xFF5A],
        "Greek": [0x370...0x373, 0x375...0x377, 0x37A...0x37D, 0x37F...0x37F, 0x384...0x384, 0x386...0x386, 0x388...0x3E1, 0x3F0...0x3FF, 0x1F00...0x1FFE],
        "Cyrillic": [0x400...0x484, 0x487...0x52F, 0x1C80...0x1C88, 0x1D2B...0x1D2B, 0x2DE0...0x2DFF, 0xA640...0xA69F],
        "Armenian": [0x531...0x58F], "Hebrew": [0x591...0x5F4], "Arabic": [0x600...0x604, 0x606...0x60B, 0x60D...0x61A, 0x61C...0x61E, 0x620...0x63F, 0x641...0x64A, 0x656...0x66F, 0x671...0x6DC, 0x6DE...0x6FF, 0x750...0x77F],
        "Devanagari": [0x900...0x950, 0x955...0x963, 0x966...0x97F], "Thai": [0xE01...0xE3A, 0xE40...0xE5B], "Hangul": [0x1100...0x11FF, 0x3131...0x318E, 0xAC00...0xD7A3],
        "Hiragana": [0x3041...0x3096, 0x309D...0x309F], "Katakana": [0x30A1...0x30FA, 0x30FD...0x30FF, 0x31F0...0x31FF],
        "Han": [0x2E80...0x2FD5, 0x3005...0x3005, 0x3007...0x3007, 0x3021...0x3029, 0x3038...0x303B, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAD9, 0x20000...0x323AF],
    ]

    func contains(_ scalar: Unicode.Scalar) -> Bool {
        if name == "Any" { return true }
        if !script.isEmpty { return script.contains { $0.contains(scalar.value) } }
        let code = PatternCategory.code(scalar.properties.generalCategory)
        return name.utf8.count == 1 ? code.utf8.first == name.utf8.first && code != "Cn" : code == name
    }

    private static func code(_ category: Unicode.GeneralCategory) -> String {
        switch category {
        case .uppercaseLetter: "Lu"
        case .lowercaseLetter: "Ll"
        case .titlecaseLetter: "Lt"
        case .modifierLetter: "Lm"
        case .otherLetter: "Lo"
        case .nonspacingMark: "Mn"
        case .spacingMark: "Mc"
        case .enclosingMark: "Me"
        case .decimalNumber: "Nd"
        case .letterNumber: "Nl"
        case .otherNumber: "No"
        case .connectorPunctuation: "Pc"
        case .dashPunctuation: "Pd"
        case .openPunctuation: "Ps"
        case .closePunctuation: "Pe"
        case .initialPunctuation: "Pi"
        case .finalPunctuation: "Pf"
        case .otherPunctuation: "Po"
        case .mathSymbol: "Sm"
        case .currencySymbol: "Sc"
        case .modifierSymbol: "Sk"
        case .otherSymbol: "So"
        case .spaceSeparator: "Zs"
        case .lineSeparator: "Zl"
        case .paragraphSeparator: "Zp"
        case .control: "Cc"
        case .format: "Cf"
        case .surrogate: "Cs"
        case .privateUse: "Co"
        case .unassigned: "Cn"
        @unknown default: "Cn"
        }
    }
}

/// What constructs cost, in upstream's units.
enum Cost {
    static let listBase: UInt64 = 10
    static let mapBase: UInt64 = 30
    static let objectBase: UInt64 = 40
    static let traversal = 0.1
    static let patternLength = 0.25

    /// Rounded up; what is too large saturates.
    static func scaled(_ size: UInt64, _ factor: Double) -> UInt64 {
        let product = (Double(size) * factor).rounded(.up)
        return product >= 18446744073709551616.0 ? .max : UInt64(product)
    }
    static func sum(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let (value, over) = a.addingReportingOverflow(b)
        return over ? .max : value
    }
    static func product(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let (value, over) = a.multipliedReportingOverflow(by: b)
        return over ? .max : value
    }
}

/// The least and the most that something costs, or the sizes that a value can have. Sums and products saturate.
package struct CostEstimate: Sendable, Equatable {
    package var min: UInt64
    package var max: UInt64

    package init(_ min: UInt64, _ max: UInt64) {
        self.min = min
        self.max = max
    }
    init(_ fixed: UInt64) { self.init(fixed, fixed) }

    static let zero = CostEstimate(0)
    static let unknown = CostEstimate(0, .max)

    static func + (a: CostEstimate, b: CostEstimate) -> CostEstimate { CostEstimate(Cost.sum(a.min, b.min), Cost.sum(a.max, b.max)) }
    static func * (a: CostEstimate, b: CostEstimate) -> CostEstimate { CostEstimate(Cost.product(a.min, b.min), Cost.product(a.max, b.max)) }
    func scaled(_ factor: Double) -> CostEstimate { CostEstimate(Cost.scaled(min, factor), Cost.scaled(max, factor)) }
    func union(_ other: CostEstimate) -> CostEstimate { CostEstimate(Swift.min(min, other.min), Swift.max(max, other.max)) }
}

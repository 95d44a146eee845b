import Glibc

/// What the standard library leaves to the C library.
package enum Mathematics {
    /// The natural logarithm.
    package static func log(_ value: Double) -> Double { Glibc.log(value) }
}

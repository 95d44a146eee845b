import CFiles

/// The allocator's own memory.
package enum Heap {
    /// Gives the kernel back what was freed, which the allocator would keep for what may come. Takes some milliseconds.
    package static func trim() { malloc_trim(0) }
}

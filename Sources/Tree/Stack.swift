/// A bare stack that readers build lists and maps on: pushes move, and `take` moves a finished run into an array of its exact
/// size, so that building costs no reference counting and leaves no slack memory in trees that live long.
struct Stack<Element>: ~Copyable {
    private(set) var base: UnsafeMutablePointer<Element>
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int) {
        self.capacity = capacity
        base = .allocate(capacity: capacity)
    }

    deinit {
        base.deinitialize(count: count)
        base.deallocate()
    }

    @inline(__always)
    mutating func push(_ element: consuming Element) {
        if count == capacity { grow() }
        (base + count).initialize(to: element)
        count += 1
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity * 2)
        larger.moveInitialize(from: base, count: count)
        base.deallocate()
        base = larger
        capacity *= 2
    }

    /// Moves everything from `start` on into a new array.
    mutating func take(from start: Int) -> [Element] {
        let length = count - start
        guard length > 0 else { return [] }
        let from = base + start
        count = start
        return Array(unsafeUninitializedCapacity: length) { buffer, initialized in
            guard let target = buffer.baseAddress else { return }
            target.moveInitialize(from: from, count: length)
            initialized = length
        }
    }

    mutating func drop(to start: Int) {
        (base + start).deinitialize(count: count - start)
        count = start
    }
}

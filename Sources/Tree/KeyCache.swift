import Synchronization

/// Shares the storage of long map keys between all trees of the process.
///
/// Keys of up to 15 bytes live inside the `String`; longer ones (`terminationMessagePolicy`, `app.kubernetes.io/name`) would
/// each cost an allocation per object. The first keys to come fill a fixed table and stay; when it is full, keys are simply
/// not shared, so hostile input cannot make it grow. Reads take no lock.
enum KeyCache {
    private final class Box: Sendable {
        let text: String
        let hash: UInt64
        init(_ text: String, _ hash: UInt64) {
            self.text = text
            self.hash = hash
        }
    }

    private final class Slot: Sendable {
        let box = AtomicLazyReference<Box>()
    }

    private static let slots = (0..<4096).map { _ in Slot() }
    private static let probes = 4

    /// The shared string with these bytes, which hash to `hash`.
    static func string(_ bytes: UnsafeBufferPointer<UInt8>, hash: UInt64) -> String {
        guard bytes.count > 15, bytes.count <= 80 else { return String(decoding: bytes, as: UTF8.self) }
        var index = Int(truncatingIfNeeded: hash & 4095)
        for _ in 0..<probes {
            let slot = slots[index]
            if let box = slot.box.load() {
                if box.hash == hash, equal(box.text, bytes) { return box.text }
            } else {
                let box = slot.box.storeIfNil(Box(String(decoding: bytes, as: UTF8.self), hash))
                if box.hash == hash, equal(box.text, bytes) { return box.text }
            }
            index = (index + 1) & 4095
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func equal(_ text: String, _ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        text.utf8.withContiguousStorageIfAvailable { $0.count == bytes.count && $0.elementsEqual(bytes) } ?? text.utf8.elementsEqual(bytes)
    }

    /// Cheap and not collision-proof: length and both ends of the key.
    @inline(__always)
    static func hash(_ start: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
        let raw = UnsafeRawPointer(start)
        var mixed: UInt64
        if count >= 8 {
            let head = raw.loadUnaligned(as: UInt64.self)
            let tail = (raw + count - 8).loadUnaligned(as: UInt64.self)
            mixed = head ^ (tail &* 0x9E37_79B9_7F4A_7C15)
        } else {
            mixed = 0
            for index in 0..<count { mixed = mixed << 8 | UInt64(start[index]) }
        }
        mixed = (mixed ^ UInt64(truncatingIfNeeded: count)) &* 0xBF58_476D_1CE4_E5B9
        return mixed ^ (mixed >> 29)
    }
}

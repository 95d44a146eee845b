import Machinery
import Synchronization

/// Compiled selectors of devices, by their text. The least that has to be kept is what the pods in the queue use.
final class SelectorCache: Sendable {
    private static let most = 2000
    private let compiled = Mutex<[String: Result<DeviceExpression, DeviceFailure>]>([:])

    func expression(_ text: String) -> Result<DeviceExpression, DeviceFailure> {
        if let known = compiled.withLock({ $0[text] }) { return known }
        var made: Result<DeviceExpression, DeviceFailure>
        do { made = .success(try DeviceExpression(text)) } catch { made = .failure(DeviceFailure(error.detail)) }
        compiled.withLock { known in
            if known.count >= SelectorCache.most { known.removeAll() }
            known[text] = made
        }
        return made
    }
}

import Core
import Logging
import OCI
import Synchronization
import Tree

/// Whose credentials brought which images to the machine, so that an image which one pod's secret has pulled is not another pod's for
/// the asking. What is about to be pulled is on disk before the pull: a crash between the two leaves no image of nobody's.
final class PullRecords: Sendable {
    /// A pull secret as it was used; of the credential in it only the hash.
    struct Secret: Sendable, Hashable {
        let uid: String
        let namespace: String
        let name: String
        let hash: String

        init(uid: String, namespace: String, name: String, hash: String) {
            self.uid = uid
            self.namespace = namespace
            self.name = name
            self.hash = hash
        }

        init(uid: String, namespace: String, name: String, _ auth: RegistryAuth) {
            let parts = [auth.username, auth.password, auth.identityToken, auth.registryToken]
            self.init(uid: uid, namespace: namespace, name: name, hash: ContentDigest(of: Array(parts.joined(separator: "\0").utf8)).hex)
        }

        func isSame(as other: Secret) -> Bool { uid == other.uid && namespace == other.namespace && name == other.name }
    }

    /// Who may use an image without asking the registry; no secrets: nobody.
    enum Access: Sendable, Hashable {
        case everyone
        case secrets([Secret])
    }

    private struct State: Sendable {
        /// Pulls under way, by the image's name; 0 for those that an earlier daemon began.
        var intents: [String: Int] = [:]
        /// By the digest of the config, then by the name without tag.
        var images: [String: [String: Access]] = [:]
        /// The file was there and could not be read: then nothing is known, and everything is asked for.
        var isBlind = false
    }

    private let file: String
    private let state: Mutex<State>
    private let log = Logger(label: "images")
    /// Of one image and name; beyond it a secret has to prove itself at the registry each time.
    private static let limit = 100

    init(file: String) {
        self.file = file
        var state = State()
        do {
            if FileSystem.exists(file) { state = try PullRecords.state(try JSONReader.read(try FileSystem.readFile(file))) }
        } catch {
            log.error("pull records unreadable", metadata: ["file": "\(file)", "error": "\(error)"])
            state.isBlind = true
        }
        self.state = Mutex(state)
    }

    /// Names whose pull an earlier daemon did not see the end of.
    var interrupted: [String] { state.withLock { $0.intents.keys.sorted() } }

    /// The end of an interrupted pull: the image that is here under that name, if one is, was pulled by somebody unknown.
    func settle(_ name: String, of repository: String, image: ContentDigest?) {
        change { state in
            state.intents[name] = nil
            guard let image, state.images["\(image)"]?[repository] == nil else { return }
            state.images["\(image)", default: [:]][repository] = .secrets([])
        }
    }

    // MARK: - Pulls

    func begin(_ name: String) throws(SystemFailure) {
        try state.withLock { state throws(SystemFailure) in
            let count = state.intents[name] ?? 0
            state.intents[name] = count + 1
            if count == 0 { try write(state) }
        }
    }

    func failed(_ name: String) { change { PullRecords.end(name, &$0) } }

    /// Records of images that are gone go with it.
    func pulled(_ name: String, of repository: String, _ image: ContentDigest, by access: Access, isHere: (ContentDigest) -> Bool) {
        change { state in
            PullRecords.end(name, &state)
            let before = state.images["\(image)"]?[repository]
            state.images["\(image)", default: [:]][repository] = PullRecords.merge(before, access)
            state.images = state.images.filter { key, _ in ContentDigest(key).map(isHere) ?? false }
        }
    }

    func admit(_ secret: Secret, to image: ContentDigest, of repository: String) {
        change { state in
            let before = state.images["\(image)"]?[repository]
            state.images["\(image)"]?[repository] = PullRecords.merge(before, .secrets([secret]))
        }
    }

    /// A name that no pod's pull has brought is the machine's own, whatever pods have pulled the same image as: names appear here by
    /// pulls, which are recorded, and by root's hand.
    func access(to image: ContentDigest, as name: String, of repository: String) -> Access {
        state.withLock { state in
            if state.isBlind { return .secrets([]) }
            return state.images["\(image)"]?[repository] ?? (state.intents[name] == nil ? .everyone : .secrets([]))
        }
    }

    private static func end(_ name: String, _ state: inout State) {
        let left = (state.intents[name] ?? 0) - 1
        state.intents[name] = left > 0 ? left : nil
    }

    private static func merge(_ before: Access?, _ new: Access) -> Access {
        guard case .secrets(let known)? = before, case .secrets(let added) = new else { return before == .everyone ? .everyone : new }
        let kept = known.filter { old in !added.contains { $0.isSame(as: old) } }
        return .secrets(Array((added + kept).prefix(limit)))
    }

    // MARK: - The file

    /// What cannot be written is still known to this daemon; the intent that stays on disk makes the next one careful.
    private func change(_ edit: (inout State) -> Void) {
        state.withLock { state in
            edit(&state)
            do { try write(state) } catch { log.error("pull records not written", metadata: ["file": "\(file)", "error": "\(error)"]) }
        }
    }

    private func write(_ state: State) throws(SystemFailure) {
        let images = state.images.mapValues { names in
            Node(entries: names.mapValues { access -> Node in
                guard case .secrets(let secrets) = access else { return ["everyone": true] }
                return [
                    "secrets": .list(
                        secrets.map { ["uid": .string($0.uid), "namespace": .string($0.namespace), "name": .string($0.name), "hash": .string($0.hash)] })
                ]
            })
        }
        try FileSystem.writeAtomically(file, JSONWriter.write(["intents": Node(state.intents.keys.sorted()), "images": Node(entries: images)]))
    }

    private static func state(_ node: Node) throws -> State {
        var state = State()
        for name in node["intents"].stringList { state.intents[name] = 0 }
        for (image, names) in node["images"].fields {
            state.images[image] = [:]
            for (name, access) in names.fields {
                state.images[image]?[name] =
                    access["everyone"].bool == true
                    ? .everyone
                    : .secrets(
                        access["secrets"].list.map {
                            Secret(
                                uid: $0["uid"].string ?? "", namespace: $0["namespace"].string ?? "", name: $0["name"].string ?? "",
                                hash: $0["hash"].string ?? "")
                        })
            }
        }
        return state
    }
}

extension Node {
    fileprivate init(entries: [String: Node]) {
        self = .emptyMap
        for (key, value) in entries.sorted(by: { $0.key < $1.key }) {
            self[key] = value.isNull ? .emptyMap : value
        }
    }
}

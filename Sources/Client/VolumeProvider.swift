package import Machinery
package import Tree

/// A volume that a claim asks for.
package struct VolumeRequest: Sendable, Equatable {
    /// The name that the PersistentVolume will have; asking again with the same name is the same volume.
    package var name: String
    package var claim: ObjectKey
    package var size: Quantity
    /// Of its StorageClass.
    package var parameters: [String: String]
    /// The node that the scheduler chose; nil where it may be anywhere.
    package var node: Node?

    package init(name: String, claim: ObjectKey, size: Quantity, parameters: [String: String], node: Node?) {
        self.name = name
        self.claim = claim
        self.size = size
        self.parameters = parameters
        self.node = node
    }
}

/// What makes the volumes of the StorageClasses that name it, on behalf of the controllers. Every call can be repeated.
package protocol VolumeProvider: Sendable {
    /// As `provisioner` of a StorageClass says it.
    var name: String { get }
    /// Makes what lies under a volume; returns the fields of `spec` that say where it is: source and node affinity.
    func create(_ request: VolumeRequest) async throws -> Node
    /// Removes what lies under a volume that was made here. Nothing there is success.
    func delete(volume name: String) async throws
    /// Returns the size that the volume now has.
    func expand(volume name: String, to size: Quantity) async throws -> Quantity
    /// At start: ends deletions that were cut off, and takes back what never became a volume. `isKnown` tells of a name
    /// whether there is a volume or a claim for it.
    func sweep(isKnown: @Sendable (String) -> Bool) async
}

import Kinds
import Machinery
import Tree

/// Which volume suits a claim: upstream's rules, in pure functions over the two objects.
enum VolumeMatch {
    static func storageClass(_ claimOrVolume: Node) -> String {
        claimOrVolume.annotations[VolumeNames.betaClass] ?? claimOrVolume["spec"]["storageClassName"].string ?? ""
    }

    /// A claim that says nothing of a class, not even that it wants none.
    static func namesNoClass(_ claim: Node) -> Bool {
        claim["spec"]["storageClassName"].isNull && claim.annotations[VolumeNames.betaClass] == nil
    }

    static func requested(_ claim: Node) -> Quantity { PodRequests.quantity(claim["spec"]["resources"]["requests"]["storage"]) ?? .zero }
    static func capacity(_ volume: Node) -> Quantity { PodRequests.quantity(volume["spec"]["capacity"]["storage"]) ?? .zero }

    /// The volume names this claim, by uid or (pre-bound) by name alone.
    static func isBound(_ volume: Node, to claim: Node) -> Bool {
        let reference = volume["spec"]["claimRef"]
        guard !reference.isNull, reference["name"].string == claim.name, reference["namespace"].string == claim.namespace else { return false }
        let uid = reference["uid"].string ?? ""
        return uid.isEmpty || uid == claim.uid
    }

    static func mode(_ object: Node) -> String { object["spec"]["volumeMode"].string ?? "Filesystem" }

    private static func offersModes(_ volume: Node, _ claim: Node) -> Bool {
        Set(volume["spec"]["accessModes"].stringList).isSuperset(of: claim["spec"]["accessModes"].stringList)
    }

    private static func attributesClass(_ object: Node) -> String { object["spec"]["volumeAttributesClassName"].string ?? "" }

    /// Why a volume that the claim asks for by name does not do; nil when it does.
    static func refusal(_ volume: Node, _ claim: Node) -> String? {
        if volume.isBeingDeleted { return "the volume is marked for deletion \(FieldError.quoted(volume.name))" }
        if capacity(volume).value < requested(claim).value { return "requested PV is too small" }
        if storageClass(volume) != storageClass(claim) { return "storageClassName does not match" }
        if attributesClass(volume) != attributesClass(claim) { return "volumeAttributesClassName does not match" }
        if mode(volume) != mode(claim) { return "incompatible volumeMode" }
        if !offersModes(volume, claim) { return "incompatible accessMode" }
        return nil
    }

    /// The volume that is reserved for the claim, else the smallest free one that does, those with the fewest access modes
    /// first. A claim that waits for its first consumer gets only what is reserved for it.
    static func best(_ claim: Node, among volumes: [Node], delaysBinding: Bool) -> Node? {
        let wanted = requested(claim)
        let selector = claim["spec"]["selector"].isNull ? LabelSelector.everything : LabelSelector(object: claim["spec"]["selector"])
        let possible = volumes.filter { volume in
            (volume["spec"]["claimRef"].isNull || isBound(volume, to: claim)) && !volume.isBeingDeleted && capacity(volume) >= wanted
                && mode(volume) == mode(claim) && attributesClass(volume) == attributesClass(claim) && offersModes(volume, claim)
        }
        if let reserved = possible.filter({ isBound($0, to: claim) }).min(by: comesFirst) { return reserved }
        guard !delaysBinding else { return nil }
        return possible.filter { volume in
            volume["status"]["phase"].string == "Available" && storageClass(volume) == storageClass(claim)
                && selector.matches(volume["metadata"]["labels"])
        }.min(by: comesFirst)
    }

    private static func comesFirst(_ a: Node, _ b: Node) -> Bool {
        let x = a["spec"]["accessModes"].list.count
        let y = b["spec"]["accessModes"].list.count
        if x != y { return x < y }
        let order = capacity(a).compare(capacity(b))
        return order == 0 ? a.name < b.name : order < 0
    }
}

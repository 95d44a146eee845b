import Core
import Machinery
import Tree

extension KindCells {
    static let storage: [String: Row] = [
        "/PersistentVolume": volume, "/PersistentVolumeClaim": claim, "storage.k8s.io/StorageClass": storageClass, "storage.k8s.io/CSIDriver": driver,
        "storage.k8s.io/CSINode": csiNode, "storage.k8s.io/VolumeAttachment": attachment, "storage.k8s.io/VolumeAttributesClass": attributesClass,
        "resource.k8s.io/DeviceClass": nameAndAge, "resource.k8s.io/ResourceClaim": resourceClaim, "resource.k8s.io/ResourceClaimTemplate": nameAndAge,
        "resource.k8s.io/ResourceSlice": resourceSlice,
    ]

    private static func accessModes(_ modes: Node) -> Node {
        let given = modes.stringList
        let names = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")]
        return .string(names.filter { given.contains($0.0) }.map(\.1).joined(separator: ","))
    }

    /// The class, which an old annotation may name.
    private static func storageClassName(_ object: Node) -> Node {
        .string(object.annotations["volume.beta.kubernetes.io/storage-class"] ?? object["spec"]["storageClassName"].string ?? "")
    }

    private static func phase(_ object: Node) -> Node { object.isBeingDeleted ? "Terminating" : text(object["status"]["phase"]) }

    @Sendable private static func volume(_ object: Node, _ now: Timestamp) -> [Node] {
        let spec = object["spec"]
        let claim = spec["claimRef"]
        return [
            Cell.name(object), .string(amount(spec["capacity"]["storage"])), accessModes(spec["accessModes"]), text(spec["persistentVolumeReclaimPolicy"]),
            phase(object), claim.isNull ? "" : .string("\(claim["namespace"].string ?? "")/\(claim["name"].string ?? "")"), storageClassName(object),
            .string(spec["volumeAttributesClassName"].string ?? "<unset>"), text(object["status"]["reason"]), Cell.age(of: object, now: now),
            .string(spec["volumeMode"].string ?? "<unset>"),
        ]
    }

    @Sendable private static func claim(_ object: Node, _ now: Timestamp) -> [Node] {
        let (spec, status) = (object["spec"], object["status"])
        let isBound = !spec["volumeName"].isEmpty
        return [
            Cell.name(object), phase(object), text(spec["volumeName"]), isBound ? .string(amount(status["capacity"]["storage"])) : "",
            isBound ? accessModes(status["accessModes"]) : "", storageClassName(object), .string(spec["volumeAttributesClassName"].string ?? "<unset>"),
            Cell.age(of: object, now: now), .string(spec["volumeMode"].string ?? "<unset>"),
        ]
    }

    @Sendable private static func storageClass(_ object: Node, _ now: Timestamp) -> [Node] {
        let keys = ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
        let annotations = object.annotations
        let isDefault = keys.contains { annotations[$0] == "true" }
        return [
            .string(object.name + (isDefault ? " (default)" : "")), text(object["provisioner"]), .string(object["reclaimPolicy"].string ?? "Delete"),
            .string(object["volumeBindingMode"].string ?? "Immediate"), .bool(object["allowVolumeExpansion"].bool ?? false), Cell.age(of: object, now: now),
        ]
    }

    @Sendable private static func driver(_ object: Node, _ now: Timestamp) -> [Node] {
        let spec = object["spec"]
        let tokens = spec["tokenRequests"]
        return [
            Cell.name(object), .bool(spec["attachRequired"].bool ?? true), .bool(spec["podInfoOnMount"].bool ?? false),
            .bool(spec["storageCapacity"].bool ?? false),
            tokens.isNull ? "<unset>" : .string(tokens.list.map { $0["audience"].string ?? "" }.joined(separator: ",")),
            .bool(spec["requiresRepublish"].bool ?? false), Cell.joined(spec["volumeLifecycleModes"].stringList), Cell.age(of: object, now: now),
        ]
    }

    @Sendable private static func csiNode(_ object: Node, _ now: Timestamp) -> [Node] {
        [Cell.name(object), .int(Int64(object["spec"]["drivers"].list.count)), Cell.age(of: object, now: now)]
    }

    @Sendable private static func attachment(_ object: Node, _ now: Timestamp) -> [Node] {
        let spec = object["spec"]
        return [
            Cell.name(object), text(spec["attacher"]), text(spec["source"]["persistentVolumeName"]), text(spec["nodeName"]),
            .bool(object["status"]["attached"].bool ?? false), Cell.age(of: object, now: now),
        ]
    }

    @Sendable private static func attributesClass(_ object: Node, _ now: Timestamp) -> [Node] {
        [Cell.name(object), text(object["driverName"]), Cell.age(of: object, now: now)]
    }

    // MARK: Devices

    @Sendable private static func resourceClaim(_ object: Node, _ now: Timestamp) -> [Node] {
        var states: [String] = object.isBeingDeleted ? ["deleted"] : []
        if object["status"]["allocation"].isNull {
            if !object.isBeingDeleted { states.append("pending") }
        } else {
            states.append("allocated")
            if !object["status"]["reservedFor"].list.isEmpty { states.append("reserved") }
        }
        return [Cell.name(object), .string(states.joined(separator: ",")), Cell.age(of: object, now: now)]
    }

    @Sendable private static func resourceSlice(_ object: Node, _ now: Timestamp) -> [Node] {
        let spec = object["spec"]
        return [Cell.name(object), text(spec["nodeName"]), text(spec["driver"]), text(spec["pool"]["name"]), Cell.age(of: object, now: now)]
    }
}

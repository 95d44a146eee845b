import Machinery
import Tree

/// What a pod that says for which system it is cannot have of the other's.
extension PodSpecValidation {
    private static let ofContainersOnLinux = [
        "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation",
        "procMount", "runAsUser", "runAsGroup",
    ]

    mutating func checkWindows() {
        let words = "cannot be set for a windows pod"
        let (context, at) = (spec["securityContext"], path.child("securityContext"))
        func isSet(_ value: Node) -> Bool { if case .bool(let flag) = value { flag } else { !value.isNull } }
        for field in ["appArmorProfile", "seLinuxOptions"] where !context[field].isNull { findings.forbidden(at.child(field), words) }
        if !spec["hostUsers"].isNull { findings.forbidden(path.child("hostUsers"), words) }
        for field in ["hostPID", "hostIPC"] where isSet(spec[field]) { findings.forbidden(path.child(field), words) }
        for field in ["seccompProfile", "fsGroup", "fsGroupChangePolicy", "sysctls"] where !context[field].isNull { findings.forbidden(at.child(field), words) }
        if !spec["shareProcessNamespace"].isNull { findings.forbidden(path.child("shareProcessNamespace"), words) }
        for field in ["runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy"] where !context[field].isNull {
            findings.forbidden(at.child(field), words)
        }
        for (container, place) in containers {
            for field in Self.ofContainersOnLinux where !container["securityContext"][field].isNull {
                findings.forbidden(place.child("securityContext").child(field), words)
            }
        }
    }

    mutating func checkLinux() {
        let words = "windows options cannot be set for a linux pod"
        if !spec["securityContext"]["windowsOptions"].isNull { findings.forbidden(path.child("securityContext").child("windowsOptions"), words) }
        for (container, place) in containers where !container["securityContext"]["windowsOptions"].isNull {
            findings.forbidden(place.child("securityContext").child("windowsOptions"), words)
        }
    }

    private var containers: [(Node, NodePath)] {
        ["initContainers", "containers", "ephemeralContainers"].flatMap { list in
            spec[list].list.enumerated().map { ($1, path.child(list).element($0)) }
        }
    }
}

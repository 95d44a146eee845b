import Client
import Core
import Machinery
import OCI
import Schema
import Tree

/// Makes sure that a container's image is on the machine, by the container's pull policy.
struct ImageProvision: Sendable {
    let images: NodeImages
    let objects: ObjectSource
    /// type, reason, message
    let record: @Sendable (String, String, String) -> Void

    func ensure(_ container: Node, _ pod: PodView) async throws -> LocalImage {
        let text = container["image"].string ?? ""
        let reference: ImageReference
        do { reference = try ImageReference(image: text) } catch {
            let message = "Failed to apply default image tag \(NodePath.quoted(text)): couldn't parse image name \(NodePath.quoted(text)): \(error)"
            record("Warning", "InspectFailed", message)
            throw StartFailure(.image, reason: "InvalidImageName", message: message)
        }
        let policy = container["imagePullPolicy"].string ?? (reference.withDefaultTag.tag == "latest" && reference.digest == nil ? "Always" : "IfNotPresent")
        if policy != "Always" {
            do {
                if let image = try await images.present(reference), try await images.isAccessible(image, reference, secrets: { try await secrets(pod) }) {
                    record("Normal", "Pulled", "Container image \(NodePath.quoted(text)) already present on machine and can be accessed by the pod")
                    return image
                }
            } catch let error as ImageError where error.kind == .notFound || error.kind == .corrupt {
                // Named, but not whole: a pull mends it.
            } catch {
                let message = "Failed to inspect image \(NodePath.quoted(text)): \(error)"
                record("Warning", "InspectFailed", message)
                throw StartFailure(.image, reason: "ImageInspectError", message: message)
            }
            // Also of one that is here and not for this pod: it is not told so.
            if policy == "Never" {
                let message = "Container image \(NodePath.quoted(text)) is not present with pull policy of Never"
                record("Warning", "ErrImageNeverPull", message)
                throw StartFailure(.image, reason: "ErrImageNeverPull", message: message)
            }
        }
        return try await pull(reference, text, pod)
    }

    private func pull(_ reference: ImageReference, _ text: String, _ pod: PodView) async throws -> LocalImage {
        record("Normal", "Pulling", "Pulling image \(NodePath.quoted(text))")
        let began = ContinuousClock.now
        do {
            let image = try await images.pull(reference, secrets: try await secrets(pod))
            let milliseconds = (ContinuousClock.now - began) / .milliseconds(1)
            let took = GoDuration.render(Int64(milliseconds) * 1_000_000)
            record(
                "Normal", "Pulled",
                "Successfully pulled image \(NodePath.quoted(text)) in \(took) (\(took) including waiting). Image size: \(image.size) bytes.")
            return image
        } catch {
            let code = (error as? ImageError)?.code ?? "Unknown"
            let message = "rpc error: code = \(code) desc = \(error)"
            record("Warning", "Failed", "Failed to pull image \(NodePath.quoted(text)): \(message)")
            throw StartFailure(.pull, reason: "ErrImagePull", message: message)
        }
    }

    /// The pod's own, and its service account's where it names none.
    private func secrets(_ pod: PodView) async throws -> [Node] {
        var names = pod.spec["imagePullSecrets"].list.compactMap { $0["name"].string }
        if names.isEmpty, let account = try? await objects.find(.serviceAccounts, pod.namespace, pod.spec["serviceAccountName"].string ?? "default") {
            names = account["imagePullSecrets"].list.compactMap { $0["name"].string }
        }
        var out: [Node] = []
        for name in names {
            if let secret = try? await objects.find(.secrets, pod.namespace, name) {
                out.append(secret)
            } else {
                record(
                    "Warning", "FailedToRetrieveImagePullSecret",
                    "Unable to retrieve some image pull secrets (\(name)); attempting to pull the image may not succeed.")
            }
        }
        return out
    }
}

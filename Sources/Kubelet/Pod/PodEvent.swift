package import Core
package import Tree

/// How a container ended, as the pod's status tells it.
package struct Termination: Sendable, Equatable {
    package var exitCode: Int32
    package var signal: Int32 = 0
    package var reason: String
    package var message = ""
    package var startedAt: Timestamp?
    package var finishedAt: Timestamp?
    package var containerID = ""

    package init(exitCode: Int32, reason: String, message: String = "", startedAt: Timestamp? = nil, finishedAt: Timestamp? = nil, containerID: String = "") {
        self.exitCode = exitCode
        self.reason = reason
        self.message = message
        self.startedAt = startedAt
        self.finishedAt = finishedAt
        self.containerID = containerID
    }
}

/// A container that runs, as the pod's status tells it.
package struct RunningContainer: Sendable, Equatable {
    package var id: String
    package var image: String
    package var imageID: String
    package var startedAt: Timestamp
    package var user: Node
    /// The requests and limits it was started with.
    package var resources: Node

    package init(id: String, image: String, imageID: String, startedAt: Timestamp, user: Node = .null, resources: Node = .null) {
        self.id = id
        self.image = image
        self.imageID = imageID
        self.startedAt = startedAt
        self.user = user
        self.resources = resources
    }
}

/// Why a container did not come to run.
package struct StartFailure: Error, Sendable, Equatable {
    package enum Step: Sendable, Equatable {
        /// The image could not be pulled: back-off of its own.
        case pull
        /// The image's name or its absence: nothing to wait for but a change.
        case image
        case configuration
        case creation
        /// Created, but its program did not start: counts as a run that failed.
        case run
    }
    package let step: Step
    package let reason: String
    package let message: String

    package init(_ step: Step, reason: String, message: String) {
        self.step = step
        self.reason = reason
        self.message = message
    }
}

package enum ProbeKind: String, Sendable, CaseIterable {
    case startup, liveness, readiness
    package var title: String {
        switch self {
        case .startup: "Startup"
        case .liveness: "Liveness"
        case .readiness: "Readiness"
        }
    }
    package var field: String { rawValue + "Probe" }
}

/// What happens to a pod; what its machine is told.
package enum PodEvent: Sendable, Equatable {
    /// The API has a newer version of it.
    case changed(Node)
    /// The API has it no longer.
    case vanished
    case volumesReady
    case volumesFailed(message: String)
    case sandboxReady(id: String, addresses: [String])
    case sandboxFailed(message: String)
    case sandboxLost
    case sandboxRemoved
    case started(name: String, attempt: Int, RunningContainer)
    case startFailed(name: String, attempt: Int, StartFailure)
    case postStartFailed(name: String, attempt: Int, message: String)
    case exited(name: String, attempt: Int, Termination)
    case probed(name: String, attempt: Int, ProbeKind, succeeded: Bool)
    /// A config map or secret that the pod reads is another now.
    case dependenciesChanged
    /// What the node says to the resources that were asked for.
    case resizeAnswered(ResizeVerdict)
    /// Something on the node gave resources back.
    case capacityFreed
    /// Containers run with these resources now, or why they do not.
    case resourcesApplied(containers: [String: Node], pod: Node, error: String?)
    /// Something that only the status tells is otherwise.
    case healthChanged
    /// The status that was asked to be written is in the API.
    case statusWritten(phase: String)
    case cleaned
    case deleted
    /// A time that was asked for has come.
    case woke
}

/// What is to be done for a pod. Each is answered by the event named.
package enum PodAction: Sendable, Equatable {
    /// → volumesReady, volumesFailed
    case prepareVolumes
    /// → sandboxReady, sandboxFailed
    case createSandbox(attempt: Int)
    /// → sandboxRemoved
    case removeSandbox
    /// → started or startFailed, then exited
    case start(name: String, attempt: Int)
    /// An adopted container → exited
    case watch(name: String, attempt: Int)
    /// → exited
    case stop(name: String, attempt: Int, grace: Int64, runsHook: Bool)
    /// Whether the node has what the pod's spec asks for now → resizeAnswered
    case askResize(PodView)
    /// Gives running containers, by name, other resources → resourcesApplied
    case applyResources(containers: [String: Node], pod: Node)
    /// The startup probe alone where there is one, else the others.
    case startProbes(name: String, attempt: Int)
    /// It has started: the others.
    case continueProbes(name: String, attempt: Int)
    case stopProbes(name: String)
    case event(type: String, reason: String, message: String, container: String?)
    /// Takes volumes, cgroups and directories away → cleaned
    case clean
    /// From the API, now → deleted
    case delete
    /// → woke
    case wake(at: Timestamp)
    /// The worker's part is over.
    case finish
}

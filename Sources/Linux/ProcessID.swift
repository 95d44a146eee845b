import Glibc

extension MachineResources {
    package static var processID: Int32 { getpid() }
}

import Glibc

/// What the daemon needs of its own process, whatever shell it was started from.
enum ProcessLimits {
    /// Watches, pods and connections are descriptors: a shell's 1024 would end early.
    static func raiseOpenFiles(to wanted: UInt = 524_288) {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return }
        let most = max(UInt(limit.rlim_max), wanted)
        var raised = rlimit(rlim_cur: rlim_t(most), rlim_max: rlim_t(most))
        if setrlimit(resource, &raised) == 0 { return }
        // The kernel's own limit is lower than ours.
        limit.rlim_cur = limit.rlim_max
        setrlimit(resource, &limit)
    }
}

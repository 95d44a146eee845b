import Glibc
import Testing

@testable import Linux

struct CapabilityTests {
    @Test(arguments: [
        ("NET_ADMIN", Capability.netAdmin, 12), ("CAP_SYS_TTY_CONFIG", .sysTtyConfig, 26), ("checkpoint_restore", .checkpointRestore, 40),
        ("DAC_READ_SEARCH", .dacReadSearch, 2), ("LINUX_IMMUTABLE", .linuxImmutable, 9), ("SYS_RAWIO", .sysRawio, 17), ("BPF", .bpf, 39),
    ])
    func namesAreTheKernels(name: String, expected: Capability, number: UInt8) {
        #expect(Capability(name: name) == expected)
        #expect(expected.rawValue == number)
    }

    @Test func unknownNamesAreRefused() {
        #expect(Capability(name: "NET_ADMINS") == nil)
        #expect(Capability(name: "ALL") == nil)
    }

    /// The mask every container of containerd or Docker shows in /proc/self/status.
    @Test func theStandardSetIsTheUsualOne() {
        #expect(CapabilitySets.standard.bounding == 0x0000_0000_a804_25fb)
    }

    @Test(arguments: [(2, 1), (1024, 100), (262_144, 10_000), (512, 59)] as [(UInt64, UInt64)])
    func sharesBecomeWeights(shares: UInt64, weight: UInt64) {
        #expect(CgroupLimits.weight(shares: shares) == weight)
    }
}
